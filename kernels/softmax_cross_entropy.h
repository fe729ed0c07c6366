// Softmax, log-softmax, and softmax cross-entropy fused with its gradient.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// y = softmax of each row, with the row's maximum subtracted first. T, here and below: float,
/// double, bfloat16.
template <class T>
void softmax_forward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                     T* y);
template <class T>
void softmax_forward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                     T* y);
/// dx = y * (dy - sum(dy * y)).
template <class T>
void softmax_backward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                      const T* dy, T* dx);
template <class T>
void softmax_backward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                      const T* dy, T* dx);

/// y = x - max - log(sum(exp(x - max))).
template <class T>
void log_softmax_forward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                         T* y);
template <class T>
void log_softmax_forward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                         T* y);
/// dx = dy - exp(y) * sum(dy).
template <class T>
void log_softmax_backward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                          const T* dy, T* dx);
template <class T>
void log_softmax_backward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                          const T* dy, T* dx);

/// With q = (1 - smoothing) * onehot(label) + smoothing / classes and p = softmax(logits):
///   loss[row] = -sum q log p,  gradient[row, :] = p - q  (may be null).
/// Labels lie in [0, classes). The op checks them on the CPU; on CUDA, where it cannot look at
/// them, a label outside gives its row a loss and a gradient of NaN.
struct CrossEntropyGeometry {
  std::int64_t rows = 0, classes = 0;
  double label_smoothing = 0;
};

/// Overwrites loss [rows] and gradient [rows, classes].
template <class T>
void softmax_cross_entropy(CpuContext& context, const CrossEntropyGeometry& g, const T* logits,
                           const std::int32_t* labels, wide_t<T>* loss, T* gradient);
template <class T>
void softmax_cross_entropy(CudaContext& context, const CrossEntropyGeometry& g, const T* logits,
                           const std::int32_t* labels, wide_t<T>* loss, T* gradient);

}  // namespace shatter::kernels
