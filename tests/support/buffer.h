// Guarded memory for kernel outputs, contexts of 1, 2 and 3 threads, and pitched rows.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <shatter/kernels/context.h>

#include "tests/support/catch.h"

namespace shatter::test {

/// n elements between two canaries. Every byte starts as 0xFF, which is NaN in both floating types.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::int64_t n) : n_(static_cast<std::size_t>(n)), bytes_(size(n_), 0xFF) {
    std::fill_n(bytes_.begin(), margin, static_cast<unsigned char>(0xA5));
    std::fill_n(bytes_.rbegin(), margin, static_cast<unsigned char>(0xA5));
  }
  explicit Guarded(const std::vector<T>& values)
      : Guarded(static_cast<std::int64_t>(values.size())) {
    if (n_) std::memcpy(data(), values.data(), n_ * sizeof(T));
  }

  T* data() { return reinterpret_cast<T*>(bytes_.data() + margin); }
  std::vector<T> values() { return std::vector<T>(data(), data() + n_); }

  /// Whether nothing outside the n elements was written.
  bool intact() const {
    for (std::size_t i = 0; i < margin; ++i)
      if (bytes_[i] != 0xA5 || bytes_[bytes_.size() - 1 - i] != 0xA5) return false;
    return true;
  }

 private:
  static constexpr std::size_t margin = 256;
  static std::size_t size(std::size_t n) { return n * sizeof(T) + 2 * margin; }

  std::size_t n_;
  std::vector<unsigned char> bytes_;
};

/// Contexts of 1, 2 and 3 threads.
inline std::array<CpuContext*, 3> contexts() {
  static CpuContext one(1), two(2), three(3);
  return {&one, &two, &three};
}

/// Packed rows spread to a pitch, NaN (0xFF bytes) in the gaps.
template <class T>
std::vector<T> spread(const std::vector<T>& packed, std::int64_t channels, std::int64_t pitch) {
  const std::int64_t rows = channels ? static_cast<std::int64_t>(packed.size()) / channels : 0;
  std::vector<T> result = Guarded<T>(rows * pitch).values();
  for (std::int64_t i = 0; i < rows; ++i)
    std::copy_n(packed.begin() + i * channels, channels, result.begin() + i * pitch);
  return result;
}

/// The rows packed again; requires that the gaps still hold 0xFF bytes.
template <class T>
std::vector<T> gather(const std::vector<T>& pitched, std::int64_t channels, std::int64_t pitch) {
  std::vector<T> result;
  const T untouched = Guarded<T>(1).values()[0];
  bool gaps_untouched = true;
  for (std::size_t i = 0; i < pitched.size(); ++i)
    if (static_cast<std::int64_t>(i) % pitch < channels)
      result.push_back(pitched[i]);
    else
      gaps_untouched = gaps_untouched && std::memcmp(&pitched[i], &untouched, sizeof(T)) == 0;
  REQUIRE(gaps_untouched);
  return result;
}

}  // namespace shatter::test
