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

/// x reduced along one dimension, which stays with size 1.
Tensor reduce(const char* name, ReduceOp op, const Tensor& x_any, int axis) {
  const Tensor x = x_any.packed();
  const Tensor y = Tensor::empty(x.shape().with(axis, 1), x.dtype(), x.device());
  ops::run(name, x, [&]<class T>(auto& context) {
    kernels::reduce<T>(context, op, along(x.shape(), axis), x.data<T>(), y.data<T>());
  });
  return y;
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

}  // namespace

Tensor sum(const Tensor& x) {
  ops::check_operands("sum", {x});
  return sum(x.reshape({x.numel()}), 0);
}

Tensor sum(const Tensor& x, int axis, bool keep) {
  ops::check_operands("sum", {x});
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

Tensor max(const Tensor& x, int axis, bool keep) {
  ops::check_operands("max", {x});
  axis = x.shape().axis(axis);
  check(x.dim(axis) > 0, "max: dimension ", axis, " of ", x.shape(), " is empty");
  const Tensor largest = reduce("max", ReduceOp::maximum, x.detach(), axis);
  const Tensor y = record(
      "max", largest, {x},
      [x = Saved(x.detach()), largest = Saved(largest), axis](const Tensor& dy, const Needed&) {
        const Tensor ties = equal(*x, *largest);
        return std::vector<Tensor>{multiply(ties, divide(dy, sum(ties, axis, true)))};
      },
      Order::second);
  return keep ? y : y.reshape(without(x.shape(), axis));
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

Tensor argmax(const Tensor& x_any) {
  ops::check_operands("argmax", {x_any});
  const Tensor x = x_any.detach().packed();
  check(x.rank() >= 1 && x.dim(-1) > 0, "argmax: ", x.shape(), " has no last dimension to search");
  const Tensor index = Tensor::empty(without(x.shape(), x.rank() - 1), DType::int32, x.device());
  ops::run("argmax", x, [&]<class T>(auto& context) {
    kernels::argmax_rows<T>(context, ops::rows(x), x.dim(-1), x.data<T>(),
                            index.data<std::int32_t>());
  });
  return index;
}

}  // namespace shatter
