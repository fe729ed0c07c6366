// Channel copies on CUDA: a warp's threads along the channels of a row, so that they read and write
// neighbours without a division.
#include <shatter/kernels/cuda/copy_channels.h>
#include <shatter/kernels/cuda/launch.h>

namespace shatter::kernels {
namespace {

constexpr int lanes = 32, rows_per_block = 8;

LaunchShape a_warp_each_row(std::int64_t rows) {
  return {dim3(static_cast<unsigned>((rows + rows_per_block - 1) / rows_per_block)),
          dim3(lanes, rows_per_block)};
}

__device__ std::int64_t row_of_thread() {
  return std::int64_t{blockIdx.x} * rows_per_block + threadIdx.y;
}

template <class From, class To>
__global__ void copy(std::int64_t rows, std::int64_t channels, std::int64_t width, const From* x,
                     std::int64_t x_step, To* y, std::int64_t y_step) {
  const std::int64_t row = row_of_thread();
  if (row >= rows) return;
  for (std::int64_t j = threadIdx.x; j < width; j += lanes)
    y[row * y_step + j] = j < channels ? To(x[row * x_step + j]) : To(0);
}

template <class T>
__global__ void add_bias(std::int64_t rows, std::int64_t channels, const wide_t<T>* bias, T* y,
                         std::int64_t y_step) {
  const std::int64_t row = row_of_thread();
  if (row >= rows) return;
  for (std::int64_t j = threadIdx.x; j < channels; j += lanes)
    y[row * y_step + j] = T(y[row * y_step + j] + bias[j]);
}

}  // namespace

template <class From, class To>
void copy_channels(CudaContext& context, std::int64_t rows, std::int64_t channels,
                   std::int64_t width, const From* x, std::int64_t x_step, To* y,
                   std::int64_t y_step) {
  launch(context, "copy_channels", a_warp_each_row(rows), copy<From, To>, rows, channels, width, x,
         x_step, y, y_step);
}

template <class T>
void add_channel_bias(CudaContext& context, std::int64_t rows, std::int64_t channels,
                      const wide_t<T>* bias, T* y, std::int64_t y_step) {
  launch(context, "add_channel_bias", a_warp_each_row(rows), add_bias<T>, rows, channels, bias, y,
         y_step);
}

template void copy_channels(CudaContext&, std::int64_t, std::int64_t, std::int64_t, const float*,
                            std::int64_t, float*, std::int64_t);
template void copy_channels(CudaContext&, std::int64_t, std::int64_t, std::int64_t, const bfloat16*,
                            std::int64_t, bfloat16*, std::int64_t);
template void copy_channels(CudaContext&, std::int64_t, std::int64_t, std::int64_t, const bfloat16*,
                            std::int64_t, float*, std::int64_t);
template void add_channel_bias<float>(CudaContext&, std::int64_t, std::int64_t, const float*,
                                      float*, std::int64_t);
template void add_channel_bias<bfloat16>(CudaContext&, std::int64_t, std::int64_t, const float*,
                                         bfloat16*, std::int64_t);

}  // namespace shatter::kernels
