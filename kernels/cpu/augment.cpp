// Images gathered from a data set and made into network input.
#include <array>
#include <cmath>
#include <numbers>
#include <type_traits>

#include <shatter/kernels/augment.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>

#include "workspace.h"

namespace shatter::kernels {

namespace {

// A draw in [0, 1) mapped to [-extent, extent).
double symmetric(double extent, double uniform) {
  return extent * (2 * uniform - 1);
}

// Where an output pixel comes from.
struct Placement {
  std::int64_t top = 0, left = 0;
  bool flip = false;
  double angle = 0;  // radians

  std::int64_t column(const AugmentGeometry& g, std::int64_t j) const {
    return left + (flip ? g.crop_w - 1 - j : j);
  }
};

Placement place(const AugmentGeometry& g, std::uint64_t seed, std::uint32_t epoch,
                std::uint32_t index) {
  Placement result{(g.h - g.crop_h) / 2, (g.w - g.crop_w) / 2};
  if (g.random_crop) {
    const Words4 words = random_words({seed, Stream::crop, epoch}, index);
    result.top = below(static_cast<std::uint32_t>(g.h - g.crop_h + 1), words[0], words[1]);
    result.left = below(static_cast<std::uint32_t>(g.w - g.crop_w + 1), words[2], words[3]);
  }
  if (g.flip)
    result.flip = uniform_float(random_words({seed, Stream::flip, epoch}, index)[0]) < 0.5f;
  if (g.rotation != 0) {
    const Words4 words = random_words({seed, Stream::rotate, epoch}, index);
    result.angle =
        symmetric(g.rotation, uniform_double(words[0], words[1])) * std::numbers::pi / 180;
  }
  return result;
}

// TensorFlow's per_image_standardization divides by no less than this.
double deviation_floor(std::int64_t values) {
  return 1 / std::sqrt(static_cast<double>(values));
}

// Calls use(output offset, stored offset) for every pixel of the crop, in output order.
template <class Use>
void for_pixels(const AugmentGeometry& g, const Placement& placement, Use use) {
  const std::int64_t pitch = g.y_pitch ? g.y_pitch : g.c;
  for (std::int64_t i = 0; i < g.crop_h; ++i) {
    const std::int64_t row = (placement.top + i) * g.w;
    for (std::int64_t j = 0; j < g.crop_w; ++j)
      use((i * g.crop_w + j) * pitch, (row + placement.column(g, j)) * g.c);
  }
}

// Crop, flip and whitening of bytes: one table of 256 results for each image. N sum(x^2) and
// sum(x)^2 are exact in 64 bits up to this many values.
constexpr std::int64_t exact_values = std::int64_t{1} << 23;

void augment_bytes(const AugmentGeometry& g, const Placement& placement, const std::uint8_t* x,
                   float* y) {
  const std::int64_t values = g.crop_h * g.crop_w * g.c, pitch = g.y_pitch ? g.y_pitch : g.c;
  double mean = 0, deviation = 1;
  if (g.whiten) {
    std::uint64_t sum = 0, squares = 0;
    for (std::int64_t i = 0; i < g.crop_h; ++i) {
      const std::uint8_t* const row = x + ((placement.top + i) * g.w + placement.left) * g.c;
      std::uint32_t row_sum = 0;
      std::uint64_t row_squares = 0;
      for (std::int64_t j = 0; j < g.crop_w * g.c; ++j) {
        const std::uint32_t value = row[j];
        row_sum += value;
        row_squares += value * value;
      }
      sum += row_sum;
      squares += row_squares;
    }
    const auto n = static_cast<std::uint64_t>(values);
    mean = static_cast<double>(sum) / static_cast<double>(n) * g.scale;
    deviation =
        std::sqrt(static_cast<double>(n * squares - sum * sum)) / static_cast<double>(n) * g.scale;
    deviation = std::max(deviation, deviation_floor(values));
  }
  std::array<float, 256> table;
  for (std::size_t i = 0; i < table.size(); ++i)
    table[i] = static_cast<float>((static_cast<double>(i) * g.scale - mean) / deviation);
  for_pixels(g, placement, [&](std::int64_t to, std::int64_t from) {
    for (std::int64_t c = 0; c < g.c; ++c) y[to + c] = table[x[from + c]];
    for (std::int64_t c = g.c; c < pitch; ++c) y[to + c] = 0;
  });
}

// One stored value in [0, 1], zero outside the image.
template <class Source>
double stored(const AugmentGeometry& g, const Source* x, std::int64_t i, std::int64_t j,
              std::int64_t c) {
  if (i < 0 || i >= g.h || j < 0 || j >= g.w) return 0;
  return static_cast<double>(x[(i * g.w + j) * g.c + c]) * g.scale;
}

template <class Source>
void sample_rotated(const AugmentGeometry& g, const Placement& placement, const Source* x,
                    float* image) {
  const double cosine = std::cos(placement.angle), sine = std::sin(placement.angle);
  const double middle_i = static_cast<double>(g.h - 1) / 2;
  const double middle_j = static_cast<double>(g.w - 1) / 2;
  for (std::int64_t i = 0; i < g.crop_h; ++i)
    for (std::int64_t j = 0; j < g.crop_w; ++j) {
      const double down = static_cast<double>(placement.top + i) - middle_i;
      const double right = static_cast<double>(placement.column(g, j)) - middle_j;
      const double from_i = middle_i + sine * right + cosine * down;
      const double from_j = middle_j + cosine * right - sine * down;
      const double floor_i = std::floor(from_i), floor_j = std::floor(from_j);
      const double part_i = from_i - floor_i, part_j = from_j - floor_j;
      const auto i0 = static_cast<std::int64_t>(floor_i), j0 = static_cast<std::int64_t>(floor_j);
      for (std::int64_t c = 0; c < g.c; ++c) {
        const double upper =
            (1 - part_j) * stored(g, x, i0, j0, c) + part_j * stored(g, x, i0, j0 + 1, c);
        const double lower =
            (1 - part_j) * stored(g, x, i0 + 1, j0, c) + part_j * stored(g, x, i0 + 1, j0 + 1, c);
        *image++ = static_cast<float>((1 - part_i) * upper + part_i * lower);
      }
    }
}

struct Hsv {
  float hue, saturation, value;  // hue in [0, 1)
};

Hsv to_hsv(const float* rgb) {
  const float value = std::max({rgb[0], rgb[1], rgb[2]});
  const float chroma = value - std::min({rgb[0], rgb[1], rgb[2]});
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

void to_rgb(const Hsv& hsv, float* rgb) {
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

void recolor(const AugmentGeometry& g, const Words4& words, float* image) {
  const std::int64_t pixels = g.crop_h * g.crop_w;
  const auto draw = [&](double extent, std::size_t word) {
    return static_cast<float>(symmetric(extent, static_cast<double>(uniform_float(words[word]))));
  };
  if (g.brightness != 0) {
    const float shift = draw(g.brightness, 0);
    for (std::int64_t i = 0; i < pixels * g.c; ++i) image[i] += shift;
  }
  if (g.contrast != 0) {
    const float factor = 1 + draw(g.contrast, 1);
    for (std::int64_t c = 0; c < g.c; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < pixels; ++i) sum += static_cast<double>(image[i * g.c + c]);
      const auto mean = static_cast<float>(sum / static_cast<double>(pixels));
      for (std::int64_t i = 0; i < pixels; ++i) {
        float& value = image[i * g.c + c];
        value = (value - mean) * factor + mean;
      }
    }
  }
  if (g.saturation == 0 && g.hue == 0) return;
  const float factor = 1 + draw(g.saturation, 2), turn = draw(g.hue, 3);
  for (std::int64_t i = 0; i < pixels; ++i) {
    Hsv hsv = to_hsv(image + i * 3);
    if (g.saturation != 0) hsv.saturation = std::clamp(hsv.saturation * factor, 0.0f, 1.0f);
    hsv.hue += turn;
    hsv.hue -= std::floor(hsv.hue);
    to_rgb(hsv, image + i * 3);
  }
}

void add_noise(double deviation, const RandomKey& key, std::uint32_t index, std::int64_t values,
               float* image) {
  for (std::int64_t i = 0; i < values; i += 2) {
    const NormalPair pair =
        normal_pair(random_words(key, index, static_cast<std::uint32_t>(i / 2)));
    image[i] += static_cast<float>(deviation * pair.first);
    if (i + 1 < values) image[i + 1] += static_cast<float>(deviation * pair.second);
  }
}

void whiten(std::int64_t values, float* image) {
  const auto n = static_cast<double>(values);
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < values; ++i) sum += static_cast<double>(image[i]);
  const double mean = sum / n;
  for (std::int64_t i = 0; i < values; ++i) {
    const double difference = static_cast<double>(image[i]) - mean;
    squares += difference * difference;
  }
  const double deviation = std::max(std::sqrt(squares / n), deviation_floor(values));
  for (std::int64_t i = 0; i < values; ++i)
    image[i] = static_cast<float>((static_cast<double>(image[i]) - mean) / deviation);
}

template <class Source>
void augment_general(const AugmentGeometry& g, const Placement& placement, std::uint64_t seed,
                     std::uint32_t epoch, std::uint32_t index, const Source* x, float* y) {
  const std::int64_t values = g.crop_h * g.crop_w * g.c, pitch = g.y_pitch ? g.y_pitch : g.c;
  const Workspace<float> image(values);
  if (g.rotation != 0) {
    sample_rotated(g, placement, x, image.data());
  } else {
    float* to = image.data();
    for_pixels(g, placement, [&](std::int64_t, std::int64_t from) {
      for (std::int64_t c = 0; c < g.c; ++c)
        *to++ = static_cast<float>(static_cast<double>(x[from + c]) * g.scale);
    });
  }
  recolor(g, random_words({seed, Stream::color, epoch}, index), image.data());
  if (g.noise != 0) add_noise(g.noise, {seed, Stream::noise, epoch}, index, values, image.data());
  if (g.whiten) whiten(values, image.data());
  for (std::int64_t i = 0; i < g.crop_h * g.crop_w; ++i) {
    for (std::int64_t c = 0; c < g.c; ++c) y[i * pitch + c] = image[i * g.c + c];
    for (std::int64_t c = g.c; c < pitch; ++c) y[i * pitch + c] = 0;
  }
}

}  // namespace

template <class Source>
void augment(CpuContext& context, const AugmentGeometry& g, std::uint64_t seed,
             const BatchPosition* position, std::int64_t batch, const std::int64_t* index,
             const Source* x, float* y) {
  check(g.crop_h >= 0 && g.crop_h <= g.h && g.crop_w >= 0 && g.crop_w <= g.w, "augment: a crop of ",
        g.crop_h, " x ", g.crop_w, " from images of ", g.h, " x ", g.w);
  check((g.saturation == 0 && g.hue == 0) || g.c == 3,
        "augment: saturation and hue need 3 channels, the images have ", g.c);
  check(g.y_pitch == 0 || g.y_pitch >= g.c, "augment: pitch ", g.y_pitch, " for ", g.c,
        " channels");
  const std::int64_t image = g.h * g.w * g.c;
  const std::int64_t output = g.crop_h * g.crop_w * (g.y_pitch ? g.y_pitch : g.c);
  if (output == 0) return;
  index += position->first;
  const auto epoch = static_cast<std::uint32_t>(position->epoch);
  const bool plain = g.rotation == 0 && g.brightness == 0 && g.contrast == 0 && g.saturation == 0 &&
                     g.hue == 0 && g.noise == 0 && g.crop_h * g.crop_w * g.c <= exact_values;
  context.parallel_for(batch, rows_per_chunk(4 * output),
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t i = begin; i < end; ++i) {
                           const auto number = static_cast<std::uint32_t>(index[i]);
                           const Placement placement = place(g, seed, epoch, number);
                           const Source* const in = x + index[i] * image;
                           float* const out = y + i * output;
                           if constexpr (std::is_same_v<Source, std::uint8_t>) {
                             if (plain) {
                               augment_bytes(g, placement, in, out);
                               continue;
                             }
                           }
                           augment_general(g, placement, seed, epoch, number, in, out);
                         }
                       });
}

void gather_labels(CpuContext& context, const BatchPosition* position, std::int64_t batch,
                   const std::int64_t* index, const std::int32_t* labels, std::int32_t* y) {
  context.parallel_for(batch, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = labels[index[position->first + i]];
  });
}

template void augment(CpuContext&, const AugmentGeometry&, std::uint64_t, const BatchPosition*,
                      std::int64_t, const std::int64_t*, const std::uint8_t*, float*);
template void augment(CpuContext&, const AugmentGeometry&, std::uint64_t, const BatchPosition*,
                      std::int64_t, const std::int64_t*, const float*, float*);

}  // namespace shatter::kernels
