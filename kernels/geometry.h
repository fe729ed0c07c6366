// Geometry of image kernels. Images are NHWC [n, h, w, c], convolution weights KRSC [k, r, s, c].
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

namespace shatter {

/// a / b rounded up.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// Pixels added on each side. Convolution pads with 0, max pooling with -inf, and average pooling
/// leaves padding out of its count unless asked to count it.
struct Padding {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;

  constexpr Padding() = default;
  /// The same on all four sides.
  constexpr Padding(std::int64_t all) : top(all), bottom(all), left(all), right(all) {}
  constexpr Padding(std::int64_t top_, std::int64_t bottom_, std::int64_t left_,
                    std::int64_t right_)
      : top(top_), bottom(bottom_), left(left_), right(right_) {}
  friend auto operator<=>(const Padding&, const Padding&) = default;
  friend bool operator==(const Padding&, const Padding&) = default;
};

/// TensorFlow's SAME: out = ceil(in / stride); an odd total puts the extra pixel at the bottom and
/// right, so a 3x3 window at stride 2 on an even size pads (0, 1). r and s are the window's extent,
/// dilation included.
constexpr Padding same_padding(std::int64_t h, std::int64_t w, std::int64_t r, std::int64_t s,
                               std::int64_t stride_h, std::int64_t stride_w) {
  const auto total = [](std::int64_t in, std::int64_t window, std::int64_t stride) {
    const std::int64_t out = ceil_div(in, stride);
    return std::max<std::int64_t>((out - 1) * stride + window - in, 0);
  };
  const std::int64_t rows = total(h, r, stride_h), columns = total(w, s, stride_w);
  return {rows / 2, rows - rows / 2, columns / 2, columns - columns / 2};
}

/// Windows of r x s pixels, `dilation` apart, moving over an image of n x h x w pixels.
struct Windows {
  std::int64_t n = 0, h = 0, w = 0;
  std::int64_t r = 1, s = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  Padding padding{};
  std::int64_t dilation_h = 1, dilation_w = 1;  ///< convolution only

  /// Pixels from a window's first to its last.
  constexpr std::int64_t extent_h() const { return (r - 1) * dilation_h + 1; }
  constexpr std::int64_t extent_w() const { return (s - 1) * dilation_w + 1; }
  constexpr std::int64_t out_h() const {
    return (h + padding.top + padding.bottom - extent_h()) / stride_h + 1;
  }
  constexpr std::int64_t out_w() const {
    return (w + padding.left + padding.right - extent_w()) / stride_w + 1;
  }
  constexpr bool is_dilated() const { return dilation_h != 1 || dilation_w != 1; }
  friend auto operator<=>(const Windows&, const Windows&) = default;
  friend bool operator==(const Windows&, const Windows&) = default;
};

/// x [n, h, w, c], w [k, r, s, c / groups], y [n, out_h, out_w, k]. Filters k / groups * i and on
/// see channels c / groups * i and on alone; groups divides c and k. A pitch is the distance in
/// elements from one pixel to the next, at least the channel count; 0 means packed. x_pitch holds
/// for x and dx, y_pitch for y and dy, whichever the kernel is given.
struct Conv2dGeometry {
  Windows windows{};
  std::int64_t c = 0, k = 0;
  std::int64_t x_pitch = 0, y_pitch = 0;
  std::int64_t groups = 1;

  constexpr std::int64_t x_step() const { return x_pitch ? x_pitch : c; }
  constexpr std::int64_t y_step() const { return y_pitch ? y_pitch : k; }
  /// Channels that one filter sees.
  constexpr std::int64_t filter_c() const { return c / groups; }
  /// Elements of w.
  constexpr std::int64_t weights() const { return k * windows.r * windows.s * filter_c(); }
  /// Multiply-adds of one direction.
  constexpr std::int64_t multiply_adds() const {
    return windows.n * windows.out_h() * windows.out_w() * weights();
  }
  /// One of the groups, as a convolution of channel slices of x and y.
  constexpr Conv2dGeometry group() const {
    Conv2dGeometry one = *this;
    one.x_pitch = x_step();
    one.y_pitch = y_step();
    one.c /= groups;
    one.k /= groups;
    one.groups = 1;
    return one;
  }
  friend auto operator<=>(const Conv2dGeometry&, const Conv2dGeometry&) = default;
  friend bool operator==(const Conv2dGeometry&, const Conv2dGeometry&) = default;
};

/// x [n, h, w, c], y [n, out_h, out_w, c]; pitches as in Conv2dGeometry.
struct Pool2dGeometry {
  Windows windows{};
  std::int64_t c = 0;
  std::int64_t x_pitch = 0, y_pitch = 0;
  bool count_padding = false;  ///< averages are over r * s, padding included

  constexpr std::int64_t x_step() const { return x_pitch ? x_pitch : c; }
  constexpr std::int64_t y_step() const { return y_pitch ? y_pitch : c; }
};

}  // namespace shatter
