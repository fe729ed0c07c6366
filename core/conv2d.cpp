// Convolution. Images NHWC, weights KRSC.
#include <shatter/kernels/conv2d.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/reduce.h>

namespace shatter {
namespace {

Conv2dGeometry geometry_of(const Tensor& x, const Tensor& w, const Tensor& b,
                           const Conv2dOptions& options) {
  check(x.rank() == 4, "conv2d: input is ", x.shape(), ", expected [n, h, w, c]");
  check(w.rank() == 4, "conv2d: weight is ", w.shape(), ", expected [k, r, s, c]");
  check(x.dim(3) == w.dim(3), "conv2d: input has ", x.dim(3), " channels, weight expects ",
        w.dim(3), " (input ", x.shape(), ", weight ", w.shape(), ")");
  check(!b || b.shape() == Shape{w.dim(0)}, "conv2d: bias ", b ? b.str() : "", " for weight ",
        w.shape());
  check(options.stride >= 1, "conv2d: stride is ", options.stride);
  const Windows windows{
      .n = x.dim(0),
      .h = x.dim(1),
      .w = x.dim(2),
      .r = w.dim(1),
      .s = w.dim(2),
      .stride_h = options.stride,
      .stride_w = options.stride,
      .padding = options.padding.value_or(
          same_padding(x.dim(1), x.dim(2), w.dim(1), w.dim(2), options.stride, options.stride))};
  const Padding& p = windows.padding;
  check(std::min({p.top, p.bottom, p.left, p.right}) >= 0, "conv2d: negative padding");
  check(windows.r >= 1 && windows.s >= 1 && windows.h + p.top + p.bottom >= windows.r &&
            windows.w + p.left + p.right >= windows.s,
        "conv2d: the window ", windows.r, " x ", windows.s, " does not fit the input ", x.shape());
  return {.windows = windows, .c = x.dim(3), .k = w.dim(0)};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options,
              const Tensor& into) {
  ops::check_operands("conv2d", {x});
  ops::check_parameters("conv2d", x, {w, b});
  const Conv2dGeometry g = geometry_of(x, w, b, options);
  const Shape shape{g.windows.n, g.windows.out_h(), g.windows.out_w(), g.k};
  const Tensor y = ops::result("conv2d", into, shape, x);
  const Tensor weight = w.detach().packed().to(x.dtype());
  ops::run_mixed("conv2d", x, [&]<class T>(auto& context) {
    Conv2dGeometry forward = g;
    forward.x_pitch = x.pitch();
    forward.y_pitch = y.pitch();
    kernels::conv2d_forward<T>(context, forward, x.data<T>(), weight.data<T>(),
                               ops::data_or_null<wide_t<T>>(b), y.data<T>());
  });
  return record("conv2d", y, {x, w, b},
                [g, x = x.detach(), weight](const Tensor& dy, const Needed& needed) {
                  Tensor dx, dw, db;
                  ops::run_mixed("conv2d", dy, [&]<class T>(auto& context) {
                    Conv2dGeometry backward = g;
                    backward.y_pitch = dy.pitch();
                    if (needed[0]) {
                      dx = ops::like(x);
                      kernels::conv2d_backward_data<T>(context, backward, dy.data<T>(),
                                                       weight.data<T>(), dx.data<T>());
                    }
                    if (needed[1]) {
                      dw = Tensor::empty(weight.shape(), wide_of(x.dtype()), x.device());
                      backward.x_pitch = x.pitch();
                      kernels::conv2d_backward_weight<T>(context, backward, x.data<T>(),
                                                         dy.data<T>(), dw.data<wide_t<T>>());
                    }
                    if (needed[2]) {
                      db = Tensor::empty({g.k}, wide_of(x.dtype()), x.device());
                      kernels::reduce_rows<T>(context, ops::rows(dy), g.k, dy.data<T>(), dy.pitch(),
                                              db.data<wide_t<T>>());
                    }
                  });
                  return std::vector<Tensor>{dx, dw, db};
                });
}

}  // namespace shatter
