// Local response normalisation across channels (Krizhevsky, Sutskever, Hinton 2012), TensorFlow's
// form: y_c = x_c * (bias + alpha * sum_{j = c-radius .. c+radius} x_j^2)^(-beta).
#pragma once

#include <shatter/kernels/context.h>

namespace shatter::kernels {

/// alpha is not divided by the window: TF's CIFAR-10 constants are radius 4, bias 1, alpha 0.001/9,
/// beta 0.75. Rows are pixels, packed.
struct LrnGeometry {
  std::int64_t rows = 0, channels = 0;
  std::int64_t radius = 4;
  double bias = 1, alpha = 0.001 / 9, beta = 0.75;
};

/// Overwrites y. T, here and below: float, double, bfloat16; on CUDA at most 4096
/// channels.
template <class T>
void lrn_forward(CpuContext& context, const LrnGeometry& g, const T* x, T* y);
template <class T>
void lrn_forward(CudaContext& context, const LrnGeometry& g, const T* x, T* y);

/// dx_c = dy_c s_c^-beta - 2 alpha beta x_c sum_{j: |j-c| <= radius} dy_j x_j s_j^(-beta-1), where
/// s is the bracket of the forward formula, recomputed from x. Overwrites dx.
template <class T>
void lrn_backward(CpuContext& context, const LrnGeometry& g, const T* x, const T* dy, T* dx);
template <class T>
void lrn_backward(CudaContext& context, const LrnGeometry& g, const T* x, const T* dy, T* dx);

}  // namespace shatter::kernels
