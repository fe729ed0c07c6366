// First values of parameters.
#pragma once

#include <shatter/core/tensor.h>

namespace shatter {

/// A distribution; fans are those of the weight: fan_in = inputs of one output unit.
struct Initializer {
  enum class Kind { constant, normal, truncated_normal, uniform };
  Kind kind = Kind::constant;
  /// constant: the value. normal, truncated_normal: the standard deviation before truncation (the
  /// values farther than two deviations are redrawn). uniform: the half-width.
  double scale = 0;

  /// Fills x, drawing from (seed, element) in double.
  void fill(const Tensor& x, std::uint64_t seed) const;
};

namespace init {
inline Initializer constant(double value) {
  return {Initializer::Kind::constant, value};
}
inline Initializer zeros() {
  return constant(0);
}
inline Initializer ones() {
  return constant(1);
}
inline Initializer normal(double deviation) {
  return {Initializer::Kind::normal, deviation};
}
inline Initializer truncated_normal(double deviation) {
  return {Initializer::Kind::truncated_normal, deviation};
}
inline Initializer uniform(double half_width) {
  return {Initializer::Kind::uniform, half_width};
}
/// Truncated normal with deviation sqrt(2 / fan_in): He et al. (arXiv 1502.01852), eq. 10.
Initializer he(std::int64_t fan_in);
/// Uniform with half-width sqrt(6 / (fan_in + fan_out)): Glorot and Bengio (2010), eq. 16.
Initializer glorot(std::int64_t fan_in, std::int64_t fan_out);
/// Uniform with half-width 1 / sqrt(fan_in): weights and biases of PyTorch's Linear and Conv2d.
Initializer pytorch(std::int64_t fan_in);
}  // namespace init

}  // namespace shatter
