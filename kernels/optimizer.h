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
  double weight_decay = 0;  ///< gradient of (decay / 2) |w|^2: decay * w
};

/// g = dw + weight_decay * w; v = momentum * v + g; w -= learning_rate * (nesterov ? g + momentum *
/// v : v). The TensorFlow and PyTorch form. learning_rate: one value in the context's memory, so
/// that a captured step finds each step's own; where *stopped is not 0 nothing changes (stopped may
/// be null). T: float, double.
template <class T>
void sgd_update(CpuContext& context, std::span<const UpdateTensor<T>> tensors,
                const double* learning_rate, const std::int32_t* stopped, double momentum,
                bool nesterov);
template <class T>
void sgd_update(CudaContext& context, std::span<const UpdateTensor<T>> tensors,
                const double* learning_rate, const std::int32_t* stopped, double momentum,
                bool nesterov);

/// RMSProp in TensorFlow's form (epsilon inside the root):
/// s = decay * s + (1 - decay) g^2; b = momentum * b + learning_rate * g / sqrt(s + epsilon); w -=
/// b. learning_rate and stopped as in sgd_update.
template <class T>
void rmsprop_update(CpuContext& context, std::span<const UpdateTensor<T>> tensors,
                    const double* learning_rate, const std::int32_t* stopped, double decay,
                    double momentum, double epsilon);
template <class T>
void rmsprop_update(CudaContext& context, std::span<const UpdateTensor<T>> tensors,
                    const double* learning_rate, const std::int32_t* stopped, double decay,
                    double momentum, double epsilon);

}  // namespace shatter::kernels
