// Elementwise ops with NumPy's broadcasting.
#include <numbers>
#include <utility>

#include <shatter/kernels/elementwise.h>

#include <shatter/core/checks.h>
#include <shatter/core/indexing.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

using kernels::BinaryOp;
using kernels::CompareOp;
using kernels::UnaryOp;

/// Steps of x, packed, under the broadcast shape; 0 where x has one element for many.
std::array<std::int64_t, kernels::BroadcastGeometry::rank> steps(const Shape& x,
                                                                 const Shape& shape) {
  constexpr int rank = kernels::BroadcastGeometry::rank;
  std::array<std::int64_t, rank> step{};
  std::int64_t next = 1;
  for (int i = 1; i <= x.rank(); ++i) {
    if (x[-i] == shape[-i] && x[-i] != 1) step[std::size_t(rank - i)] = next;
    next *= x[-i];
  }
  return step;
}

/// How a and b are walked under the broadcast of their shapes.
kernels::BroadcastGeometry walk(const Tensor& a, const Tensor& b, const Shape& shape) {
  kernels::BroadcastGeometry g;
  for (int i = 1; i <= shape.rank(); ++i) g.shape[std::size_t(g.rank - i)] = shape[-i];
  g.a_step = steps(a.shape(), shape);
  g.b_step = steps(b.shape(), shape);
  return g;
}

using Operands = std::pair<Tensor, Tensor>;

/// a and b in the type of their result.
Operands promoted(const char* name, const Tensor& a, const Tensor& b) {
  check(a.defined() && b.defined(), name, ": the ", a.defined() ? "second" : "first",
        " operand is undefined");
  if (is_floating(a.dtype()) && is_floating(b.dtype())) {
    ops::check_operands(name, {a, b});
    return {a, b};
  }
  check(a.device() == b.device(), name, ": operands are on ", a.device().name(), " and ",
        b.device().name());
  const bool first = is_floating(a.dtype()) ||
                     (!is_floating(b.dtype()) && size_of(a.dtype()) >= size_of(b.dtype()));
  const DType type = first ? a.dtype() : b.dtype();
  return {a.to(type), b.to(type)};
}

/// x and the number in the type of their result.
Operands promoted(const char* name, const Tensor& x, Scalar s) {
  check(x.defined(), name, ": the tensor is undefined");
  const Tensor in = is_floating(x.dtype()) || s.whole ? x : x.to(DType::float32);
  return {in, Tensor::full({}, s.value, in.dtype(), x.device())};
}

/// a and b, which have one type, element by element; without gradient.
Tensor apply(BinaryOp op, const Tensor& a_any, const Tensor& b_any) {
  const Tensor a = a_any.detach().packed(), b = b_any.detach().packed();
  const Shape shape = broadcast(a.shape(), b.shape());
  const kernels::BroadcastGeometry g = walk(a, b, shape);
  const Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  ops::run_any(a, [&]<class T>(auto& context) {
    kernels::binary<T>(context, op, g, a.data<T>(), b.data<T>(), y.data<T>());
  });
  return y;
}

Tensor compare(CompareOp op, const Operands& operands) {
  const Tensor a = operands.first.detach().packed(), b = operands.second.detach().packed();
  const Shape shape = broadcast(a.shape(), b.shape());
  const kernels::BroadcastGeometry g = walk(a, b, shape);
  const Tensor y = Tensor::empty(shape, DType::uint8, a.device());
  ops::run_any(a, [&]<class T>(auto& context) {
    kernels::compare<T>(context, op, g, a.data<T>(), b.data<T>(), y.data<std::uint8_t>());
  });
  return y;
}

/// x and a number to compare it with, so that the comparison is exact.
Operands comparable(const char* name, const Tensor& x, Scalar s) {
  check(x.defined(), name, ": the tensor is undefined");
  if (is_floating(x.dtype())) return promoted(name, x, s);
  return promoted(name, x.to(s.whole ? DType::int64 : DType::float64), s);
}

Operands swapped(const Operands& operands) {
  return {operands.second, operands.first};
}

/// x broadcast to `shape`, packed, without gradient.
Tensor expanded(const Tensor& x_any, const Shape& shape) {
  const Tensor x = x_any.detach().packed();
  if (x.shape() == shape) return x;
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  kernels::BroadcastGeometry g = walk(x, x, shape);
  ops::run_any(x, [&]<class T>(auto& context) {
    kernels::binary<T>(context, BinaryOp::left, g, x.data<T>(), x.data<T>(), y.data<T>());
  });
  return y;
}

