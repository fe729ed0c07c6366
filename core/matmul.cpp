// Matrix products and the linear layer's op.
#include <shatter/kernels/matmul.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/reduce.h>

namespace shatter {
namespace {

/// op(a) op(b), without a tape; `wide`: a product of bfloat16 comes in float32.
Tensor product(const char* name, const Tensor& a_any, bool transpose_a, const Tensor& b_any,
               bool transpose_b, bool wide = false) {
  const Tensor a = a_any.packed(), b = b_any.packed();
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

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  ops::check_operands("matmul", {a, b});
  check(a.rank() == 2 && b.rank() == 2, "matmul: operands are ", a.shape(), " and ", b.shape(),
        ", expected matrices");
  check(a.dim(transpose_a ? 0 : 1) == b.dim(transpose_b ? 1 : 0), "matmul: ", a.shape(),
        transpose_a ? " transposed" : "", " times ", b.shape(), transpose_b ? " transposed" : "",
        ": inner dimensions differ");
  const Tensor c = product("matmul", a.detach(), transpose_a, b.detach(), transpose_b);
  return record("matmul", c, {a, b},
                [a = a.detach(), b = b.detach(), transpose_a, transpose_b](const Tensor& dc,
                                                                           const Needed& needed) {
                  Tensor da, db;
                  if (needed[0]) {
                    da = transpose_a ? product("matmul", b, transpose_b, dc, true)
                                     : product("matmul", dc, false, b, !transpose_b);
                  }
                  if (needed[1]) {
                    db = transpose_b ? product("matmul", dc, true, a, transpose_a)
                                     : product("matmul", a, !transpose_a, dc, false);
                  }
                  return std::vector<Tensor>{da, db};
                });
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  ops::check_operands("linear", {x});
  ops::check_parameters("linear", x, {w, b});
  check(x.rank() == 2 && w.rank() == 2 && x.dim(1) == w.dim(1), "linear: input ", x.shape(),
        " does not fit weight ", w.shape(), "; expected [n, in] and [out, in]");
  check(!b || b.shape() == Shape{w.dim(0)}, "linear: bias ", b ? b.str() : "", " for weight ",
        w.shape());
  const Tensor weight = w.detach().to(x.dtype());
  const Tensor y = product("linear", x.detach(), false, weight, true);
  if (b) {
    ops::run_mixed("linear", y, [&]<class T>(auto& context) {
      kernels::add_bias<T>(context, y.dim(0), y.dim(1), y.data<T>(), b.packed().data<wide_t<T>>(),
                           y.data<T>());
    });
  }
  return record("linear", y, {x, w, b},
                [x = x.detach(), weight](const Tensor& dy_any, const Needed& needed) {
                  const Tensor dy = dy_any.packed();
                  Tensor dx, dw, db;
                  if (needed[0]) dx = product("linear", dy, false, weight, false);
                  if (needed[1]) dw = product("linear", dy, true, x, false, true);
                  if (needed[2]) {
                    db = Tensor::empty({dy.dim(1)}, wide_of(dy.dtype()), dy.device());
                    ops::run_mixed("linear", dy, [&]<class T>(auto& context) {
                      kernels::reduce_rows<T>(context, dy.dim(0), dy.dim(1), dy.data<T>(),
                                              dy.dim(1), db.data<wide_t<T>>());
                    });
                  }
                  return std::vector<Tensor>{dx, dw, db};
                });
}

}  // namespace shatter
