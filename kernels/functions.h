// Elementwise mathematics, written once for every backend: values and derivatives.
#pragma once

#include <cmath>
#include <numbers>
#include <type_traits>

#include <shatter/kernels/philox.h>

namespace shatter::kernels {

/// A unary function f: operator()(x) is f(x), derivative(x, y) is f'(x) where y = f(x).
struct Exp {
  template <class T>
  constexpr T operator()(T x) const {
    return std::exp(x);
  }
  template <class T>
  constexpr T derivative(T, T y) const {
    return y;
  }
};

struct Log {
  template <class T>
  constexpr T operator()(T x) const {
    return std::log(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return T(1) / x;
  }
};

struct Sqrt {
  template <class T>
  constexpr T operator()(T x) const {
    return std::sqrt(x);
  }
  template <class T>
  constexpr T derivative(T, T y) const {
    return T(0.5) / y;
  }
};

struct Square {
  template <class T>
  constexpr T operator()(T x) const {
    return x * x;
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return x + x;
  }
};

struct Abs {
  template <class T>
  constexpr T operator()(T x) const {
    return std::abs(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : T(0);
  }
};

/// Zero only where x <= 0, so that NaN passes through.
struct Relu {
  template <class T>
  constexpr T operator()(T x) const {
    return x <= T(0) ? T(0) : x;
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return x <= T(0) ? T(0) : T(1);
  }
};

struct Sigmoid {
  template <class T>
  constexpr T operator()(T x) const {
    return T(1) / (T(1) + std::exp(-x));
  }
  template <class T>
  constexpr T derivative(T, T y) const {
    return y * (T(1) - y);
  }
};

struct Tanh {
  template <class T>
  constexpr T operator()(T x) const {
    return std::tanh(x);
  }
  template <class T>
  constexpr T derivative(T, T y) const {
    return (T(1) - y) * (T(1) + y);
  }
};

struct Sin {
  template <class T>
  constexpr T operator()(T x) const {
    return std::sin(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return std::cos(x);
  }
};

struct Cos {
  template <class T>
  constexpr T operator()(T x) const {
    return std::cos(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return -std::sin(x);
  }
};

struct Erf {
  template <class T>
  constexpr T operator()(T x) const {
    return std::erf(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return T(2 * std::numbers::inv_sqrtpi) * std::exp(-x * x);
  }
};

/// 0 and NaN stay what they are.
struct Sign {
  template <class T>
  constexpr T operator()(T x) const {
    return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
  }
  template <class T>
  constexpr T derivative(T, T) const {
    return T(0);
  }
};

struct Log1p {
  template <class T>
  constexpr T operator()(T x) const {
    return std::log1p(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    return T(1) / (T(1) + x);
  }
};

struct Expm1 {
  template <class T>
  constexpr T operator()(T x) const {
    return std::expm1(x);
  }
  template <class T>
  constexpr T derivative(T, T y) const {
    return y + T(1);
  }
};

struct Floor {
  template <class T>
  constexpr T operator()(T x) const {
    return std::floor(x);
  }
  template <class T>
  constexpr T derivative(T, T) const {
    return T(0);
  }
};

struct Ceil {
  template <class T>
  constexpr T operator()(T x) const {
    return std::ceil(x);
  }
  template <class T>
  constexpr T derivative(T, T) const {
    return T(0);
  }
};

/// Halves go to the even neighbour.
struct Round {
  template <class T>
  constexpr T operator()(T x) const {
    return std::rint(x);
  }
  template <class T>
  constexpr T derivative(T, T) const {
    return T(0);
  }
};

/// x times the normal distribution function: Hendrycks and Gimpel (arXiv:1606.08415), eq. 1.
struct Gelu {
  template <class T>
  constexpr T operator()(T x) const {
    return x * distribution(x);
  }
  template <class T>
  constexpr T derivative(T x, T) const {
    const T density = std::exp(T(-0.5) * x * x) * T(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    return distribution(x) + x * density;
  }

 private:
  template <class T>
  static constexpr T distribution(T x) {
    return T(0.5) * std::erfc(x * T(-0.5 * std::numbers::sqrt2));
  }
};

/// An integer as unsigned, whose arithmetic wraps; any other number itself.
template <class T>
constexpr auto wrapping(T x) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<std::make_unsigned_t<T>>(x);
  else
    return x;
}

struct Add {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(wrapping(a) + wrapping(b));
  }
};

struct Subtract {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(wrapping(a) - wrapping(b));
  }
};

struct Multiply {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(wrapping(a) * wrapping(b));
  }
};

struct Divide {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a / b;
  }
};

/// a on ties; NaN if either is NaN.
struct Maximum {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return (a >= b) | (a != a) ? a : b;
  }
};

struct Minimum {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return (a <= b) | (a != a) ? a : b;
  }
};

struct Pow {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return std::pow(a, b);
  }
};

/// The first operand.
struct Left {
  template <class T>
  constexpr T operator()(T a, T) const {
    return a;
  }
};

struct Equal {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return a == b;
  }
};

struct NotEqual {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return a != b;
  }
};

struct Less {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return a < b;
  }
};

struct LessEqual {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return a <= b;
  }
};

/// Whether `value` takes the place of `best` in a running maximum: larger, or the first NaN.
struct Exceeds {
  template <class T>
  constexpr bool operator()(T value, T best) const {
    return !(value <= best) & (best == best);
  }
};

/// s^-beta; the usual beta of 3/4 by roots, which vectorise.
template <class T>
constexpr T lrn_scale(T s, T beta, bool three_quarters) {
  if (three_quarters) {
    const T root = std::sqrt(s);
    return T(1) / (root * std::sqrt(root));
  }
  return std::pow(s, -beta);
}

/// exp(factor * |a - b|^2) from |a|^2, |b|^2 and a . b; factor is gaussian_factor(sigma). A
/// distance that roundings make negative is 0.
constexpr double gaussian_factor(double sigma) {
  return -0.5 / (sigma * sigma);
}
template <class T>
constexpr T gaussian(T a_norm, T b_norm, T product, T factor) {
  const T distance = a_norm + b_norm - T(2) * product;
  return std::exp(factor * (distance < T(0) ? T(0) : distance));
}

/// Two independent standard normal numbers by Box-Muller: radius from words 0 and 1, angle from
/// words 2 and 3. `first` is the cosine's, `second` the sine's.
struct NormalPair {
  double first, second;
};

constexpr NormalPair normal_pair(const Words4& words) {
  const double radius = std::sqrt(-2 * std::log(1 - uniform_double(words[0], words[1])));
  const double angle = 2 * std::numbers::pi * uniform_double(words[2], words[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// How many uniform numbers of type T a block of four random words gives.
template <class T>
inline constexpr int uniforms_per_block = std::is_same_v<T, double> ? 2 : 4;

/// Number j of the block in [low, high), with 24 random bits, as double with 53. What rounding
/// would make `high` or more is the number before it.
template <class T>
constexpr T uniform(const Words4& words, int j, double low, double high) {
  const auto at = static_cast<std::size_t>(j);
  double u;
  if constexpr (std::is_same_v<T, double>)
    u = uniform_double(words[2 * at], words[2 * at + 1]);
  else
    u = static_cast<double>(uniform_float(words[at]));
  const T y = static_cast<T>(low + (high - low) * u);
  if (low < high && static_cast<double>(y) >= high) return std::nextafter(y, static_cast<T>(low));
  return y;
}

}  // namespace shatter::kernels
