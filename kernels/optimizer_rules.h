// The rules of optimizers, written once for every backend: what an update does to one element.
#pragma once

#include <cmath>
#include <cstdint>
#include <variant>

namespace shatter::kernels {

/// What all elements of a tensor share in one step. The corrections are 1 for rules without any.
template <class T>
struct StepValues {
  T rate = 0, weight_decay = 0;
  T first_correction = 1, second_correction = 1;
};

/// Factors that depend on how many updates there were.
struct Corrections {
  double first = 1, second = 1;
};

// A rule has a name for the profile, how many buffers it keeps for each parameter, and the
// operations of its formula. Called for an element with gradient g, it overwrites the parameter w
// and the buffers. A rule with corrections(count) counts its updates: the first has count 1.

/// w -= rate * (g + weight_decay * w).
struct SgdRule {
  static constexpr const char* name = "sgd_update";
  static constexpr int buffers = 0, flop = 4;
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g) const {
    w -= step.rate * (g + step.weight_decay * w);
  }
};

/// v = momentum * v + g + weight_decay * w; w -= rate * v.
struct MomentumRule {
  static constexpr const char* name = "sgd_update";
  static constexpr int buffers = 1, flop = 6;
  double momentum = 0;
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g, T& v) const {
    v = T(momentum) * v + (g + step.weight_decay * w);
    w -= step.rate * v;
  }
};

/// The same v; w -= rate * (g + weight_decay * w + momentum * v).
struct NesterovRule {
  static constexpr const char* name = "sgd_update";
  static constexpr int buffers = 1, flop = 8;
  double momentum = 0;
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g, T& v) const {
    g += step.weight_decay * w;
    v = T(momentum) * v + g;
    w -= step.rate * (g + T(momentum) * v);
  }
};

/// RMSProp in TensorFlow's form, epsilon inside the root: g += weight_decay * w;
/// s = decay * s + (1 - decay) g^2; w -= rate * g / sqrt(s + epsilon).
struct RmsPropRule {
  static constexpr const char* name = "rmsprop_update";
  static constexpr int buffers = 1, flop = 11;
  double decay = 0, epsilon = 0;
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g, T& s) const {
    w -= scaled(step, w, g, s);
  }
  /// Moves s on; the step without momentum.
  template <class T>
  constexpr T scaled(const StepValues<T>& step, T w, T g, T& s) const {
    g += step.weight_decay * w;
    s = T(decay) * s + T(1 - decay) * g * g;
    return step.rate * g / std::sqrt(s + T(epsilon));
  }
};

/// The same s; b = momentum * b + rate * g / sqrt(s + epsilon); w -= b.
struct RmsPropMomentumRule {
  static constexpr const char* name = "rmsprop_update";
  static constexpr int buffers = 2, flop = 13;
  RmsPropRule plain;
  double momentum = 0;
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g, T& s, T& b) const {
    b = T(momentum) * b + plain.scaled(step, w, g, s);
    w -= b;
  }
};

/// m = beta1 * m + (1 - beta1) g; s = beta2 * s + (1 - beta2) g^2; w -= rate * m / (1 - beta1^t) /
/// (sqrt(s / (1 - beta2^t)) + epsilon) in update t. Before it, g += weight_decay * w (Adam), or
/// w -= rate * weight_decay * w where the decay is decoupled (AdamW).
struct AdamRule {
  static constexpr const char* name = "adam_update";
  static constexpr int buffers = 2, flop = 15;
  double beta1 = 0, beta2 = 0, epsilon = 0;
  bool decoupled = false;
  constexpr Corrections corrections(double count) const {
    return {1 / (1 - std::pow(beta1, count)), 1 / std::sqrt(1 - std::pow(beta2, count))};
  }
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g, T& m, T& s) const {
    if (decoupled)
      w -= step.rate * step.weight_decay * w;
    else
      g += step.weight_decay * w;
    m = T(beta1) * m + T(1 - beta1) * g;
    s = T(beta2) * s + T(1 - beta2) * g * g;
    w -= step.rate * step.first_correction * m /
         (std::sqrt(s) * step.second_correction + T(epsilon));
  }
};

/// An exponential moving average w of g: w = decay * w + (1 - decay) g.
struct AverageRule {
  static constexpr const char* name = "average_update";
  static constexpr int buffers = 0, flop = 3;
  double decay = 0;
  template <class T>
  constexpr void operator()(const StepValues<T>&, T& w, T g) const {
    w = T(decay) * w + T(1 - decay) * g;
  }
};

/// w = rate * g; w and g may be one.
struct ScaleRule {
  static constexpr const char* name = "scale_update";
  static constexpr int buffers = 0, flop = 1;
  template <class T>
  constexpr void operator()(const StepValues<T>& step, T& w, T g) const {
    w = step.rate * g;
  }
};

/// The most buffers of any rule.
inline constexpr int most_buffers = 2;

using UpdateRule = std::variant<SgdRule, MomentumRule, NesterovRule, RmsPropRule,
                                RmsPropMomentumRule, AdamRule, AverageRule, ScaleRule>;

template <class Rule>
concept CountsUpdates = requires(const Rule& rule) {
  rule.corrections(1.0);
};

}  // namespace shatter::kernels
