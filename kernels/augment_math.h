// The mathematics of augmentation, written once for every backend: where a pixel comes from and
// what becomes of its colours. Not installed.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include <shatter/kernels/augment.h>
#include <shatter/kernels/error.h>

namespace shatter::kernels {

/// Throws for a geometry that no image fits.
inline void check_augment(const AugmentGeometry& g) {
  check(g.padding >= 0 && g.crop_h >= 0 && g.crop_h <= g.h + 2 * g.padding && g.crop_w >= 0 &&
            g.crop_w <= g.w + 2 * g.padding,
        "augment: a crop of ", g.crop_h, " x ", g.crop_w, " from images of ", g.h, " x ", g.w,
        " with ", g.padding, " pixels around");
  check((g.saturation == 0 && g.hue == 0) || g.c == 3,
        "augment: saturation and hue need 3 channels, the images have ", g.c);
  check(g.y_pitch == 0 || g.y_pitch >= g.c, "augment: pitch ", g.y_pitch, " for ", g.c,
        " channels");
}

/// A draw in [0, 1) mapped to [-extent, extent).
constexpr double symmetric(double extent, double uniform) {
  return extent * (2 * uniform - 1);
}

/// Where an output image comes from.
struct Placement {
  std::int64_t top = 0, left = 0;
  bool flip = false;
  double angle = 0;  ///< radians

  constexpr std::int64_t column(const AugmentGeometry& g, std::int64_t j) const {
    return left + (flip ? g.crop_w - 1 - j : j);
  }
  /// Whether output pixel (i, j) shows a stored one, unless it is rotated.
  constexpr bool inside(const AugmentGeometry& g, std::int64_t i, std::int64_t j) const {
    return top + i >= 0 && top + i < g.h && column(g, j) >= 0 && column(g, j) < g.w;
  }
  /// The stored image's offset of output pixel (i, j), unless it is rotated.
  constexpr std::int64_t source(const AugmentGeometry& g, std::int64_t i, std::int64_t j) const {
    return ((top + i) * g.w + column(g, j)) * g.c;
  }
};

constexpr Placement place(const AugmentGeometry& g, std::uint64_t seed, std::uint32_t epoch,
                          std::uint32_t index) {
  const std::int64_t rows = g.h + 2 * g.padding - g.crop_h,
                     columns = g.w + 2 * g.padding - g.crop_w;
  Placement result{rows / 2, columns / 2};
  if (g.random_crop) {
    const Words4 words = random_words({seed, Stream::crop, epoch}, index);
    result.top = below(static_cast<std::uint32_t>(rows + 1), words[0], words[1]);
    result.left = below(static_cast<std::uint32_t>(columns + 1), words[2], words[3]);
  }
  result.top -= g.padding;
  result.left -= g.padding;
  if (g.flip)
    result.flip = uniform_float(random_words({seed, Stream::flip, epoch}, index)[0]) < 0.5f;
  if (g.rotation != 0) {
    const Words4 words = random_words({seed, Stream::rotate, epoch}, index);
    result.angle =
        symmetric(g.rotation, uniform_double(words[0], words[1])) * std::numbers::pi / 180;
  }
  return result;
}

/// Whether an image of bytes is only cropped, flipped and whitened, and its sums are exact: n
/// sum(x^2) and sum(x)^2 fit 64 bits.
constexpr bool is_plain(const AugmentGeometry& g) {
  const bool inside = g.padding == 0 || (!g.random_crop && g.crop_h <= g.h && g.crop_w <= g.w);
  return inside && g.rotation == 0 && g.brightness == 0 && g.contrast == 0 && g.saturation == 0 &&
         g.hue == 0 && g.noise == 0 && g.crop_h * g.crop_w * g.c <= std::int64_t{1} << 23;
}

/// TensorFlow's per_image_standardization divides by no less than this.
constexpr double deviation_floor(std::int64_t values) {
  return 1 / std::sqrt(static_cast<double>(values));
}

/// (value - mean) / deviation, of n bytes with these sums, scaled.
struct ByteWhitening {
  double scale = 1, mean = 0, deviation = 1;

