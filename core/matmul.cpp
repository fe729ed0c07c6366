// Matrix products and the linear layer's op.
#include <shatter/kernels/matmul.h>

#include <shatter/core/checks.h>
#include <shatter/core/indexing.h>
#include <shatter/core/multiply_adds.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/reduce.h>

namespace shatter {
namespace {

/// op(a) op(b), without a tape; `wide`: a product of bfloat16 comes in float32.
Tensor product(const char* name, const Tensor& a_any, bool transpose_a, const Tensor& b_any,
               bool transpose_b, bool wide = false) {
  const Tensor a = a_any.detach().packed(), b = b_any.detach().packed();
  const kernels::MatmulGeometry g{.m = a.dim(transpose_a ? 1 : 0),
                                  .n = b.dim(transpose_b ? 0 : 1),
                                  .k = a.dim(transpose_a ? 0 : 1),
                                  .transpose_a = transpose_a,
                                  .transpose_b = transpose_b};
  const Tensor c = Tensor::empty({g.m, g.n}, wide ? wide_of(a.dtype()) : a.dtype(), a.device());
  ops::run_mixed(name, a, [&]<class T>(auto& context) {
    using W = wide_t<T>;
    if (c.dtype() == a.dtype())
      kernels::matmul<T>(context, g, W(1), a.data<T>(), b.data<T>(), W(0), c.data<T>());
    else if constexpr (!std::is_same_v<T, W>)
      kernels::matmul(context, g, W(1), a.data<T>(), b.data<T>(), W(0), c.data<W>());
  });
  return c;
}

/// The dimensions in front of the matrices, broadcast, and these matrices' two.
Shape batch_shape(const Shape& batch, std::int64_t rows, std::int64_t columns) {
  std::vector<std::int64_t> dims(batch.dims().begin(), batch.dims().end());
  dims.push_back(rows);
  dims.push_back(columns);
  return Shape(dims);
}
Shape in_front(const Shape& shape) {
  return Shape(shape.dims().first(std::size_t(shape.rank() - 2)));
}

/// Matrices one by one, their leading dimensions broadcast; at least one operand has some.
Tensor batched(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  const Shape batch = broadcast(in_front(a.shape()), in_front(b.shape()));
  const auto flat = [&](const Tensor& x) {
    const Tensor whole =
        broadcast_to(x.detach(), batch_shape(batch, x.dim(-2), x.dim(-1))).packed();
    return whole.reshape({batch.numel(), x.dim(-2), x.dim(-1)});
  };
  const Tensor all_a = flat(a), all_b = flat(b);
  const kernels::MatmulGeometry g{.m = a.dim(transpose_a ? -1 : -2),
                                  .n = b.dim(transpose_b ? -2 : -1),
                                  .k = a.dim(transpose_a ? -2 : -1),
                                  .transpose_a = transpose_a,
                                  .transpose_b = transpose_b};
  const Tensor c = Tensor::empty(batch_shape(batch, g.m, g.n), a.dtype(), a.device());
  ops::run_mixed("matmul", a, [&]<class T>(auto& context) {
    using W = wide_t<T>;
    for (std::int64_t i = 0; i < batch.numel(); ++i)
      kernels::matmul<T>(context, g, W(1), all_a.data<T>() + i * g.m * g.k,
                         all_b.data<T>() + i * g.k * g.n, W(0), c.data<T>() + i * g.m * g.n);
  });
  return c;
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  ops::check_operands("matmul", {a, b});
  check(a.rank() >= 1 && b.rank() >= 1, "matmul: operands are ", a.shape(), " and ", b.shape(),
        ", expected vectors or matrices");
  if (a.rank() == 1 || b.rank() == 1) {
    check(!(transpose_a && a.rank() == 1) && !(transpose_b && b.rank() == 1),
          "matmul: a vector cannot be transposed");
    Tensor c = matmul(a.rank() == 1 ? unsqueeze(a, 0) : a, b.rank() == 1 ? unsqueeze(b, 1) : b,
                      transpose_a, transpose_b);
    if (b.rank() == 1) c = squeeze(c, -1);
    return a.rank() == 1 ? squeeze(c, b.rank() == 1 ? -1 : -2) : c;
  }
  check(a.dim(transpose_a ? -2 : -1) == b.dim(transpose_b ? -1 : -2), "matmul: ", a.shape(),
        transpose_a ? " transposed" : "", " times ", b.shape(), transpose_b ? " transposed" : "",
        ": inner dimensions differ");
  const Tensor c = a.rank() == 2 && b.rank() == 2
                       ? product("matmul", a, transpose_a, b, transpose_b)
                       : batched(a, b, transpose_a, transpose_b);
  MultiplyAddCount::add(c.numel() * a.dim(transpose_a ? -2 : -1));
  return record(
      "matmul", c, {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), a = Saved(a), b = Saved(b), transpose_a,
       transpose_b](const Tensor& dc, const Needed& needed) {
        Tensor da, db;
        if (needed[0]) {
          da =
              transpose_a ? matmul(*b, dc, transpose_b, true) : matmul(dc, *b, false, !transpose_b);
        }
        if (needed[1]) {
          db =
              transpose_b ? matmul(dc, *a, true, transpose_a) : matmul(*a, dc, !transpose_a, false);
        }
        return std::vector<Tensor>{needed[0] ? sum_to(da, a_shape) : Tensor(),
                                   needed[1] ? sum_to(db, b_shape) : Tensor()};
      },
      Order::second);
}

Tensor linear(const Tensor& x_any, const Tensor& w, const Tensor& b, bool with_relu) {
  ops::check_operands("linear", {x_any});
  ops::check_parameters("linear", x_any, {w, b});
  check(x_any.rank() == 2 && w.rank() == 2 && x_any.dim(1) == w.dim(1), "linear: input ",
        x_any.shape(), " does not fit weight ", w.shape(), "; expected [n, in] and [out, in]");
  check(!b || b.shape() == Shape{w.dim(0)}, "linear: bias ", b ? b.str() : "", " for weight ",
        w.shape());
  const Tensor x = x_any.packed(), weight = w.detach().to(x.dtype()).packed();
  const Tensor bias = b ? b.detach().packed() : Tensor();
  const kernels::LinearGeometry g{
      .n = x.dim(0), .in = x.dim(1), .out = w.dim(0), .relu = with_relu};
  const Tensor y = Tensor::empty({g.n, g.out}, x.dtype(), x.device());
  MultiplyAddCount::add(g.n * g.in * g.out);
  ops::run_mixed("linear", x, [&]<class T>(auto& context) {
    kernels::linear_forward<T>(context, g, x.data<T>(), weight.data<T>(),
                               ops::data_or_null<wide_t<T>>(bias), y.data<T>());
  });
  return record(
      "linear", y, {x, w, b},
      [saved_x = Saved(x), saved_w = Saved(w), weight = Saved(weight), saved_b = Saved(b),
       saved_y = Saved(with_relu ? y : Tensor())](const Tensor& dy, const Needed& needed) {
        if (grad_enabled()) {
          const std::vector<Tensor> inputs{*saved_x, *saved_w, *saved_b};
          Tensor z = matmul(inputs[0], inputs[1].to(inputs[0].dtype()), false, true);
          if (inputs[2]) z = z + inputs[2];
          return partial_derivatives(saved_y.defined() ? relu(z) : z, dy, inputs);
        }
        const Tensor dense = dy.packed(), dz = saved_y.defined() ? ops::like(dense) : dense;
        if (saved_y.defined()) {
          const Tensor out = *saved_y;
          ops::run_mixed("linear", out, [&]<class T>(auto& context) {
            kernels::unary_backward<T>(context, kernels::UnaryOp::relu, out.numel(), out.data<T>(),
                                       out.data<T>(), dense.data<T>(), dz.data<T>());
          });
        }
        Tensor dx, dw, db;
        if (needed[0]) dx = product("linear", dz, false, *weight, false);
        if (needed[1]) dw = product("linear", dz, true, *saved_x, false, true);
        if (needed[2]) {
          db = Tensor::empty({dz.dim(1)}, wide_of(dz.dtype()), dz.device());
          ops::run_mixed("linear", dz, [&]<class T>(auto& context) {
            kernels::reduce_rows<T>(context, dz.dim(0), dz.dim(1), dz.data<T>(), dz.dim(1),
                                    db.data<wide_t<T>>());
          });
        }
        return std::vector<Tensor>{dx, dw, db};
      },
      Order::second);
}

}  // namespace shatter
