// Test values, and comparisons whose tolerance follows from the element type.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <shatter/kernels/philox.h>
#include <shatter/kernels/types.h>

#include "tests/support/catch.h"

namespace shatter::test {

/// What rounding to T costs: a storage type rounds once, after arithmetic in float.
template <class T>
struct Precision {
  static constexpr double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  static constexpr double smallest = static_cast<double>(std::numeric_limits<T>::min());
  static constexpr double storage = 0;
};
template <>
struct Precision<bfloat16> : Precision<float> {
  static constexpr double storage = 0x1p-8;  ///< half a unit in the last of 8 bits
};

/// n values uniform in [low, high) that float holds exactly, so that both types test one problem;
/// bfloat16 has them rounded.
template <class T>
std::vector<T> random_values(std::int64_t n, std::uint64_t seed, double low = -1, double high = 1) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto u = uniform_float(random_words({seed}, static_cast<std::uint32_t>(i))[0]);
    values.push_back(static_cast<T>(static_cast<float>(low + (high - low) * double(u))));
  }
  return values;
}

/// Small integers, whose sums and products are exact.
template <class T>
std::vector<T> integer_values(std::int64_t n, std::uint64_t seed, int extent = 3) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const Words4 words = random_words({seed}, static_cast<std::uint32_t>(i));
    const auto draw = below(static_cast<std::uint32_t>(2 * extent + 1), words[0], words[1]);
    values.push_back(static_cast<T>(static_cast<float>(int(draw) - extent)));
  }
  return values;
}

template <class T>
std::vector<double> to_double(const std::vector<T>& values) {
  return std::vector<double>(values.begin(), values.end());
}

/// Relative rounding error of a sum of `length` terms: a random walk of half-ulp steps, with room
/// for eight standard deviations and a few further operations; then `stored` roundings of a storage
/// type, more than one where an operand is a rounded result itself.
template <class T>
double tolerance(double length, double stored = 1) {
  return 4 * Precision<T>::epsilon * std::sqrt(length + 16) + stored * Precision<T>::storage;
}

/// Requires |actual - expected| <= tolerance(length, stored) times the largest magnitude among
/// `expected` (at least `floor`) everywhere; NaN and infinities must agree.
template <class T>
void require_close(const std::vector<T>& actual, const std::vector<double>& expected,
                   double length = 1, double floor = 1e-3, double stored = 1) {
  REQUIRE(actual.size() == expected.size());
  double magnitude = floor;
  for (const double value : expected)
    if (std::isfinite(value)) magnitude = std::max(magnitude, std::abs(value));
  const double allowed = tolerance<T>(length, stored) * magnitude;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto value = static_cast<double>(actual[i]);
    const bool same = value == expected[i] || (std::isnan(value) && std::isnan(expected[i])) ||
                      std::abs(value - expected[i]) <= allowed;
    if (!same) {
      CAPTURE(i, value, expected[i], allowed);
      REQUIRE(same);
    }
  }
}

/// Requires each element within a few roundings of its own value.
template <class T>
void require_each_close(const std::vector<T>& actual, const std::vector<double>& expected,
                        double roundings = 4) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const auto value = static_cast<double>(actual[i]);
    const double allowed =
        (roundings * Precision<T>::epsilon + Precision<T>::storage) * std::abs(expected[i]) +
        Precision<T>::smallest;
    const bool same = value == expected[i] || (std::isnan(value) && std::isnan(expected[i])) ||
                      std::abs(value - expected[i]) <= allowed;
    if (!same) {
      CAPTURE(i, value, expected[i], allowed);
      REQUIRE(same);
    }
  }
}

}  // namespace shatter::test