  static constexpr ByteWhitening none(double scale) { return {scale, 0, 1}; }
  static constexpr ByteWhitening of(double scale, std::uint64_t n, std::uint64_t sum,
                                    std::uint64_t squares) {
    const double mean = static_cast<double>(sum) / static_cast<double>(n) * scale;
    const double deviation =
        std::sqrt(static_cast<double>(n * squares - sum * sum)) / static_cast<double>(n) * scale;
    return {scale, mean, std::max(deviation, deviation_floor(static_cast<std::int64_t>(n)))};
  }
  /// The product is rounded before the difference on every device, so that the bits are the same.
  constexpr float operator()(std::uint8_t value) const {
#if defined(__CUDA_ARCH__)
    const double scaled = __dmul_rn(static_cast<double>(value), scale);
#else
    const double scaled = static_cast<double>(value) * scale;
#endif
    return static_cast<float>((scaled - mean) / deviation);
  }
};

/// One stored value in [0, 1], zero outside the image.
template <class Source>
constexpr double stored(const AugmentGeometry& g, const Source* x, std::int64_t i, std::int64_t j,
                        std::int64_t c) {
  if (i < 0 || i >= g.h || j < 0 || j >= g.w) return 0;
  return static_cast<double>(x[(i * g.w + j) * g.c + c]) * g.scale;
}

/// The place in the stored image that a rotated output pixel shows.
struct Sample {
  std::int64_t i = 0, j = 0;  ///< upper left of the four pixels around it
  double part_i = 0, part_j = 0;

  constexpr Sample(const AugmentGeometry& g, const Placement& placement, std::int64_t out_i,
                   std::int64_t out_j) {
    const double cosine = std::cos(placement.angle), sine = std::sin(placement.angle);
    const double middle_i = static_cast<double>(g.h - 1) / 2;
    const double middle_j = static_cast<double>(g.w - 1) / 2;
    const double down = static_cast<double>(placement.top + out_i) - middle_i;
    const double right = static_cast<double>(placement.column(g, out_j)) - middle_j;
    const double from_i = middle_i + sine * right + cosine * down;
    const double from_j = middle_j + cosine * right - sine * down;
    i = static_cast<std::int64_t>(std::floor(from_i));
    j = static_cast<std::int64_t>(std::floor(from_j));
    part_i = from_i - std::floor(from_i);
    part_j = from_j - std::floor(from_j);
  }

  /// Channel c there, between the four pixels.
  template <class Source>
  constexpr float value(const AugmentGeometry& g, const Source* x, std::int64_t c) const {
    const double upper = (1 - part_j) * stored(g, x, i, j, c) + part_j * stored(g, x, i, j + 1, c);
    const double lower =
        (1 - part_j) * stored(g, x, i + 1, j, c) + part_j * stored(g, x, i + 1, j + 1, c);
    return static_cast<float>((1 - part_i) * upper + part_i * lower);
  }
};

/// The draws of an image's colours.
struct Recoloring {
  float brightness = 0, contrast = 1, saturation = 1, hue = 0;

  static constexpr Recoloring draw(const AugmentGeometry& g, const Words4& words) {
    const auto drawn = [&](double extent, std::size_t word) {
      return static_cast<float>(symmetric(extent, static_cast<double>(uniform_float(words[word]))));
    };
    return {drawn(g.brightness, 0), 1 + drawn(g.contrast, 1), 1 + drawn(g.saturation, 2),
            drawn(g.hue, 3)};
  }
};

struct Hsv {
  float hue, saturation, value;  ///< hue in [0, 1)
};

constexpr Hsv to_hsv(const float* rgb) {
  const float value = std::max(std::max(rgb[0], rgb[1]), rgb[2]);
  const float chroma = value - std::min(std::min(rgb[0], rgb[1]), rgb[2]);
  float hue = 0;
  if (chroma > 0) {
    if (value == rgb[0])
      hue = (rgb[1] - rgb[2]) / chroma;
    else if (value == rgb[1])
      hue = 2 + (rgb[2] - rgb[0]) / chroma;
    else
      hue = 4 + (rgb[0] - rgb[1]) / chroma;
    hue /= 6;
    hue -= std::floor(hue);
  }
  return {hue, value > 0 ? chroma / value : 0, value};
}

constexpr void to_rgb(const Hsv& hsv, float* rgb) {
  const float chroma = hsv.saturation * hsv.value;
  const auto curve = [&](float offset) {
    float h = hsv.hue * 6 + offset;
    h -= 6 * std::floor(h / 6);
    return hsv.value - chroma * std::clamp(std::min(h, 4 - h), 0.0f, 1.0f);
  };
  rgb[0] = curve(5);
  rgb[1] = curve(3);
  rgb[2] = curve(1);
}

/// Saturation and hue of one pixel, in place.
constexpr void turn_colors(const AugmentGeometry& g, const Recoloring& colors, float* rgb) {
  Hsv hsv = to_hsv(rgb);
  if (g.saturation != 0)
    hsv.saturation = std::clamp(hsv.saturation * colors.saturation, 0.0f, 1.0f);
  hsv.hue += colors.hue;
  hsv.hue -= std::floor(hsv.hue);
  to_rgb(hsv, rgb);
}

}  // namespace shatter::kernels
