// Elementwise ops with NumPy's broadcasting.
#include <shatter/kernels/elementwise.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

using kernels::BinaryOp;
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

Tensor apply(const char* name, BinaryOp op, const Tensor& a_any, const Tensor& b_any) {
  const Tensor a = a_any.packed(), b = b_any.packed();
  const Shape shape = broadcast(a.shape(), b.shape());
  kernels::BroadcastGeometry g;
  for (int i = 1; i <= shape.rank(); ++i) g.shape[std::size_t(g.rank - i)] = shape[-i];
  g.a_step = steps(a.shape(), shape);
  g.b_step = steps(b.shape(), shape);
  const Tensor y = Tensor::empty(shape, a.dtype(), a.device());
  ops::run(name, a, [&]<class T>(auto& context) {
    kernels::binary<T>(context, op, g, a.data<T>(), b.data<T>(), y.data<T>());
  });
  return y;
}

/// maximum or minimum: the gradient goes to the chosen operand.
Tensor chosen(const char* name, BinaryOp op, const Tensor& a, const Tensor& b) {
  ops::check_operands(name, {a, b});
  const Tensor y = apply(name, op, a.detach(), b.detach());
  return record(
      name, y, {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), a = Saved(a.detach()), y = Saved(y)](
          const Tensor& dy, const Needed&) {
        // b is chosen where it alone is the result: on ties, and where a is NaN, it is a.
        const Tensor differs = affine(equal(*a, *y), -1, 1), a_is_number = equal(*a, *a);
        const Tensor to_b = multiply(dy, multiply(differs, a_is_number));
        return std::vector<Tensor>{sum_to(subtract(dy, to_b), a_shape), sum_to(to_b, b_shape)};
      },
      Order::second);
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
    case UnaryOp::log: return divide(Tensor::full({}, 1, x.dtype(), x.device()), x);
    case UnaryOp::sqrt: return divide(Tensor::full({}, 0.5, x.dtype(), x.device()), sqrt(x));
    case UnaryOp::square: return affine(x, 2, 0);
    case UnaryOp::abs:
    case UnaryOp::relu: return steps();
    case UnaryOp::sigmoid: {
      const Tensor y = sigmoid(x);
      return multiply(y, affine(y, -1, 1));
    }
    case UnaryOp::tanh: return affine(square(tanh(x)), -1, 1);
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

Tensor add(const Tensor& a, const Tensor& b) {
  ops::check_operands("add", {a, b});
  return record(
      "add", apply("add", BinaryOp::add, a.detach(), b.detach()), {a, b},
      [a = a.shape(), b = b.shape()](const Tensor& dy, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(dy, a) : Tensor(),
                                   needed[1] ? sum_to(dy, b) : Tensor()};
      },
      Order::second);
}

Tensor subtract(const Tensor& a, const Tensor& b) {
  ops::check_operands("subtract", {a, b});
  return record(
      "subtract", apply("subtract", BinaryOp::subtract, a.detach(), b.detach()), {a, b},
      [a = a.shape(), b = b.shape()](const Tensor& dy, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(dy, a) : Tensor(),
                                   needed[1] ? sum_to(-dy, b) : Tensor()};
      },
      Order::second);
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  ops::check_operands("multiply", {a, b});
  return record(
      "multiply", apply("multiply", BinaryOp::multiply, a.detach(), b.detach()), {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), a = Saved(a), b = Saved(b)](const Tensor& dy,
                                                                             const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? sum_to(multiply(dy, *b), a_shape) : Tensor(),
                                   needed[1] ? sum_to(multiply(dy, *a), b_shape) : Tensor()};
      },
      Order::second);
}

Tensor divide(const Tensor& a, const Tensor& b) {
  ops::check_operands("divide", {a, b});
  return record(
      "divide", apply("divide", BinaryOp::divide, a.detach(), b.detach()), {a, b},
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

Tensor equal(const Tensor& a, const Tensor& b) {
  ops::check_operands("equal", {a, b});
  return apply("equal", BinaryOp::equal, a.detach(), b.detach());
}

Tensor affine(const Tensor& x_any, double scale, double shift) {
  ops::check_operands("affine", {x_any});
  const Tensor x = x_any.packed();
  const Tensor y = ops::like(x);
  ops::run("affine", x, [&]<class T>(auto& context) {
    kernels::affine<T>(context, x.numel(), static_cast<T>(scale), static_cast<T>(shift),
                       x.data<T>(), y.data<T>());
  });
  return record(
      "affine", y, {x},
      [scale](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{affine(dy, scale, 0)};
      },
      Order::second);
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

}  // namespace shatter
