// What the backends of the elementwise kernels share: from run-time names to functions and types,
// and the walk over broadcast and reordered dimensions.
#pragma once

#include <bit>
#include <limits>
#include <type_traits>

#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>

namespace shatter::kernels {

/// Calls use with the function that `op` names.
template <class Use>
void with_function(UnaryOp op, Use&& use) {
  switch (op) {
    case UnaryOp::exp: return use(Exp{});
    case UnaryOp::log: return use(Log{});
    case UnaryOp::sqrt: return use(Sqrt{});
    case UnaryOp::square: return use(Square{});
    case UnaryOp::abs: return use(Abs{});
    case UnaryOp::relu: return use(Relu{});
    case UnaryOp::sigmoid: return use(Sigmoid{});
    case UnaryOp::tanh: return use(Tanh{});
    case UnaryOp::sin: return use(Sin{});
    case UnaryOp::cos: return use(Cos{});
    case UnaryOp::erf: return use(Erf{});
    case UnaryOp::sign: return use(Sign{});
    case UnaryOp::log1p: return use(Log1p{});
    case UnaryOp::expm1: return use(Expm1{});
    case UnaryOp::floor: return use(Floor{});
    case UnaryOp::ceil: return use(Ceil{});
    case UnaryOp::round: return use(Round{});
    case UnaryOp::gelu: return use(Gelu{});
  }
}

/// Calls use with the function that `op` names; throws for those that integers T do not have.
template <class T, class Use>
void with_function(BinaryOp op, Use&& use) {
  if constexpr (!std::is_integral_v<T>) {
    if (op == BinaryOp::divide) return use(Divide{});
    if (op == BinaryOp::pow) return use(Pow{});
  }
  switch (op) {
    case BinaryOp::add: return use(Add{});
    case BinaryOp::subtract: return use(Subtract{});
    case BinaryOp::multiply: return use(Multiply{});
    case BinaryOp::maximum: return use(Maximum{});
    case BinaryOp::minimum: return use(Minimum{});
    case BinaryOp::left: return use(Left{});
    case BinaryOp::divide:
    case BinaryOp::pow: fail(ErrorKind::usage, "binary: integers have no ", name_of(op));
  }
}

/// Calls use with the function that `op` names.
template <class Use>
void with_function(CompareOp op, Use&& use) {
  switch (op) {
    case CompareOp::equal: return use(Equal{});
    case CompareOp::not_equal: return use(NotEqual{});
    case CompareOp::less: return use(Less{});
    case CompareOp::less_equal: return use(LessEqual{});
  }
}

/// The float that rounds to bfloat16 as `value` itself would: where value is no float, the one of
/// its two neighbours whose last bit is set. No tie is made of what was none.
template <class From>
constexpr float odd_float(From value) {
  const auto nearest = static_cast<float>(value);
  if constexpr (std::is_same_v<From, double>) {
    const auto back = static_cast<double>(nearest);
    const bool finite = nearest - nearest == 0;
    if (back == value || !finite) return nearest;
    const auto bits = std::bit_cast<std::uint32_t>(nearest);
    if (bits & 1u) return nearest;
    // One step away from zero adds 1 to the bits, one towards it subtracts 1.
    const bool outwards = value < 0 ? back > value : back < value;
    return std::bit_cast<float>(outwards ? bits + 1 : bits - 1);
  } else {
    return nearest;
  }
}

/// Any element type as any other, as convert() in elementwise.h says.
template <class To, class From>
constexpr To converted(From value) {
  if constexpr (std::is_same_v<To, bfloat16>) {
    return bfloat16(odd_float(value));
  } else if constexpr (std::is_same_v<From, bfloat16>) {
    return converted<To>(static_cast<float>(value));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    using Limits = std::numeric_limits<To>;
    // max() + 1 is a power of two, so a value of every floating type
    constexpr From above = static_cast<From>(Limits::max() / 2 + 1) * 2;
    if (value >= above) return Limits::max();
    if (value <= static_cast<From>(Limits::min())) return Limits::min();
    return value == value ? static_cast<To>(value) : To{0};
  } else {
    return static_cast<To>(value);
  }
}

/// Calls use with a value of the element type `dtype`.
template <class Use>
void with_type(DType dtype, Use&& use) {
  switch (dtype) {
    case DType::float32: return use(float{});
    case DType::float64: return use(double{});
    case DType::bfloat16: return use(bfloat16{});
    case DType::uint8: return use(std::uint8_t{});
    case DType::int32: return use(std::int32_t{});
    case DType::int64: return use(std::int64_t{});
  }
}

/// Merges neighbouring dimensions that both operands walk as one; the result is right-aligned.
inline BroadcastGeometry coalesce(const BroadcastGeometry& g) {
  constexpr int rank = BroadcastGeometry::rank;
  BroadcastGeometry result;
  int at = rank;  // the last dimension written
  for (int d = rank - 1; d >= 0; --d) {
    const auto i = static_cast<std::size_t>(d);
    if (g.shape[i] == 1) continue;
    if (at < rank) {
      const auto j = static_cast<std::size_t>(at);
      if (g.a_step[i] == result.a_step[j] * result.shape[j] &&
          g.b_step[i] == result.b_step[j] * result.shape[j]) {
        result.shape[j] *= g.shape[i];
        continue;
      }
    }
    const auto j = static_cast<std::size_t>(--at);
    result.shape[j] = g.shape[i];
    result.a_step[j] = g.a_step[i];
    result.b_step[j] = g.b_step[i];
  }
  return result;
}

/// The walk of permute(): y's shape with x's steps, for both operands.
inline BroadcastGeometry permuted(int rank, const std::int64_t* shape, const int* order) {
  constexpr int most = BroadcastGeometry::rank;
  check(rank >= 0 && rank <= most, "permute: rank ", rank, " is above ", most);
  std::array<std::int64_t, most> step_of{};
  std::int64_t n = 1;
  for (int d = rank - 1; d >= 0; --d) {
    step_of[static_cast<std::size_t>(d)] = n;
    n *= shape[d];
  }
  BroadcastGeometry g;
  for (int d = 0; d < rank; ++d) {
    const auto to = static_cast<std::size_t>(d + most - rank);
    g.shape[to] = shape[order[d]];
    g.a_step[to] = g.b_step[to] = step_of[static_cast<std::size_t>(order[d])];
  }
  return coalesce(g);
}

}  // namespace shatter::kernels
