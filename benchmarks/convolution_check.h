// A convolution's result checked against the defining sums in double: all of them where they are
// few, else a random sample.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <shatter/kernels/cuda/conv2d_plans.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/philox.h>

namespace shatter::benchmarks {

constexpr std::int64_t elements_x(const Conv2dGeometry& g) {
  return g.windows.n * g.windows.h * g.windows.w * g.c;
}
constexpr std::int64_t elements_w(const Conv2dGeometry& g) {
  return g.k * g.windows.r * g.windows.s * g.c;
}
constexpr std::int64_t elements_y(const Conv2dGeometry& g) {
  return g.windows.n * g.windows.out_h() * g.windows.out_w() * g.k;
}

class ConvolutionReference {
 public:
  using Direction = kernels::Conv2dDirection;

  /// Packed arrays; the one the direction writes is not read.
  template <class T>
  ConvolutionReference(const Conv2dGeometry& g, Direction direction, const std::vector<T>& x,
                       const std::vector<T>& w, const std::vector<T>& y) {
    const Windows& win = g.windows;
    const std::int64_t size = direction == Direction::forward         ? elements_y(g)
                              : direction == Direction::backward_data ? elements_x(g)
                                                                      : elements_w(g);
    const std::int64_t products = g.multiply_adds() / std::max<std::int64_t>(size, 1) + 1;
    const std::int64_t sample = std::clamp<std::int64_t>(most_products / products, 64, size);
    for (std::int64_t i = 0; i < sample; ++i) {
      const Words4 words = random_words({11}, static_cast<std::uint32_t>(i));
      // The first and last elements lie at borders, where padding counts.
      const std::int64_t index =
          sample == size || i < 32 ? i
          : i < 64                 ? size - 1 - (i - 32)
                   : static_cast<std::int64_t>(uniform_double(words[0], words[1]) * double(size));
      indices_.push_back(index);
      double sum = 0;
      const auto add = [&](auto n, auto p, auto q, auto r, auto s, auto k, auto c) {
        const std::int64_t i_h = p * win.stride_h - win.padding.top + r;
        const std::int64_t i_w = q * win.stride_w - win.padding.left + s;
        if (i_h < 0 || i_h >= win.h || i_w < 0 || i_w >= win.w) return;
        const auto at_x = static_cast<std::size_t>(((n * win.h + i_h) * win.w + i_w) * g.c + c);
        const auto at_w = static_cast<std::size_t>(((k * win.r + r) * win.s + s) * g.c + c);
        const auto at_y =
            static_cast<std::size_t>(((n * win.out_h() + p) * win.out_w() + q) * g.k + k);
        const double a = direction == Direction::backward_data ? double(w[at_w]) : double(x[at_x]);
        sum += a * (direction == Direction::forward ? double(w[at_w]) : double(y[at_y]));
      };
      if (direction == Direction::forward) {
        const auto [n, p, q, k] = split(index, win.out_h(), win.out_w(), g.k);
        for (std::int64_t r = 0; r < win.r; ++r)
          for (std::int64_t s = 0; s < win.s; ++s)
            for (std::int64_t c = 0; c < g.c; ++c) add(n, p, q, r, s, k, c);
      } else if (direction == Direction::backward_data) {
        const auto [n, h, w_pixel, c] = split(index, win.h, win.w, g.c);
        for (std::int64_t r = 0; r < win.r; ++r)
          for (std::int64_t s = 0; s < win.s; ++s) {
            const std::int64_t p = h + win.padding.top - r, q = w_pixel + win.padding.left - s;
            if (p < 0 || q < 0 || p % win.stride_h || q % win.stride_w) continue;
            if (p / win.stride_h >= win.out_h() || q / win.stride_w >= win.out_w()) continue;
            for (std::int64_t k = 0; k < g.k; ++k)
              add(n, p / win.stride_h, q / win.stride_w, r, s, k, c);
          }
      } else {
        const auto [k, r, s, c] = split(index, win.r, win.s, g.c);
        for (std::int64_t n = 0; n < win.n; ++n)
          for (std::int64_t p = 0; p < win.out_h(); ++p)
            for (std::int64_t q = 0; q < win.out_w(); ++q) add(n, p, q, r, s, k, c);
      }
      expected_.push_back(sum);
    }
  }

  /// An index whose element is checked.
  std::int64_t checked() const { return indices_.front(); }
  /// Root of the mean square of what is expected.
  double magnitude() const {
    double squares = 0;
    for (const double value : expected_) squares += value * value;
    return std::sqrt(squares / static_cast<double>(expected_.size()));
  }

  /// |output - expected| / |expected| over the sample. Infinite where any element of the output is
  /// not finite, or one of the sample is off by more than eight times `limit` of the magnitude,
  /// which a few wrong elements among many right ones would not show in the norm.
  template <class T>
  double error(const std::vector<T>& output, double limit) const {
    for (const T value : output)
      if (!std::isfinite(static_cast<double>(value))) return INFINITY;
    const double size = magnitude();
    double squares = 0;
    for (std::size_t i = 0; i < indices_.size(); ++i) {
      const double off =
          static_cast<double>(output[static_cast<std::size_t>(indices_[i])]) - expected_[i];
      if (std::abs(off) > 8 * limit * size) return INFINITY;
      squares += off * off;
    }
    const double root = std::sqrt(squares / static_cast<double>(indices_.size()));
    return root == 0 ? 0 : root / size;
  }

 private:
  // A few seconds' tenth of sums.
  static constexpr std::int64_t most_products = 20'000'000;

  static std::array<std::int64_t, 4> split(std::int64_t index, std::int64_t b, std::int64_t c,
                                           std::int64_t d) {
    return {index / d / c / b, index / d / c % b, index / d % c, index % d};
  }

  std::vector<std::int64_t> indices_;
  std::vector<double> expected_;
};

}  // namespace shatter::benchmarks
