// Textbook formulas in double, written for clarity and sharing nothing with the kernels. All arrays
// are packed; images NHWC, weights KRSC.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include <shatter/kernels/geometry.h>

namespace shatter::reference {

using Array = std::vector<double>;

inline Array zeros(std::int64_t n) {
  return Array(static_cast<std::size_t>(n), 0.0);
}

/// Calls visit(n, p, q, r, s, i, j) for every window place, (i, j) being its pixel, in or out.
template <class Visit>
void each_place(const Windows& win, Visit visit) {
  for (std::int64_t n = 0; n < win.n; ++n)
    for (std::int64_t p = 0; p < win.out_h(); ++p)
      for (std::int64_t q = 0; q < win.out_w(); ++q)
        for (std::int64_t r = 0; r < win.r; ++r)
          for (std::int64_t s = 0; s < win.s; ++s)
            visit(n, p, q, r, s, p * win.stride_h - win.padding.top + r * win.dilation_h,
                  q * win.stride_w - win.padding.left + s * win.dilation_w);
}

inline bool inside(const Windows& win, std::int64_t i, std::int64_t j) {
  return i >= 0 && i < win.h && j >= 0 && j < win.w;
}

/// Calls term(y index, x index, w index) for every product of a convolution.
template <class Term>
void each_product(const Conv2dGeometry& g, Term term) {
  const Windows& win = g.windows;
  each_place(win, [&](auto n, auto p, auto q, auto r, auto s, auto i, auto j) {
    if (!inside(win, i, j)) return;
    const std::int64_t seen = g.c / g.groups, filters = g.k / g.groups;
    for (std::int64_t k = 0; k < g.k; ++k)
      for (std::int64_t c = 0; c < seen; ++c)
        term(static_cast<std::size_t>(((n * win.out_h() + p) * win.out_w() + q) * g.k + k),
             static_cast<std::size_t>(((n * win.h + i) * win.w + j) * g.c + k / filters * seen + c),
             static_cast<std::size_t>(((k * win.r + r) * win.s + s) * seen + c));
  });
}

inline Array conv2d_forward(const Conv2dGeometry& g, const Array& x, const Array& w,
                            const Array& bias) {
  Array y = zeros(g.windows.n * g.windows.out_h() * g.windows.out_w() * g.k);
  if (!bias.empty())
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = bias[i % bias.size()];
  each_product(g, [&](auto yi, auto xi, auto wi) { y[yi] += x[xi] * w[wi]; });
  return y;
}

inline Array conv2d_backward_data(const Conv2dGeometry& g, const Array& dy, const Array& w) {
  Array dx = zeros(g.windows.n * g.windows.h * g.windows.w * g.c);
  each_product(g, [&](auto yi, auto xi, auto wi) { dx[xi] += dy[yi] * w[wi]; });
  return dx;
}

inline Array conv2d_backward_weight(const Conv2dGeometry& g, const Array& x, const Array& dy) {
  Array dw = zeros(g.k * g.windows.r * g.windows.s * g.c / g.groups);
  each_product(g, [&](auto yi, auto xi, auto wi) { dw[wi] += dy[yi] * x[xi]; });
  return dw;
}

struct MaxPool {
  Array y;
  std::vector<int> index;
};

inline MaxPool max_pool2d(const Windows& win, std::int64_t c, const Array& x) {
  const auto n = static_cast<std::size_t>(win.n * win.out_h() * win.out_w() * c);
  MaxPool result{Array(n, -std::numeric_limits<double>::infinity()), std::vector<int>(n, -1)};
  each_place(win, [&](auto b, auto p, auto q, auto r, auto s, auto i, auto j) {
    if (!inside(win, i, j)) return;
    for (std::int64_t k = 0; k < c; ++k) {
      const double value = x[static_cast<std::size_t>(((b * win.h + i) * win.w + j) * c + k)];
      const auto o = static_cast<std::size_t>(((b * win.out_h() + p) * win.out_w() + q) * c + k);
      const bool first = result.index[o] < 0;
      if (first || value > result.y[o] || (std::isnan(value) && !std::isnan(result.y[o]))) {
        result.y[o] = value;
        result.index[o] = static_cast<int>(r * win.s + s);
      }
    }
  });
  return result;
}

inline Array max_pool2d_backward(const Windows& win, std::int64_t c, const Array& dy,
                                 const std::vector<int>& index) {
  Array dx = zeros(win.n * win.h * win.w * c);
  each_place(win, [&](auto b, auto p, auto q, auto r, auto s, auto i, auto j) {
    if (!inside(win, i, j)) return;
    for (std::int64_t k = 0; k < c; ++k) {
      const auto o = static_cast<std::size_t>(((b * win.out_h() + p) * win.out_w() + q) * c + k);
      if (index[o] == r * win.s + s)
        dx[static_cast<std::size_t>(((b * win.h + i) * win.w + j) * c + k)] += dy[o];
    }
  });
  return dx;
}

/// The pixels inside the image of each window, in output order.
inline Array window_counts(const Windows& win) {
  Array count = zeros(win.n * win.out_h() * win.out_w());
  each_place(win, [&](auto n, auto p, auto q, auto, auto, auto i, auto j) {
    if (inside(win, i, j))
      count[static_cast<std::size_t>((n * win.out_h() + p) * win.out_w() + q)] += 1;
  });
  return count;
}

inline Array avg_pool2d(const Windows& win, std::int64_t c, const Array& x) {
  const Array count = window_counts(win);
  Array y = zeros(win.n * win.out_h() * win.out_w() * c);
  each_place(win, [&](auto n, auto p, auto q, auto, auto, auto i, auto j) {
    if (!inside(win, i, j)) return;
    const auto o = static_cast<std::size_t>((n * win.out_h() + p) * win.out_w() + q);
    const auto a = static_cast<std::size_t>((n * win.h + i) * win.w + j);
    for (std::size_t k = 0; k < static_cast<std::size_t>(c); ++k)
      y[o * static_cast<std::size_t>(c) + k] += x[a * static_cast<std::size_t>(c) + k] / count[o];
  });
  return y;
}

inline Array avg_pool2d_backward(const Windows& win, std::int64_t c, const Array& dy) {
  const Array count = window_counts(win);
  Array dx = zeros(win.n * win.h * win.w * c);
  each_place(win, [&](auto n, auto p, auto q, auto, auto, auto i, auto j) {
    if (!inside(win, i, j)) return;
    const auto o = static_cast<std::size_t>((n * win.out_h() + p) * win.out_w() + q);
    const auto a = static_cast<std::size_t>((n * win.h + i) * win.w + j);
    for (std::size_t k = 0; k < static_cast<std::size_t>(c); ++k)
      dx[a * static_cast<std::size_t>(c) + k] += dy[o * static_cast<std::size_t>(c) + k] / count[o];
  });
  return dx;
}

}  // namespace shatter::reference
