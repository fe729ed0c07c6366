// Procedurally drawn images for trying everything without a data set: 10 classes of local shapes.
//
// Image i shows the shape of class i % 10 once, at a random place, turned by up to 17 degrees, 10
// to 20 pixels wide, in a random colour on a background that runs between two other random colours,
// with five small rectangles of clutter and noise over it. Only the local shape tells the class,
// so that weights shared over places learn it easily, weights tied to places hardly.
#include <shatter/data/dataset.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <shatter/data/files.h>
#include <shatter/kernels/context.h>
#include <shatter/kernels/philox.h>

namespace shatter::data {
namespace {

constexpr int side = 32;
constexpr std::int64_t classes = 10;

/// The draws of one image, one after another.
class Draws {
 public:
  Draws(const RandomKey& key, std::uint32_t image) : key_(key), image_(image) {}

  /// Uniform in [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * double(uniform_float(next()));
  }
  std::uint32_t next() {
    if (used_ == 4) {
      words_ = random_words(key_, image_, block_++);
      used_ = 0;
    }
    return words_[used_++];
  }

 private:
  RandomKey key_;
  std::uint32_t image_;
  std::uint32_t block_ = 0;
  std::size_t used_ = 4;
  Words4 words_{};
};

using Color = std::array<double, 3>;

Color random_color(Draws& draws) {
  return {draws.uniform(0, 256), draws.uniform(0, 256), draws.uniform(0, 256)};
}

double squared_distance(const Color& a, const Color& b) {
  double sum = 0;
  for (std::size_t c = 0; c < 3; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
  return sum;
}

/// Whether the shape of a class covers (u, v); it fills about [-1, 1] x [-1, 1].
bool covers(std::int64_t label, double u, double v) {
  const double x = std::abs(u), y = std::abs(v);
  const double far = std::max(x, y), square = u * u + v * v;
  if (far > 1) return false;
  switch (label) {
    case 0: return square <= 1;                                       // disc
    case 1: return square <= 1 && square >= 0.36;                     // ring
    case 2: return far <= 0.9;                                        // square
    case 3: return far >= 0.55;                                       // frame
    case 4: return v >= -0.85 && v <= 0.85 && x <= (v + 0.85) / 1.7;  // triangle
    case 5: return std::min(x, y) <= 0.28;                            // plus
    case 6: return std::abs(x - y) <= 0.36;                           // cross
    case 7: return static_cast<int>((v + 1) * 2.5) % 2 == 0;          // three stripes across
    case 8: return static_cast<int>((u + 1) * 2.5) % 2 == 0;          // three stripes down
    default:                                                          // 3 x 3 chequers
      return (static_cast<int>((u + 1) * 1.5) + static_cast<int>((v + 1) * 1.5)) % 2 == 0;
  }
}

using Canvas = std::array<Color, std::size_t(side) * side>;

void paint_background(Draws& draws, const Color& from, const Color& to, Canvas& canvas) {
  // The direction is a rational point of the circle: no sine whose last bit differs by platform.
  const double t = draws.uniform(-1, 1), down = (1 - t * t) / (1 + t * t),
               right = 2 * t / (1 + t * t);
  for (int h = 0; h < side; ++h) {
    for (int w = 0; w < side; ++w) {
      const double along = 0.5 + ((h - 15.5) * down + (w - 15.5) * right) / 44;
      for (std::size_t c = 0; c < 3; ++c) {
        canvas[std::size_t(h * side + w)][c] = from[c] + (to[c] - from[c]) * along;
      }
    }
  }
}

void paint_clutter(Draws& draws, Canvas& canvas) {
  for (int i = 0; i < 5; ++i) {
    const Color color = random_color(draws);
    const int height = 1 + int(draws.next() % 4), width = 1 + int(draws.next() % 4);
    const int top = int(draws.next() % side), left = int(draws.next() % side);
    for (int h = top; h < std::min(side, top + height); ++h) {
      for (int w = left; w < std::min(side, left + width); ++w) {
        canvas[std::size_t(h * side + w)] = color;
      }
    }
  }
}

void paint_shape(Draws& draws, std::int64_t label, const Color& color, Canvas& canvas) {
  const double radius = draws.uniform(5, 10);
  const double y = draws.uniform(radius, side - radius), x = draws.uniform(radius, side - radius);
  const double t = draws.uniform(-0.15, 0.15);  // tangent of half the angle
  const double cosine = (1 - t * t) / (1 + t * t), sine = 2 * t / (1 + t * t);
  for (int h = 0; h < side; ++h) {
    for (int w = 0; w < side; ++w) {
      const double dy = (h + 0.5 - y) / radius, dx = (w + 0.5 - x) / radius;
      if (covers(label, cosine * dx + sine * dy, cosine * dy - sine * dx)) {
        canvas[std::size_t(h * side + w)] = color;
      }
    }
  }
}

/// Adds triangular noise of up to +-noise levels, a byte pair of the generator to a value.
void store(Draws& draws, const Canvas& canvas, std::uint8_t* y) {
  constexpr double noise = 24;
  for (const Color& color : canvas) {
    for (const double value : color) {
      const std::uint32_t word = draws.next();
      const double sum = double(word & 0xffff) + double(word >> 16) - 65535;
      *y++ = static_cast<std::uint8_t>(std::clamp(value + sum * (noise / 65536), 0.0, 255.0));
    }
  }
}

void draw_image(const RandomKey& key, std::uint32_t image, std::int64_t label, std::uint8_t* y) {
  Draws draws(key, image);
  const Color from = random_color(draws), to = random_color(draws);
  // The shape must be seen on both ends of the background.
  Color color = random_color(draws);
  const auto visible = [&] {
    return std::min(squared_distance(color, from), squared_distance(color, to)) > 110 * 110;
  };
  while (!visible()) color = random_color(draws);
  Canvas canvas;
  paint_background(draws, from, to, canvas);
  paint_clutter(draws, canvas);
  paint_shape(draws, label, color, canvas);
  store(draws, canvas, y);
}

}  // namespace

Dataset synthetic(Split split, const SyntheticOptions& options) {
  const std::int64_t n = options.size;
  check(n >= 1 && n <= std::numeric_limits<std::uint32_t>::max(), "synthetic: size is ", n,
        ", expected 1 to 4294967295");
  Dataset result;
  result.name = text("synthetic/", name_of(split), "; size=", n, " seed=", options.seed);
  result.classes = classes;
  result.images = Tensor::empty({n, side, side, 3}, DType::uint8);
  result.labels = Tensor::empty({n}, DType::int32);
  auto* images = result.images.data<std::uint8_t>();
  auto* labels = result.labels.data<std::int32_t>();
  const RandomKey key{options.seed, Stream::synthetic, split == Split::train ? 0u : 1u};
  cpu_context().parallel_for(n, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      labels[i] = static_cast<std::int32_t>(i % classes);
      draw_image(key, static_cast<std::uint32_t>(i), i % classes, images + i * side * side * 3);
    }
  });
  return result;
}

}  // namespace shatter::data
