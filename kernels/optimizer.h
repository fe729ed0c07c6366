// Parameter updates: all tensors of a model in one call.
#pragma once

#include <limits>
#include <span>

#include <shatter/kernels/context.h>
#include <shatter/kernels/optimizer_rules.h>

namespace shatter::kernels {

/// One parameter w with gradient dw and the rule's buffers, n elements each.
template <class T>
struct UpdateTensor {
  T* w = nullptr;
  const T* dw = nullptr;
  T* buffers[most_buffers] = {};
  std::int64_t n = 0;
  double weight_decay = 0;  ///< gradient of (decay / 2) |w|^2: decay * w
  double rate_scale = 1;    ///< its rate is the step's times this
};

/// What differs from step to step, in the context's memory, so that a captured step finds each
/// step's own.
struct UpdateStep {
  const double* rate = nullptr;           ///< may be null for rules without one
  const std::int32_t* stopped = nullptr;  ///< where *stopped is not 0 nothing changes; may be null
  /// How many updates there were, moved on before the rule sees it. Rules that count none ignore
  /// it.
  std::int64_t* count = nullptr;
};

/// Applies the rule to every element. T: float, double.
template <class T>
void update(CpuContext& context, const UpdateRule& rule, std::span<const UpdateTensor<T>> tensors,
            const UpdateStep& step);
template <class T>
void update(CudaContext& context, const UpdateRule& rule, std::span<const UpdateTensor<T>> tensors,
            const UpdateStep& step);

/// norm[0] = the root of the sum of dw^2 over all tensors, added in double in an order fixed by
/// their lengths. factor[0] = what makes that norm `most`, but at most 1; NaN where the norm is not
/// finite. T: float, double.
template <class T>
void gradient_norm(CpuContext& context, std::span<const UpdateTensor<T>> tensors, double most,
                   double* norm, double* factor);
template <class T>
void gradient_norm(CudaContext& context, std::span<const UpdateTensor<T>> tensors, double most,
                   double* norm, double* factor);

/// What the rule sees of a step: the numbers of a tensor's elements.
template <class T>
constexpr StepValues<T> step_values(const UpdateTensor<T>& tensor, double rate,
                                    const Corrections& corrections) {
  return {static_cast<T>(rate * tensor.rate_scale), static_cast<T>(tensor.weight_decay),
          static_cast<T>(corrections.first), static_cast<T>(corrections.second)};
}

/// The factor of gradient_norm().
constexpr double clipping_factor(double norm, double most) {
  if (norm <= most) return 1;
  return std::isfinite(norm) ? most / norm : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace shatter::kernels
