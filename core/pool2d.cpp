// Pooling. Images NHWC.
#include <shatter/kernels/pool2d.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

Pool2dGeometry geometry_of(const char* op, const Tensor& x, const Pool2dOptions& options) {
  check(x.rank() == 4, op, ": input is ", x.shape(), ", expected [n, h, w, c]");
  const std::int64_t window = options.window, stride = options.stride, h = x.dim(1), w = x.dim(2);
  check(window >= 1 && stride >= 1, op, ": window ", window, ", stride ", stride);
  const Padding p = options.padding.value_or(same_padding(h, w, window, window, stride, stride));
  check(std::min({p.top, p.bottom, p.left, p.right}) >= 0 &&
            std::max({p.top, p.bottom, p.left, p.right}) < window,
        op, ": padding must be at least 0 and smaller than the window ", window);
  check(h + p.top + p.bottom >= window && w + p.left + p.right >= window && h > 0 && w > 0, op,
        ": the window ", window, " x ", window, " does not fit the input ", x.shape());
  const Windows windows{.n = x.dim(0),
                        .h = h,
                        .w = w,
                        .r = window,
                        .s = window,
                        .stride_h = stride,
                        .stride_w = stride,
                        .padding = p};
  check((windows.out_h() - 1) * stride < h + p.top && (windows.out_w() - 1) * stride < w + p.left,
        op, ": with stride ", stride, " and this padding a window lies outside the input ",
        x.shape());
  return {.windows = windows, .c = x.dim(3), .count_padding = options.count_padding};
}

Shape output_shape(const Pool2dGeometry& g) {
  return {g.windows.n, g.windows.out_h(), g.windows.out_w(), g.c};
}

Pool2dGeometry pitched(Pool2dGeometry g, std::int64_t x_pitch, std::int64_t y_pitch) {
  g.x_pitch = x_pitch;
  g.y_pitch = y_pitch;
  return g;
}

Tensor average(const char* op, const Tensor& x, const Pool2dGeometry& g, const Tensor& into);

/// The gradient of average: linear in dy, its own gradient is the average again.
Tensor average_gradient(const char* op, const Tensor& dy, const Pool2dGeometry& g) {
  const Windows& win = g.windows;
  const Tensor dx = Tensor::empty({win.n, win.h, win.w, g.c}, dy.dtype(), dy.device());
  ops::run_mixed(op, dy, [&]<class T>(auto& context) {
    kernels::avg_pool2d_backward<T>(context, pitched(g, 0, dy.pitch()), dy.data<T>(), dx.data<T>());
  });
  return record(
      op, dx, {dy},
      [op, g](const Tensor& ddx, const Needed&) {
        return std::vector<Tensor>{average(op, ddx, g, {})};
      },
      Order::second);
}

/// Averages over the windows of g, whose extent need not be square.
Tensor average(const char* op, const Tensor& x, const Pool2dGeometry& g, const Tensor& into) {
  const Tensor y = ops::result(op, into, output_shape(g), x);
  ops::run_mixed(op, x, [&]<class T>(auto& context) {
    kernels::avg_pool2d_forward<T>(context, pitched(g, x.pitch(), y.pitch()), x.data<T>(),
                                   y.data<T>());
  });
  return record(
      op, y, {x},
      [op, g](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{average_gradient(op, dy, g)};
      },
      Order::second);
}

/// The elements of x that max pooling chose, and back: each is the other's gradient.
Tensor chosen_elements(const Tensor& x, const Tensor& index, const Pool2dGeometry& g);

Tensor max_gradient(const Tensor& dy, const Tensor& index, const Pool2dGeometry& g) {
  const Windows& win = g.windows;
  const Tensor dx = Tensor::empty({win.n, win.h, win.w, g.c}, dy.dtype(), dy.device());
  ops::run_mixed("max_pool2d", dy, [&]<class T>(auto& context) {
    kernels::max_pool2d_backward<T>(context, pitched(g, 0, dy.pitch()), dy.data<T>(),
                                    index.data<std::uint8_t>(), dx.data<T>());
  });
  return record(
      "max_pool2d", dx, {dy},
      [index, g](const Tensor& ddx, const Needed&) {
        return std::vector<Tensor>{chosen_elements(ddx, index, g)};
      },
      Order::second);
}

Tensor chosen_elements(const Tensor& x, const Tensor& index, const Pool2dGeometry& g) {
  const Tensor y = Tensor::empty(output_shape(g), x.dtype(), x.device());
  ops::run_mixed("max_pool2d", x, [&]<class T>(auto& context) {
    kernels::max_pool2d_chosen<T>(context, pitched(g, x.pitch(), 0), x.data<T>(),
                                  index.data<std::uint8_t>(), y.data<T>());
  });
  return record(
      "max_pool2d", y, {x},
      [index, g](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{max_gradient(dy, index, g)};
      },
      Order::second);
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& into) {
  ops::check_operands("max_pool2d", {x});
  const Pool2dGeometry g = geometry_of("max_pool2d", x, options);
  check(!options.count_padding, "max_pool2d: count_padding is of averages");
  check(options.window <= 15, "max_pool2d: window ", options.window, ", at most 15");
  const Tensor y = ops::result("max_pool2d", into, output_shape(g), x);
  const Tensor index = Tensor::empty(y.shape(), DType::uint8, x.device());
  ops::run_mixed("max_pool2d", x, [&]<class T>(auto& context) {
    kernels::max_pool2d_forward<T>(context, pitched(g, x.pitch(), y.pitch()), x.data<T>(),
                                   y.data<T>(), index.data<std::uint8_t>());
  });
  return record(
      "max_pool2d", y, {x},
      [g, index](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{max_gradient(dy, index, g)};
      },
      Order::second);
}

Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& into) {
  ops::check_operands("avg_pool2d", {x});
  return average("avg_pool2d", x, geometry_of("avg_pool2d", x, options), into);
}

Tensor global_avg_pool2d(const Tensor& x) {
  ops::check_operands("global_avg_pool2d", {x});
  check(x.rank() == 4 && x.dim(1) > 0 && x.dim(2) > 0, "global_avg_pool2d: input is ", x.shape(),
        ", expected [n, h, w, c]");
  const Windows whole{.n = x.dim(0), .h = x.dim(1), .w = x.dim(2), .r = x.dim(1), .s = x.dim(2)};
  return average("global_avg_pool2d", x, {.windows = whole, .c = x.dim(3)}, {})
      .reshape({x.dim(0), x.dim(3)});
}

}  // namespace shatter
