// Division by a number known at launch: a multiplication and a shift.
#pragma once

#include <cstdint>

#include <shatter/kernels/cuda/launch.h>

namespace shatter::kernels {

/// value is at least 1 and below 2^31; quotients are of integers from 0 to 2^31 - 1.
class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(std::int64_t value) : value_(static_cast<int>(value)) {
    // With 2^l >= value, ceil(2^(31+l) / value) exceeds the true ratio by less than 2^l / value
    // each, which over 31 bits stays below one unit.
    int l = 0;
    while ((std::int64_t{1} << l) < value) ++l;
    shift_ = 31 + l;
    const auto divisor = static_cast<std::uint64_t>(value);
    multiplier_ = static_cast<unsigned>(((std::uint64_t{1} << shift_) + divisor - 1) / divisor);
  }
  __host__ __device__ int value() const { return value_; }
  __host__ __device__ int quotient(int n) const {
    return static_cast<int>((std::uint64_t{static_cast<unsigned>(n)} * multiplier_) >> shift_);
  }

 private:
  int value_ = 1, shift_ = 31;
  unsigned multiplier_ = 1u << 31;
};

}  // namespace shatter::kernels
