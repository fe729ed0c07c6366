// Local response normalisation across channels on CUDA: a block holds whole rows in shared memory.
#include <cmath>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/lrn.h>
#include <shatter/kernels/types.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// The formula's constants, and how many rows a block holds.
template <class A>
struct Lrn {
  std::int64_t rows, block_rows;
  int channels, radius;
  A bias, alpha, beta;
  bool roots;

  explicit Lrn(const LrnGeometry& g)
      : rows(g.rows),
        block_rows(std::max<std::int64_t>(1, 1024 / std::max<std::int64_t>(1, g.channels))),
        channels(static_cast<int>(g.channels)),
        radius(static_cast<int>(std::min(g.radius, g.channels))),
        bias(static_cast<A>(g.bias)),
        alpha(static_cast<A>(g.alpha)),
        beta(static_cast<A>(g.beta)),
        roots(g.beta == 0.75) {}

  std::int64_t block_elements() const { return block_rows * channels; }

  // Where the block's rows begin, and how many elements they have.
  __device__ std::int64_t begin() const { return blockIdx.x * block_rows * channels; }
  __device__ int elements() const {
    const std::int64_t left = rows - blockIdx.x * block_rows;
    return static_cast<int>(left < block_rows ? left : block_rows) * channels;
  }

  // Adds value(j) for the elements j of the block that lie in the window of element i.
  template <class Value>
  __device__ A window(int i, Value value) const {
    const int row = i / channels * channels, c = i - row;
    const int first = c > radius ? c - radius : 0;
    const int last = c + radius < channels ? c + radius : channels - 1;
    A sum = 0;
    for (int j = row + first; j <= row + last; ++j) sum += value(j);
    return sum;
  }
  __device__ A bracket(int i, const A* x) const {
    return bias + alpha * window(i, [&](int j) { return x[j] * x[j]; });
  }
};

template <class T>
__global__ void forward(Lrn<wide_t<T>> lrn, const T* x, T* y) {
  using A = wide_t<T>;
  A* const in = dynamic_shared<A>();
  const std::int64_t begin = lrn.begin();
  const int n = lrn.elements();
  for (int i = threadIdx.x; i < n; i += blockDim.x) in[i] = static_cast<A>(x[begin + i]);
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    y[begin + i] = static_cast<T>(in[i] * lrn_scale(lrn.bracket(i, in), lrn.beta, lrn.roots));
}

template <class T>
__global__ void backward(Lrn<wide_t<T>> lrn, wide_t<T> factor, const T* x, const T* dy, T* dx) {
  using A = wide_t<T>;
  const std::int64_t begin = lrn.begin();
  const int n = lrn.elements();
  A* const in = dynamic_shared<A>();
  A* const scaled = in + n;        // dy s^-beta
  A* const products = scaled + n;  // dy x s^(-beta - 1)
  for (int i = threadIdx.x; i < n; i += blockDim.x) in[i] = static_cast<A>(x[begin + i]);
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const A s = lrn.bracket(i, in);
    scaled[i] = static_cast<A>(dy[begin + i]) * lrn_scale(s, lrn.beta, lrn.roots);
    products[i] = scaled[i] * in[i] / s;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const A sum = lrn.window(i, [&](int j) { return products[j]; });
    dx[begin + i] = static_cast<T>(scaled[i] - factor * in[i] * sum);
  }
}

// `arrays` of the block's elements in shared memory.
template <class A>
LaunchShape shape_of(const Lrn<A>& lrn, std::size_t arrays) {
  constexpr int most = 4096;  // three arrays of double fill 96 KiB
  check(lrn.channels <= most, "lrn: ", lrn.channels, " channels, CUDA takes at most ", most);
  const std::size_t bytes = arrays * sizeof(A) * static_cast<std::size_t>(lrn.block_elements());
  return {dim3(static_cast<unsigned>(lrn.channels ? (lrn.rows + lrn.block_rows - 1) / lrn.block_rows
                                                  : 0)),
          dim3(threads_per_block), bytes};
}

}  // namespace

template <class T>
void lrn_forward(CudaContext& context, const LrnGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "lrn_forward", lrn_forward_work<T>(g));
  const Lrn<wide_t<T>> lrn(g);
  launch(context, "lrn_forward", shape_of(lrn, 1), forward<T>, lrn, x, y);
}

template <class T>
void lrn_backward(CudaContext& context, const LrnGeometry& g, const T* x, const T* dy, T* dx) {
  const ProfileScope scope(context, "lrn_backward", lrn_backward_work<T>(g));
  const Lrn<wide_t<T>> lrn(g);
  launch(context, "lrn_backward", shape_of(lrn, 3), backward<T>, lrn,
         static_cast<wide_t<T>>(2 * g.alpha * g.beta), x, dy, dx);
}

template void lrn_forward(CudaContext&, const LrnGeometry&, const float*, float*);
template void lrn_forward(CudaContext&, const LrnGeometry&, const double*, double*);
template void lrn_forward(CudaContext&, const LrnGeometry&, const bfloat16*, bfloat16*);
template void lrn_backward(CudaContext&, const LrnGeometry&, const float*, const float*, float*);
template void lrn_backward(CudaContext&, const LrnGeometry&, const double*, const double*, double*);
template void lrn_backward(CudaContext&, const LrnGeometry&, const bfloat16*, const bfloat16*,
                           bfloat16*);

}  // namespace shatter::kernels
