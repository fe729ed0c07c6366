// Reductions, and matching a gradient to a broadcast operand.
#include <shatter/kernels/reduce.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

using kernels::ReduceOp;

kernels::ReduceGeometry along(const Shape& shape, int axis) {
  kernels::ReduceGeometry g{.reduced = shape[axis]};
  for (int i = 0; i < axis; ++i) g.outer *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) g.inner *= shape[i];
  return g;
}

/// Calls f<T>(context) with the type that x is reduced in: a floating one or int64.
template <class F>
void run_reduction(const char* name, const Tensor& x, F&& f) {
  on(x.device(), [&](auto& context) {
    if (x.dtype() == DType::int64)
      f.template operator()<std::int64_t>(context);
    else
      ops::run_mixed(name, x, f);
  });
}

/// x itself, or as int64.
Tensor reducible(const char* name, const Tensor& x) {
  check(x.defined(), name, ": the operand is undefined");
  return is_floating(x.dtype()) ? x : x.to(DType::int64);
}

/// x reduced along one dimension, which stays with size 1.
Tensor reduce(const char* name, ReduceOp op, const Tensor& x_any, int axis) {
  const Tensor x = x_any.packed();
  const Tensor y = Tensor::empty(x.shape().with(axis, 1), x.dtype(), x.device());
  run_reduction(name, x, [&]<class T>(auto& context) {
    kernels::reduce<T>(context, op, along(x.shape(), axis), x.data<T>(), y.data<T>());
  });
  return y;
}

/// A tensor whose order is x's turned round: -x, for integers ~x, which is -1 - x and cannot wrap.
Tensor turned(const Tensor& x) {
  return is_floating(x.dtype()) ? negative(x) : subtract(-1, x);
}

Shape without(const Shape& shape, int axis) {
  std::vector<std::int64_t> dims(shape.dims().begin(), shape.dims().end());
  dims.erase(dims.begin() + axis);
  return Shape(dims);
}

/// dy in every element of `shape`, along the dimensions where dy has size 1.
Tensor spread(const Tensor& dy, const Shape& shape) {
  return add(Tensor::zeros(shape, dy.dtype(), dy.device()), dy);
}

/// The sums up to each place, with `reverse` from it on.
Tensor cumulated(const Tensor& x_any, int axis, bool reverse) {
  const Tensor x = x_any.packed();
  check(x.dtype() != DType::bfloat16, "cumsum: operand is ", x.str(),
        ", expected float32, float64 or integers");
  const Tensor y = ops::like(x);
  on(x.device(), [&](auto& context) {
    const auto run = [&]<class T>() {
      kernels::cumulate<T>(context, along(x.shape(), axis), reverse, x.data<T>(), y.data<T>());
    };
    if (x.dtype() == DType::int64)
      run.template operator()<std::int64_t>();
    else
      with_floating(x.dtype(), "cumsum", run);
  });
  return record(
      "cumsum", y, {x},
      [axis, reverse](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{cumulated(dy, axis, !reverse)};
      },
      Order::second);
}

}  // namespace

Tensor sum(const Tensor& x) {
  check(x.defined(), "sum: the operand is undefined");
  return sum(x.reshape({x.numel()}), 0);
}

Tensor sum(const Tensor& x_any, int axis, bool keep) {
  const Tensor x = reducible("sum", x_any);
  axis = x.shape().axis(axis);
  const Tensor y = record(
      "sum", reduce("sum", ReduceOp::sum, x.detach(), axis), {x},
      [shape = x.shape()](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{spread(dy, shape)};
      },
      Order::second);
  return keep ? y : y.reshape(without(x.shape(), axis));
}

Tensor mean(const Tensor& x) {
  return sum(x) / double(x.numel());
}

Tensor mean(const Tensor& x, int axis, bool keep) {
  return sum(x, axis, keep) / double(x.dim(axis));
}

Tensor max(const Tensor& x) {
  check(x.defined(), "max: the operand is undefined");
  return max(x.reshape({x.numel()}), 0);
}

Tensor max(const Tensor& x_any, int axis, bool keep) {
  const Tensor x = reducible("max", x_any);
  axis = x.shape().axis(axis);
  check(x.dim(axis) > 0, "max: dimension ", axis, " of ", x.shape(), " is empty");
  const Tensor largest = reduce("max", ReduceOp::maximum, x.detach(), axis);
  const Tensor y = record(
      "max", largest, {x},
      [x = Saved(x.detach()), largest = Saved(largest), axis](const Tensor& dy, const Needed&) {
        const Tensor ties = equal(*x, *largest).to(dy.dtype());
        return std::vector<Tensor>{multiply(ties, divide(dy, sum(ties, axis, true)))};
      },
      Order::second);
  return (keep ? y : y.reshape(without(x.shape(), axis))).to(x_any.dtype());
}