/// maximum or minimum: the gradient goes to the chosen operand.
Tensor chosen(const char* name, BinaryOp op, const Tensor& a_any, const Tensor& b_any) {
  const auto [a, b] = promoted(name, a_any, b_any);
  const Tensor y = apply(op, a, b);
  return record(
      name, y, {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), a = Saved(a.detach()), y = Saved(y)](
          const Tensor& dy, const Needed&) {
        // b is chosen where it alone is the result: on ties, and where a is NaN, it is a.
        const Tensor b_chosen = logical_and(not_equal(*a, *y), equal(*a, *a));
        return std::vector<Tensor>{sum_to(where(b_chosen, 0, dy), a_shape),
                                   sum_to(where(b_chosen, dy, 0), b_shape)};
      },
      Order::second);
}

/// scale * x + shift for the floating x of the op `name`.
Tensor scaled(const char* name, const Tensor& x_any, double scale, double shift) {
  ops::check_operands(name, {x_any});
  const Tensor x = x_any.packed();
  const Tensor y = ops::like(x);
  ops::run_mixed(name, x, [&]<class T>(auto& context) {
    kernels::affine<T>(context, x.numel(), static_cast<wide_t<T>>(scale),
                       static_cast<wide_t<T>>(shift), x.data<T>(), y.data<T>());
  });
  return record(
      name, y, {x},
      [name, scale](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{scaled(name, dy, scale, 0)};
      },
      Order::second);
}

/// Whether x and s are integers, so that their result is.
bool stays_integer(const char* name, const Tensor& x, Scalar s) {
  check(x.defined(), name, ": the tensor is undefined");
  return !is_floating(x.dtype()) && s.whole;
}

/// x, in float32 if it is of integers.
Tensor floating(const char* name, const Tensor& x) {
  check(x.defined(), name, ": the tensor is undefined");
  return is_floating(x.dtype()) ? x : x.to(DType::float32);
}

/// op(x, s), or of `swapped` operands op(s, x), of integers; else what it is then: scale * x +
/// shift.
Tensor with_number(const char* name, BinaryOp op, const Tensor& x, Scalar s, bool swapped,
                   double scale, double shift) {
  if (!stays_integer(name, x, s)) return scaled(name, floating(name, x), scale, shift);
  const auto [a, b] = promoted(name, x, s);
  return swapped ? apply(op, b, a) : apply(op, a, b);
}

/// f'(x) by differentiable ops.
Tensor derivative(UnaryOp op, const Tensor& x) {
  const auto steps = [&] {  // of a function made of straight lines
    const Tensor line = x.detach(), ones = Tensor::full(x.shape(), 1, x.dtype(), x.device());
    const Tensor slope = ops::like(x);
    ops::run_mixed(name_of(op), x, [&]<class T>(auto& context) {
      kernels::unary_backward<T>(context, op, x.numel(), line.data<T>(), line.data<T>(),
                                 ones.data<T>(), slope.data<T>());
    });
    return slope;
  };
  switch (op) {
    case UnaryOp::exp: return exp(x);
    case UnaryOp::log: return 1 / x;
    case UnaryOp::sqrt: return 0.5 / sqrt(x);
    case UnaryOp::square: return affine(x, 2, 0);
    case UnaryOp::abs:
    case UnaryOp::relu:
    case UnaryOp::sign:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::round: return steps();
    case UnaryOp::log1p: return 1 / (x + 1);
    case UnaryOp::expm1: return exp(x);
    case UnaryOp::gelu: {
      const Tensor density = affine(exp(affine(square(x), -0.5, 0)),
                                    std::numbers::inv_sqrtpi / std::numbers::sqrt2, 0);
      return affine(erf(affine(x, std::numbers::sqrt2 / 2, 0)), 0.5, 0.5) + x * density;
    }
    case UnaryOp::sigmoid: {
      const Tensor y = sigmoid(x);
      return multiply(y, affine(y, -1, 1));
    }
    case UnaryOp::tanh: return affine(square(tanh(x)), -1, 1);
    case UnaryOp::sin: return cos(x);
    case UnaryOp::cos: return negative(sin(x));
    case UnaryOp::erf: return affine(exp(negative(square(x))), 2 * std::numbers::inv_sqrtpi, 0);
  }
  fail(ErrorKind::unexpected, "derivative: no such function");
}

