// The Gaussian kernel matrix on CUDA.
#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/gaussian_kernel.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// One warp for each row.
template <class T>
__global__ void squared_norm(std::int64_t rows, std::int64_t columns, const T* x, T* norms) {
  const std::int64_t row = thread_index() / warpSize, lane = threadIdx.x % warpSize;
  if (row >= rows) return;
  double sum = 0;
  for (std::int64_t i = lane; i < columns; i += warpSize) {
    const auto value = static_cast<double>(x[row * columns + i]);
    sum += value * value;
  }
  sum = join_warp(sum, Add{});
  if (lane == 0) norms[row] = static_cast<T>(sum);
}

template <class T>
struct GaussianOfProducts {
  std::int64_t n;
  T factor;
  bool same_points;
  const T *a_norms, *b_norms;
  T* k;
  template <int width>
  __device__ void run(std::int64_t at) const {
    const std::int64_t i = at / n, j = at - i * n;
    auto v = load<width>(k + at);
    for (int l = 0; l < width; ++l)
      v[l] = same_points && i == j + l ? T(1) : gaussian(a_norms[i], b_norms[j + l], v[l], factor);
    store(v, k + at);
  }
};

}  // namespace

template <class T>
void row_squared_norms(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                       T* norms) {
  const ProfileScope scope(context, "row_squared_norms",
                           rows_work<T>(rows, columns, 2, rows, sizeof(T)));
  launch(context, "row_squared_norms", one_thread_each(32 * rows), squared_norm<T>, rows, columns,
         x, norms);
}

template <class T>
void gaussian_kernel(CudaContext& context, const GaussianKernelGeometry& g, const T* a_norms,
                     const T* b_norms, T* k) {
  const ProfileScope scope(context, "gaussian_kernel", gaussian_kernel_work<T>(g));
  constexpr int width = vector_width<T>;
  launch_vectors<width>(context, "gaussian_kernel", g.m * g.n,
                        g.n % width == 0 && vectors_at<width>(k),
                        GaussianOfProducts<T>{g.n, static_cast<T>(gaussian_factor(g.sigma)),
                                              g.same_points, a_norms, b_norms, k});
}

template void row_squared_norms(CudaContext&, std::int64_t, std::int64_t, const float*, float*);
template void row_squared_norms(CudaContext&, std::int64_t, std::int64_t, const double*, double*);
template void gaussian_kernel(CudaContext&, const GaussianKernelGeometry&, const float*,
                              const float*, float*);
template void gaussian_kernel(CudaContext&, const GaussianKernelGeometry&, const double*,
                              const double*, double*);

}  // namespace shatter::kernels