Tensor min(const Tensor& x) {
  check(x.defined(), "min: the operand is undefined");
  return min(x.reshape({x.numel()}), 0);
}

Tensor min(const Tensor& x, int axis, bool keep) {
  const Tensor in = reducible("min", x);
  check(x.dim(axis) > 0, "min: dimension ", axis, " of ", x.shape(), " is empty");
  return turned(max(turned(in), axis, keep)).to(x.dtype());
}

Tensor logsumexp(const Tensor& x, int axis, bool keep) {
  ops::check_operands("logsumexp", {x});
  axis = x.shape().axis(axis);
  const Tensor largest = max(x.detach(), axis, true);
  // An infinite maximum is not subtracted: -inf - -inf is NaN.
  const Tensor shift = where(equal(largest - largest, 0), largest, 0);
  const Tensor y = log(sum(exp(x - shift), axis, true)) + shift;
  return keep ? y : y.reshape(without(x.shape(), axis));
}

Tensor var(const Tensor& x, int axis, bool keep, double correction) {
  ops::check_operands("var", {x});
  return sum(square(x - mean(x, axis, true)), axis, keep) / (double(x.dim(axis)) - correction);
}

Tensor stddev(const Tensor& x, int axis, bool keep, double correction) {
  return sqrt(var(x, axis, keep, correction));
}

Tensor norm(const Tensor& x) {
  check(x.defined(), "norm: the operand is undefined");
  return norm(x.reshape({x.numel()}), 0);
}

Tensor norm(const Tensor& x, int axis, bool keep) {
  ops::check_operands("norm", {x});
  const Tensor squares = sum(square(x), axis, keep), none = equal(squares, 0);
  return where(none, 0, sqrt(where(none, 1, squares)));
}

Tensor p_norm(const Tensor& x, double p, int axis, bool keep) {
  ops::check_operands("p_norm", {x});
  check(p >= 1, "p_norm: p is ", p, ", expected 1 or more");
  if (p == 1) return sum(abs(x), axis, keep);
  if (p == 2) return norm(x, axis, keep);
  if (p == p_infinity) return max(abs(x), axis, keep);
  const Tensor powers = sum(pow(abs(x), p), axis, keep), none = equal(powers, 0);
  return where(none, 0, pow(where(none, 1, powers), 1 / p));
}

Tensor count_nonzero(const Tensor& x) {
  return sum(not_equal(x, 0));
}

Tensor count_nonzero(const Tensor& x, int axis, bool keep) {
  return sum(not_equal(x, 0), axis, keep);
}

Tensor cumsum(const Tensor& x, int axis) {
  return cumulated(reducible("cumsum", x), x.shape().axis(axis), false);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  check(broadcast(x.shape(), shape) == x.shape(), "sum_to: ", x.shape(), " is not a broadcast of ",
        shape);
  Tensor y = x;
  while (y.rank() > shape.rank()) y = sum(y, 0);
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (y.dim(axis) != shape[axis]) y = sum(y, axis, true);
  }
  return y;
}

Tensor argmax(const Tensor& x_any, int axis, bool keep) {
  const Tensor all = reducible("argmax", x_any).detach();
  check(all.rank() >= 1 && all.dim(axis) > 0, "argmax: ", all.shape(),
        " has nothing to search along dimension ", axis);
  axis = all.shape().axis(axis);
  std::vector<int> order;  // that dimension last
  for (int i = 0; i < all.rank(); ++i)
    if (i != axis) order.push_back(i);
  order.push_back(axis);
  const Tensor x = axis == all.rank() - 1 ? all.packed() : permute(all, order);
  const Tensor index = Tensor::empty(without(all.shape(), axis), DType::int64, x.device());
  run_reduction("argmax", x, [&]<class T>(auto& context) {
    kernels::argmax_rows<T>(context, ops::rows(x), x.dim(-1), x.data<T>(),
                            index.data<std::int64_t>());
  });
  return keep ? index.reshape(all.shape().with(axis, 1)) : index;
}

Tensor argmin(const Tensor& x, int axis, bool keep) {
  return argmax(turned(reducible("argmin", x).detach()), axis, keep);
}

}  // namespace shatter
