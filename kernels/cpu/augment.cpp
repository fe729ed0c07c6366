// Images gathered from a data set and made into network input.
#include <array>
#include <cmath>
#include <numbers>
#include <type_traits>

#include <shatter/kernels/augment_math.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// Calls use(output offset, stored offset) for every pixel of the crop, in output order.
template <class Use>
void for_pixels(const AugmentGeometry& g, const Placement& placement, Use use) {
  const std::int64_t pitch = g.y_pitch ? g.y_pitch : g.c;
  for (std::int64_t i = 0; i < g.crop_h; ++i)
    for (std::int64_t j = 0; j < g.crop_w; ++j)
      use((i * g.crop_w + j) * pitch, placement.source(g, i, j));
}

constexpr std::int64_t piece = 1 << 16;  // the squares of so many bytes fit 32 bits

ByteWhitening whitening_of(const AugmentGeometry& g, const Placement& placement,
                           const std::uint8_t* x) {
  std::uint64_t sum = 0, squares = 0;
  const std::uint8_t* const first = x + (placement.top * g.w + placement.left) * g.c;
  multiversion([first, rows = g.crop_h, n = g.crop_w * g.c, step = g.w * g.c, &sum, &squares] {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t begin = 0; begin < n; begin += piece) {
        const std::uint8_t* const row = first + i * step + begin;
        std::uint32_t row_sum = 0, row_squares = 0;
        for (std::int64_t j = 0; j < std::min(piece, n - begin); ++j) {
          const std::uint32_t value = row[j];
          row_sum += value;
          row_squares += value * value;
        }
        sum += row_sum;
        squares += row_squares;
      }
  });
  const auto n = static_cast<std::uint64_t>(g.crop_h * g.crop_w * g.c);
  return ByteWhitening::of(g.scale, n, sum, squares);
}

// Crop, flip and whitening of bytes: one table of 256 results for each image.
void augment_bytes(const AugmentGeometry& g, const Placement& placement, const std::uint8_t* x,
                   float* y) {
  const std::int64_t pitch = g.y_pitch ? g.y_pitch : g.c;
  const ByteWhitening whitening =
      g.whiten ? whitening_of(g, placement, x) : ByteWhitening::none(g.scale);
  std::array<float, 256> table;
  multiversion([&table, whitening] {
    for (std::size_t i = 0; i < table.size(); ++i)
      table[i] = whitening(static_cast<std::uint8_t>(i));
  });
  if (!placement.flip && pitch == g.c) {  // the crop's rows as they lie
    const std::uint8_t* const in = x + placement.source(g, 0, 0);
    const std::int64_t row = g.crop_w * g.c;
    for (std::int64_t i = 0; i < g.crop_h; ++i)
      std::transform(in + i * g.w * g.c, in + i * g.w * g.c + row, y + i * row,
                     [&](std::uint8_t value) { return table[value]; });
    return;
  }
  for_pixels(g, placement, [&](std::int64_t to, std::int64_t from) {
    for (std::int64_t c = 0; c < g.c; ++c) y[to + c] = table[x[from + c]];
    for (std::int64_t c = g.c; c < pitch; ++c) y[to + c] = 0;
  });
}

template <class Source>
void sample_rotated(const AugmentGeometry& g, const Placement& placement, const Source* x,
                    float* image) {
  for (std::int64_t i = 0; i < g.crop_h; ++i)
    for (std::int64_t j = 0; j < g.crop_w; ++j) {
      const Sample sample(g, placement, i, j);
      for (std::int64_t c = 0; c < g.c; ++c) *image++ = sample.value(g, x, c);
    }
}

void recolor(const AugmentGeometry& g, const Recoloring& colors, float* image) {
  const std::int64_t pixels = g.crop_h * g.crop_w;
  if (g.brightness != 0)
    for (std::int64_t i = 0; i < pixels * g.c; ++i) image[i] += colors.brightness;
  if (g.contrast != 0) {
    for (std::int64_t c = 0; c < g.c; ++c) {
      double sum = 0;
      for (std::int64_t i = 0; i < pixels; ++i) sum += static_cast<double>(image[i * g.c + c]);
      const auto mean = static_cast<float>(sum / static_cast<double>(pixels));
      for (std::int64_t i = 0; i < pixels; ++i) {
        float& value = image[i * g.c + c];
        value = (value - mean) * colors.contrast + mean;
      }
    }
  }
  if (g.saturation == 0 && g.hue == 0) return;
  for (std::int64_t i = 0; i < pixels; ++i) turn_colors(g, colors, image + i * 3);
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

// Images lie anywhere in the data set: the next one is on its way while this one is worked on.
template <class Source>
void prefetch(const Source* x, std::int64_t elements) {
  constexpr std::int64_t line = 64 / sizeof(Source);
  for (std::int64_t i = 0; i < elements; i += line) __builtin_prefetch(x + i);
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
    for (std::int64_t i = 0; i < g.crop_h; ++i)
      for (std::int64_t j = 0; j < g.crop_w; ++j, to += g.c) {
        if (!placement.inside(g, i, j)) {
          std::fill_n(to, g.c, 0.0f);
          continue;
        }
        const Source* const from = x + placement.source(g, i, j);
        for (std::int64_t c = 0; c < g.c; ++c)
          to[c] = static_cast<float>(static_cast<double>(from[c]) * g.scale);
      }
  }
  recolor(g, Recoloring::draw(g, random_words({seed, Stream::color, epoch}, index)), image.data());
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
  const ProfileScope scope(context, "augment", augment_work<Source>(g, batch));
  check_augment(g);
  const std::int64_t image = g.h * g.w * g.c;
  const std::int64_t output = g.crop_h * g.crop_w * (g.y_pitch ? g.y_pitch : g.c);
  if (output == 0) return;
  index += position->first;
  const auto epoch = static_cast<std::uint32_t>(position->epoch);
  const bool plain = is_plain(g);
  context.parallel_for(batch, rows_per_chunk(4 * output),
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t i = begin; i < end; ++i) {
                           const auto number = static_cast<std::uint32_t>(index[i]);
                           if (i + 1 < end) prefetch(x + index[i + 1] * image, image);
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

template <class T>
void gather_items(CpuContext& context, const BatchPosition* position, std::int64_t batch,
                  std::int64_t width, const std::int64_t* index, const T* x, T* y) {
  const ProfileScope scope(context, "gather_items", gather_items_work<T>(batch, width));
  if (width <= 0) return;
  const std::int64_t items_per_chunk = std::max<std::int64_t>(1, elements_per_chunk / width);
  context.parallel_for(batch, items_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::copy_n(x + index[position->first + i] * width, width, y + i * width);
  });
}

template void augment(CpuContext&, const AugmentGeometry&, std::uint64_t, const BatchPosition*,
                      std::int64_t, const std::int64_t*, const std::uint8_t*, float*);
template void augment(CpuContext&, const AugmentGeometry&, std::uint64_t, const BatchPosition*,
                      std::int64_t, const std::int64_t*, const float*, float*);
template void gather_items(CpuContext&, const BatchPosition*, std::int64_t, std::int64_t,
                           const std::int64_t*, const std::int32_t*, std::int32_t*);
template void gather_items(CpuContext&, const BatchPosition*, std::int64_t, std::int64_t,
                           const std::int64_t*, const float*, float*);
template void gather_items(CpuContext&, const BatchPosition*, std::int64_t, std::int64_t,
                           const std::int64_t*, const double*, double*);

}  // namespace shatter::kernels
