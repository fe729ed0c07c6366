// Element types: their tags, sizes, names, and the bfloat16 storage type.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace shatter {

/// Upper 16 bits of an IEEE float: 8 bits of exponent, 7 of fraction. A storage type; arithmetic
/// is done in float. Conversion from float rounds to nearest even; every NaN stays a NaN.
struct bfloat16 {
  std::uint16_t bits = 0;

  constexpr bfloat16() = default;
  constexpr explicit bfloat16(float value) : bits(round(std::bit_cast<std::uint32_t>(value))) {}
  constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  friend constexpr bool operator==(bfloat16 a, bfloat16 b) { return float(a) == float(b); }

 private:
  static constexpr std::uint16_t round(std::uint32_t x) {
    const bool nan = (x & 0x7fffffffu) > 0x7f800000u;
    if (nan) return static_cast<std::uint16_t>((x >> 16) | 0x40u);  // stays quiet, keeps its sign
    return static_cast<std::uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
  }
};

enum class DType { float32, float64, bfloat16, uint8, int32, int64 };

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return 4;
    case DType::float64: return 8;
    case DType::bfloat16: return 2;
    case DType::uint8: return 1;
    case DType::int32: return 4;
    case DType::int64: return 8;
  }
  return 0;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::bfloat16: return "bfloat16";
    case DType::uint8: return "uint8";
    case DType::int32: return "int32";
    case DType::int64: return "int64";
  }
  return "?";
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}

/// The type of per-channel values and sums beside elements of `dtype`: wide_t, as a tag.
constexpr DType wide_of(DType dtype) {
  return dtype == DType::bfloat16 ? DType::float32 : dtype;
}

/// The tag of an element type: dtype_of<float> == DType::float32.
template <class T>
inline constexpr DType dtype_of = [] {
  if constexpr (std::is_same_v<T, float>)
    return DType::float32;
  else if constexpr (std::is_same_v<T, double>)
    return DType::float64;
  else if constexpr (std::is_same_v<T, bfloat16>)
    return DType::bfloat16;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return DType::uint8;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return DType::int32;
  else {
    static_assert(std::is_same_v<T, std::int64_t>, "not an element type of shatter");
    return DType::int64;
  }
}();

/// What arithmetic on T is done in and what per-channel values are kept in: float for bfloat16,
/// else T itself.
template <class T>
using wide_t = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;

}  // namespace shatter