Tensor unary(const char* name, UnaryOp op, const Tensor& x_any) {
  ops::check_operands(name, {x_any});
  const Tensor x = x_any.packed();
  const Tensor y = ops::like(x);
  ops::run_mixed(name, x, [&]<class T>(auto& context) {
    kernels::unary_forward<T>(context, op, x.numel(), x.data<T>(), y.data<T>());
  });
  return record(
      name, y, {x},
      [name, op, saved_x = Saved(x), saved_y = Saved(y)](const Tensor& dy, const Needed&) {
        const Tensor in = *saved_x, dense = dy.packed();
        if (grad_enabled()) return std::vector<Tensor>{multiply(dense, derivative(op, in))};
        const Tensor out = *saved_y, dx = ops::like(in);
        ops::run_mixed(name, in, [&]<class T>(auto& context) {
          kernels::unary_backward<T>(context, op, in.numel(), in.data<T>(), out.data<T>(),
                                     dense.data<T>(), dx.data<T>());
        });
        return std::vector<Tensor>{dx};
      },
      Order::second);
}

}  // namespace

Tensor add(const Tensor& a_any, const Tensor& b_any) {
  const auto [a, b] = promoted("add", a_any, b_any);
  return record(
      "add", apply(BinaryOp::add, a, b), {a, b},
      [a = a.shape(), b = b.shape()](const Tensor& dy, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(dy, a) : Tensor(),
                                   needed[1] ? sum_to(dy, b) : Tensor()};
      },
      Order::second);
}

Tensor subtract(const Tensor& a_any, const Tensor& b_any) {
  const auto [a, b] = promoted("subtract", a_any, b_any);
  return record(
      "subtract", apply(BinaryOp::subtract, a, b), {a, b},
      [a = a.shape(), b = b.shape()](const Tensor& dy, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(dy, a) : Tensor(),
                                   needed[1] ? sum_to(-dy, b) : Tensor()};
      },
      Order::second);
}

Tensor multiply(const Tensor& a_any, const Tensor& b_any) {
  const auto [a, b] = promoted("multiply", a_any, b_any);
  return record(
      "multiply", apply(BinaryOp::multiply, a, b), {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), a = Saved(a), b = Saved(b)](const Tensor& dy,
                                                                             const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(multiply(dy, *b), a_shape) : Tensor(),
                                   needed[1] ? sum_to(multiply(dy, *a), b_shape) : Tensor()};
      },
      Order::second);
}

Tensor divide(const Tensor& a_any, const Tensor& b_any) {
  const auto [one, other] = promoted("divide", a_any, b_any);
  const Tensor a = floating("divide", one), b = floating("divide", other);
  return record(
      "divide", apply(BinaryOp::divide, a, b), {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), a = Saved(a), b = Saved(b)](const Tensor& dy,
                                                                             const Needed& needed) {
        const Tensor da = divide(dy, *b);
        return std::vector<Tensor>{
            needed[0] ? sum_to(da, a_shape) : Tensor(),
            needed[1] ? sum_to(-multiply(da, divide(*a, *b)), b_shape) : Tensor()};
      },
      Order::second);
}

Tensor maximum(const Tensor& a, const Tensor& b) {
  return chosen("maximum", BinaryOp::maximum, a, b);
}

Tensor minimum(const Tensor& a, const Tensor& b) {
  return chosen("minimum", BinaryOp::minimum, a, b);
}

Tensor add(const Tensor& x, Scalar shift) {
  return with_number("add", BinaryOp::add, x, shift, false, 1, shift.value);
}
Tensor subtract(const Tensor& x, Scalar shift) {
  return with_number("subtract", BinaryOp::subtract, x, shift, false, 1, -shift.value);
}
Tensor subtract(Scalar from, const Tensor& x) {
  return with_number("subtract", BinaryOp::subtract, x, from, true, -1, from.value);
}
Tensor multiply(const Tensor& x, Scalar scale) {
  return with_number("multiply", BinaryOp::multiply, x, scale, false, scale.value, 0);
}

Tensor divide(const Tensor& x, Scalar divisor) {
  return scaled("divide", floating("divide", x), 1 / divisor.value, 0);
}

