// Parameter updates: all tensors of a model in one call.
#pragma once

#include <span>

#include <shatter/kernels/context.h>

namespace shatter::kernels {

/// One parameter w with gradient dw, n elements; state is the optimizer's buffer of the same size
/// (SGD: velocity, may be null without momentum; RMSProp: mean square).
template <class T>
struct UpdateTensor {
  T* w = nullptr;
  const T* dw = nullptr;
  T* state = nullptr;
  T* momentum_buffer = nullptr;  ///< RMSProp with momentum only
  std::int64_t n = 0;
  double learning_rate = 0;
  double weight_decay = 0;  ///< gradient of (decay / 2) |w|^2: decay * w
};

/// g = dw + weight_decay * w; v = momentum * v + g; w -= learning_rate * (nesterov ? g + momentum *
/// v : v). The TensorFlow and PyTorch form. T: float, double.
template <class T>
void sgd_update(CpuContext& context, std::span<const UpdateTensor<T>> tensors, double momentum,
                bool nesterov);

/// RMSProp in TensorFlow's form (epsilon inside the root):
/// s = decay * s + (1 - decay) g^2; b = momentum * b + learning_rate * g / sqrt(s + epsilon); w -=
/// b.
template <class T>
void rmsprop_update(CpuContext& context, std::span<const UpdateTensor<T>> tensors, double decay,
                    double momentum, double epsilon);

}  // namespace shatter::kernels
