// Convolution. Images NHWC, weights KRSC.
#include <shatter/kernels/conv2d.h>

#include <shatter/core/checks.h>
#include <shatter/core/multiply_adds.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/reduce.h>

namespace shatter {
namespace {

Conv2dGeometry geometry_of(const Tensor& x, const Tensor& w, const Tensor& b,
                           const Conv2dOptions& options) {
  check(x.rank() == 4, "conv2d: input is ", x.shape(), ", expected [n, h, w, c]");
  check(w.rank() == 4, "conv2d: weight is ", w.shape(), ", expected [k, r, s, c]");
  const std::int64_t groups = options.groups, dilation = options.dilation;
  check(groups >= 1 && dilation >= 1, "conv2d: groups ", groups, ", dilation ", dilation,
        "; both are at least 1");
  check(x.dim(3) == w.dim(3) * groups, "conv2d: input has ", x.dim(3), " channels, weight expects ",
        w.dim(3) * groups, " (input ", x.shape(), ", weight ", w.shape(),
        groups > 1 ? text(", groups ", groups) : "", ")",
        x.dim(1) == w.dim(3) * groups ? "; images are [n, h, w, c], is this [n, c, h, w]?" : "");
  check(!b || b.shape() == Shape{w.dim(0)}, "conv2d: bias ", b ? b.str() : "", " for weight ",
        w.shape());
  check(w.dim(0) % groups == 0, "conv2d: ", w.dim(0), " filters in ", groups, " groups");
  check(options.stride >= 1, "conv2d: stride is ", options.stride);
  Windows windows{.n = x.dim(0),
                  .h = x.dim(1),
                  .w = x.dim(2),
                  .r = w.dim(1),
                  .s = w.dim(2),
                  .stride_h = options.stride,
                  .stride_w = options.stride,
                  .dilation_h = dilation,
                  .dilation_w = dilation};
  windows.padding =
      options.padding.value_or(same_padding(windows.h, windows.w, windows.extent_h(),
                                            windows.extent_w(), options.stride, options.stride));
  const Padding& p = windows.padding;
  check(std::min({p.top, p.bottom, p.left, p.right}) >= 0, "conv2d: negative padding");
  check(windows.r >= 1 && windows.s >= 1 && windows.h + p.top + p.bottom >= windows.extent_h() &&
            windows.w + p.left + p.right >= windows.extent_w(),
        "conv2d: the window ", windows.extent_h(), " x ", windows.extent_w(),
        " does not fit the input ", x.shape());
  return {.windows = windows, .c = x.dim(3), .k = w.dim(0), .groups = groups};
}

/// dw of one convolution: linear in x and in dy, whose own gradients are the other two directions.
Tensor weight_gradient(const Conv2dGeometry& g, const Conv2dOptions& options, const Tensor& x,
                       const Tensor& dy);

/// dx of one convolution: linear in dy and in w.
Tensor data_gradient(const Conv2dGeometry& g, const Conv2dOptions& options, const Tensor& dy,
                     const Tensor& w) {
  const Windows& win = g.windows;
  const Tensor dx = Tensor::empty({win.n, win.h, win.w, g.c}, dy.dtype(), dy.device());
  const Tensor weight = w.detach().packed().to(dy.dtype());
  ops::run_mixed("conv2d", dy, [&]<class T>(auto& context) {
    Conv2dGeometry backward = g;
    backward.y_pitch = dy.pitch();
    kernels::conv2d_backward_data<T>(context, backward, dy.data<T>(), weight.data<T>(),
                                     dx.data<T>());
  });
  return record(
      "conv2d data gradient", dx, {dy, w},
      [g, options, dy = Saved(dy), w = Saved(w)](const Tensor& ddx, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? conv2d(ddx, *w, {}, options) : Tensor(),
                                   needed[1] ? weight_gradient(g, options, ddx, *dy) : Tensor()};
      },
      Order::second);
}

Tensor weight_gradient(const Conv2dGeometry& g, const Conv2dOptions& options, const Tensor& x,
                       const Tensor& dy) {
  const Tensor dw =
      Tensor::empty({g.k, g.windows.r, g.windows.s, g.filter_c()}, wide_of(x.dtype()), x.device());
  ops::run_mixed("conv2d", x, [&]<class T>(auto& context) {
    Conv2dGeometry backward = g;
    backward.x_pitch = x.pitch();
    backward.y_pitch = dy.pitch();
    kernels::conv2d_backward_weight<T>(context, backward, x.data<T>(), dy.data<T>(),
                                       dw.data<wide_t<T>>());
  });
  return record(
      "conv2d weight gradient", dw, {x, dy},
      [g, options, x = Saved(x), dy = Saved(dy)](const Tensor& ddw, const Needed& needed) {
        return std::vector<Tensor>{needed[0] ? data_gradient(g, options, *dy, ddw) : Tensor(),
                                   needed[1] ? conv2d(*x, ddw, {}, options) : Tensor()};
      },
      Order::second);
}

/// The gradient of the bias: dy [n, p, q, k] summed over all but k.
Tensor bias_gradient(const Tensor& dy) {
  if (grad_enabled()) return sum_to(dy, {dy.dim(-1)}).to(wide_of(dy.dtype()));
  const Tensor db = Tensor::empty({dy.dim(-1)}, wide_of(dy.dtype()), dy.device());
  ops::run_mixed("conv2d", dy, [&]<class T>(auto& context) {
    kernels::reduce_rows<T>(context, ops::rows(dy), dy.dim(-1), dy.data<T>(), dy.pitch(),
                            db.data<wide_t<T>>());
  });
  return db;
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
  MultiplyAddCount::add(g.multiply_adds());
  ops::run_mixed("conv2d", x, [&]<class T>(auto& context) {
    Conv2dGeometry forward = g;
    forward.x_pitch = x.pitch();
    forward.y_pitch = y.pitch();
    kernels::conv2d_forward<T>(context, forward, x.data<T>(), weight.data<T>(),
                               ops::data_or_null<wide_t<T>>(b), y.data<T>());
  });
  return record(
      "conv2d", y, {x, w, b},
      [g, options, x = Saved(x), w = Saved(w), weight = Saved(weight)](const Tensor& dy,
                                                                       const Needed& needed) {
        const Tensor taps = needed[0] ? grad_enabled() ? *w : *weight : Tensor();
        return std::vector<Tensor>{needed[0] ? data_gradient(g, options, dy, taps) : Tensor(),
                                   needed[1] ? weight_gradient(g, options, *x, dy) : Tensor(),
                                   needed[2] ? bias_gradient(dy) : Tensor()};
      },
      Order::second);
}

}  // namespace shatter
