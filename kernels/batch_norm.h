// Batch normalisation of Ioffe and Szegedy (arXiv 1502.03167), alone or fused with the ReLU behind
// it. An image batch [n, h, w, c] is seen as rows = n*h*w by channels; rows are pitch elements
// apart.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// Pitches as in Conv2dGeometry: x_pitch for x and dx, y_pitch for y and dy; 0 means packed.
struct BatchNormGeometry {
  std::int64_t rows = 0, channels = 0;
  std::int64_t x_pitch = 0, y_pitch = 0;
  bool relu = false;     ///< y = max(0, .) behind the normalisation
  bool training = true;  ///< backward only: statistics came from this batch

  constexpr std::int64_t x_step() const { return x_pitch ? x_pitch : channels; }
  constexpr std::int64_t y_step() const { return y_pitch ? y_pitch : channels; }
};

/// mean[c] and biased variance[c] of the batch, added up in an order fixed by the shape: in double,
/// or four rows at a time in wide_t<T> and those sums in double. rows >= 1. T, here and below:
/// float, double, bfloat16.
template <class T>
void batch_norm_statistics(CpuContext& context, const BatchNormGeometry& g, const T* x,
                           wide_t<T>* mean, wide_t<T>* variance);
template <class T>
void batch_norm_statistics(CudaContext& context, const BatchNormGeometry& g, const T* x,
                           wide_t<T>* mean, wide_t<T>* variance);

/// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta. gamma null means 1, beta null 0.
/// Every call with equal arguments gives equal bits: backward recomputes the ReLU's mask by it.
template <class T>
void batch_norm_forward(CpuContext& context, const BatchNormGeometry& g, double epsilon, const T* x,
                        const wide_t<T>* mean, const wide_t<T>* variance, const wide_t<T>* gamma,
                        const wide_t<T>* beta, T* y);
template <class T>
void batch_norm_forward(CudaContext& context, const BatchNormGeometry& g, double epsilon,
                        const T* x, const wide_t<T>* mean, const wide_t<T>* variance,
                        const wide_t<T>* gamma, const wide_t<T>* beta, T* y);

/// Gradients of batch_norm_forward. With training, mean and variance depend on x:
///   dx = gamma / sqrt(variance + epsilon) * (dz - mean(dz) - xhat * mean(dz * xhat)),
/// where dz is dy behind the ReLU's mask. dgamma[c] = sum dz * xhat and dbeta[c] = sum dz may each
/// be null. Overwrites dx, dgamma, dbeta.
template <class T>
void batch_norm_backward(CpuContext& context, const BatchNormGeometry& g, double epsilon,
                         const T* x, const T* dy, const wide_t<T>* mean, const wide_t<T>* variance,
                         const wide_t<T>* gamma, const wide_t<T>* beta, T* dx, wide_t<T>* dgamma,
                         wide_t<T>* dbeta);
template <class T>
void batch_norm_backward(CudaContext& context, const BatchNormGeometry& g, double epsilon,
                         const T* x, const T* dy, const wide_t<T>* mean, const wide_t<T>* variance,
                         const wide_t<T>* gamma, const wide_t<T>* beta, T* dx, wide_t<T>* dgamma,
                         wide_t<T>* dbeta);

/// running = decay * running + (1 - decay) * scale * batch, elementwise; scale is 1, or
/// rows / (rows - 1) for PyTorch's unbiased running variance. T: float, double.
template <class T>
void running_average(CpuContext& context, std::int64_t n, double decay, double scale,
                     const T* batch, T* running);
template <class T>
void running_average(CudaContext& context, std::int64_t n, double decay, double scale,
                     const T* batch, T* running);

}  // namespace shatter::kernels