Tensor divide(Scalar dividend, const Tensor& x) {
  const Tensor in = floating("divide", x);
  return divide(Tensor::full({}, dividend.value, in.dtype(), in.device()), in);
}

Tensor negative(const Tensor& x) {
  if (stays_integer("negative", x, 0)) return subtract(0, x);
  return scaled("negative", x, -1, 0);
}

Tensor pow(const Tensor& a, const Tensor& b) {
  ops::check_operands("pow", {a, b});
  const Tensor y = apply(BinaryOp::pow, a, b);
  return record(
      "pow", y, {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), saved_a = Saved(a), saved_b = Saved(b)](
          const Tensor& dy, const Needed& needed) {
        const Tensor base = *saved_a, exponent = *saved_b;
        Tensor da, db;
        if (needed[0]) {
          // x^0 is 1 everywhere, also where 1 / x is infinite.
          const Tensor lower = where(equal(exponent, 0), 1, exponent - 1);
          da = sum_to(dy * exponent * pow(base, lower), a_shape);
        }
        if (needed[1]) {
          const Tensor flat = logical_and(equal(base, 0), greater_equal(exponent, 0));
          db = sum_to(dy * pow(base, exponent) * log(where(flat, 1, base)), b_shape);
        }
        return std::vector<Tensor>{da, db};
      },
      Order::second);
}

Tensor pow(const Tensor& x, double exponent) {
  ops::check_operands("pow", {x});
  return pow(x, Tensor::full({}, exponent, x.dtype(), x.device()));
}

Tensor clamp(const Tensor& x, double low, double high) {
  ops::check_operands("clamp", {x});
  check(low <= high, "clamp: ", low, " to ", high);
  const auto number = [&](double value) { return Tensor::full({}, value, x.dtype(), x.device()); };
  const Tensor above = apply(BinaryOp::maximum, x, number(low));
  return record(
      "clamp", apply(BinaryOp::minimum, above, number(high)), {x},
      [x = Saved(x.detach()), low, high](const Tensor& dy, const Needed&) {
        const Tensor inside = logical_and(greater_equal(*x, low), less_equal(*x, high));
        return std::vector<Tensor>{where(inside, dy, 0)};
      },
      Order::second);
}

Tensor affine(const Tensor& x, double scale, double shift) {
  return scaled("affine", x, scale, shift);
}

Tensor equal(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::equal, promoted("equal", a, b));
}
Tensor equal(const Tensor& x, Scalar s) {
  return compare(CompareOp::equal, comparable("equal", x, s));
}
Tensor not_equal(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::not_equal, promoted("not_equal", a, b));
}
Tensor not_equal(const Tensor& x, Scalar s) {
  return compare(CompareOp::not_equal, comparable("not_equal", x, s));
}
Tensor less(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::less, promoted("less", a, b));
}
Tensor less(const Tensor& x, Scalar s) {
  return compare(CompareOp::less, comparable("less", x, s));
}
Tensor less_equal(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::less_equal, promoted("less_equal", a, b));
}
Tensor less_equal(const Tensor& x, Scalar s) {
  return compare(CompareOp::less_equal, comparable("less_equal", x, s));
}
Tensor greater(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::less, swapped(promoted("greater", a, b)));
}
Tensor greater(const Tensor& x, Scalar s) {
  return compare(CompareOp::less, swapped(comparable("greater", x, s)));
}
Tensor greater_equal(const Tensor& a, const Tensor& b) {
  return compare(CompareOp::less_equal, swapped(promoted("greater_equal", a, b)));
}
Tensor greater_equal(const Tensor& x, Scalar s) {
  return compare(CompareOp::less_equal, swapped(comparable("greater_equal", x, s)));
}

Tensor isnan(const Tensor& x) {
  return not_equal(x, x);
}
Tensor logical_and(const Tensor& a, const Tensor& b) {
  return multiply(not_equal(a, 0), not_equal(b, 0));
}
Tensor logical_or(const Tensor& a, const Tensor& b) {
  return maximum(not_equal(a, 0), not_equal(b, 0));
}
Tensor logical_not(const Tensor& x) {
  return equal(x, 0);
}

