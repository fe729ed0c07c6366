// Copies that change the channel count, pitch or type of images on CUDA: what cuDNN's convolutions
// need around them.
#pragma once

#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// y[row, j] = x[row, j] for j < channels and 0 for channels <= j < width; rows x_step and y_step
/// elements apart. (From, To): (T, T) with T float or bfloat16, and (bfloat16, float).
template <class From, class To>
void copy_channels(CudaContext& context, std::int64_t rows, std::int64_t channels,
                   std::int64_t width, const From* x, std::int64_t x_step, To* y,
                   std::int64_t y_step);

/// y[row, j] += bias[j], rows y_step elements apart. T: float, bfloat16.
template <class T>
void add_channel_bias(CudaContext& context, std::int64_t rows, std::int64_t channels,
                      const wide_t<T>* bias, T* y, std::int64_t y_step);

}  // namespace shatter::kernels
