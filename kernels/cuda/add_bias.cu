// The bias of a matrix product on CUDA.
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T>
struct AddBias {
  std::int64_t columns;
  const T* x;
  const wide_t<T>* bias;
  T* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    auto v = load<width>(x + i);
    const wide_t<T>* const b = bias + i % columns;
    for (int k = 0; k < width; ++k) v[k] += b[k];
    store(v, y + i);
  }
};

}  // namespace

template <class T>
void add_bias(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              const wide_t<T>* bias, T* y) {
  const ProfileScope scope(context, "add_bias", add_bias_work<T>(rows, columns));
  constexpr int width = vector_width<T>;
  launch_vectors<width>(context, "add_bias", rows * columns,
                        columns % width == 0 && vectors_at<width>(x, y),
                        AddBias<T>{columns, x, bias, y});
}

template void add_bias(CudaContext&, std::int64_t, std::int64_t, const float*, const float*,
                       float*);
template void add_bias(CudaContext&, std::int64_t, std::int64_t, const double*, const double*,
                       double*);
template void add_bias(CudaContext&, std::int64_t, std::int64_t, const bfloat16*, const float*,
                       bfloat16*);

}  // namespace shatter::kernels
