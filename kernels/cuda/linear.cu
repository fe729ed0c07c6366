// The linear layer on CUDA: a matrix product, then bias and ReLU in one pass.
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T, bool relu>
struct BiasRelu {
  std::int64_t columns;
  const wide_t<T>* bias;
  T* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    auto v = load<width>(y + i);
    if (bias) {
      const wide_t<T>* const b = bias + i % columns;
      for (int k = 0; k < width; ++k) v[k] += b[k];
    }
    if constexpr (relu) {
      for (int k = 0; k < width; ++k) v[k] = Relu{}(v[k]);
    }
    store(v, y + i);
  }
};

}  // namespace

template <class T>
void linear_forward(CudaContext& context, const LinearGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y) {
  const ProfileScope scope(context, "linear_forward", linear_work<T>(g));
  matmul<T>(context, {.m = g.n, .n = g.out, .k = g.in, .transpose_b = true}, wide_t<T>(1), x, w,
            wide_t<T>(0), y);
  if (!bias && !g.relu) return;
  constexpr int width = vector_width<T>;
  const bool vectors = g.out % width == 0 && vectors_at<width>(y);
  if (g.relu)
    launch_vectors<width>(context, "linear_bias_relu", g.n * g.out, vectors,
                          BiasRelu<T, true>{g.out, bias, y});
  else
    launch_vectors<width>(context, "linear_bias", g.n * g.out, vectors,
                          BiasRelu<T, false>{g.out, bias, y});
}

template void linear_forward(CudaContext&, const LinearGeometry&, const float*, const float*,
                             const float*, float*);
template void linear_forward(CudaContext&, const LinearGeometry&, const double*, const double*,
                             const double*, double*);
template void linear_forward(CudaContext&, const LinearGeometry&, const bfloat16*, const bfloat16*,
                             const float*, bfloat16*);

}  // namespace shatter::kernels
