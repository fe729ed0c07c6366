// Numbers that a test and the script of its golden file both compute.
#pragma once

#include <cstdint>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter::test {

/// Uniform in [-1, 1): tests/golden/formula.py's hash of (position, seed).
inline std::vector<double> formula_values(std::int64_t count, std::uint32_t seed) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto h = static_cast<std::uint32_t>(i) * 2654435761u + seed * 40503u + 12345u;
    h ^= h >> 16;
    h *= 2246822519u;
    h ^= h >> 13;
    values[i] = double(h) / 0x1p31 - 1;
  }
  return values;
}

/// The same as a tensor, float64.
inline Tensor formula_numbers(const Shape& shape, std::uint32_t seed) {
  return Tensor::from(formula_values(shape.numel(), seed), shape);
}

}  // namespace shatter::test