Tensor broadcast_to(const Tensor& x_any, const Shape& shape) {
  check(x_any.defined(), "broadcast_to: the operand is undefined");
  if (x_any.shape() == shape) return x_any;
  const Tensor x = x_any.packed();
  check(broadcast(x.shape(), shape) == shape, "broadcast_to: ", x.shape(), " does not become ",
        shape);
  return record(
      "broadcast_to", expanded(x, shape), {x},
      [from = x.shape()](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{sum_to(dy, from)};
      },
      Order::second);
}

Tensor where(const Tensor& mask, const Tensor& a_any, const Tensor& b_any) {
  const auto [a, b] = promoted("where", a_any, b_any);
  check(mask.defined() && mask.dtype() == DType::uint8 && mask.device() == a.device(),
        "where: the mask is ", mask.str(), mask ? " on " + mask.device().name() : "",
        ", expected uint8 on ", a.device().name(), ", as comparisons give it");
  const Shape shape = broadcast(mask.shape(), broadcast(a.shape(), b.shape()));
  const Tensor m = expanded(mask, shape), left = expanded(a, shape), right = expanded(b, shape);
  const Tensor y = ops::like(left);
  ops::run_any(left, [&]<class T>(auto& context) {
    kernels::select<T>(context, y.numel(), m.data<std::uint8_t>(), left.data<T>(), right.data<T>(),
                       y.data<T>());
  });
  return record(
      "where", y, {a, b},
      [a = a.shape(), b = b.shape(), mask = Saved(mask)](const Tensor& dy, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(where(*mask, dy, 0), a) : Tensor(),
                                   needed[1] ? sum_to(where(*mask, 0, dy), b) : Tensor()};
      },
      Order::second);
}

Tensor where(const Tensor& mask, const Tensor& a, Scalar b) {
  const auto [x, number] = promoted("where", a, b);
  return where(mask, x, number);
}

Tensor where(const Tensor& mask, Scalar a, const Tensor& b) {
  const auto [x, number] = promoted("where", b, a);
  return where(mask, number, x);
}

Tensor& update(const char* op, Tensor& t, const Tensor& result) {
  check(result.shape() == t.shape() && result.dtype() == t.dtype(), op, ": the result is ",
        result.str(), ", the tensor ", t.str());
  if (result.requires_grad()) {
    check(!(t.requires_grad() && t.node()->leaf), op,
          ": the tensor is a leaf that requires a gradient; use NoGrad, or t = t + u for a new "
          "tensor");
    t = result;
  } else {
    t.copy_from(result);
  }
  return t;
}

Tensor exp(const Tensor& x) {
  return unary("exp", UnaryOp::exp, x);
}
Tensor log(const Tensor& x) {
  return unary("log", UnaryOp::log, x);
}
Tensor sqrt(const Tensor& x) {
  return unary("sqrt", UnaryOp::sqrt, x);
}
Tensor square(const Tensor& x) {
  return unary("square", UnaryOp::square, x);
}
Tensor abs(const Tensor& x) {
  return unary("abs", UnaryOp::abs, x);
}
Tensor relu(const Tensor& x) {
  return unary("relu", UnaryOp::relu, x);
}
Tensor sigmoid(const Tensor& x) {
  return unary("sigmoid", UnaryOp::sigmoid, x);
}
Tensor tanh(const Tensor& x) {
  return unary("tanh", UnaryOp::tanh, x);
}
Tensor sin(const Tensor& x) {
  return unary("sin", UnaryOp::sin, x);
}
Tensor cos(const Tensor& x) {
  return unary("cos", UnaryOp::cos, x);
}
Tensor erf(const Tensor& x) {
  return unary("erf", UnaryOp::erf, x);
}
Tensor sign(const Tensor& x) {
  return unary("sign", UnaryOp::sign, x);
}
Tensor log1p(const Tensor& x) {
  return unary("log1p", UnaryOp::log1p, x);
}
Tensor expm1(const Tensor& x) {
  return unary("expm1", UnaryOp::expm1, x);
}
Tensor floor(const Tensor& x) {
  return unary("floor", UnaryOp::floor, x);
}
Tensor ceil(const Tensor& x) {
  return unary("ceil", UnaryOp::ceil, x);
}
Tensor round(const Tensor& x) {
  return unary("round", UnaryOp::round, x);
}
Tensor gelu(const Tensor& x) {
  return unary("gelu", UnaryOp::gelu, x);
}
Tensor silu(const Tensor& x) {
  return x * sigmoid(x);
}

}  // namespace shatter
