// Augmentation: the path of every pixel, whitening, colours, and determinism.
#include <numeric>
#include <set>

#include <shatter/kernels/augment.h>
#include <shatter/kernels/error.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

AugmentGeometry geometry(std::int64_t h, std::int64_t w, std::int64_t c, std::int64_t crop_h,
                         std::int64_t crop_w) {
  AugmentGeometry g;
  g.h = h;
  g.w = w;
  g.c = c;
  g.crop_h = crop_h;
  g.crop_w = crop_w;
  g.scale = 1 / 255.0;
  return g;
}

std::vector<std::uint8_t> images(const AugmentGeometry& g, std::int64_t count) {
  std::vector<std::uint8_t> x;
  for (std::int64_t i = 0; i < count * g.h * g.w * g.c; ++i)
    x.push_back(
        static_cast<std::uint8_t>(random_words({77}, static_cast<std::uint32_t>(i))[0] >> 24));
  return x;
}

enum class Backend { cpu, cuda };
Backend backend = Backend::cpu;  // of the running test case

/// Makes the rest of a test case run on each backend there is.
void on_each_backend() {
  if (!tests_cpu())
    backend = Backend::cuda;
  else
    backend = has_cuda() ? GENERATE(Backend::cpu, Backend::cuda) : Backend::cpu;
}

/// The order of an epoch in which the batch begins at place 2.
std::vector<std::int64_t> shifted(const std::vector<std::int64_t>& index) {
  std::vector<std::int64_t> order{1 << 20, 1 << 20};
  order.insert(order.end(), index.begin(), index.end());
  return order;
}

template <class Source>
std::vector<float> run(const AugmentGeometry& g, const std::vector<Source>& x,
                       const std::vector<std::int64_t>& index, std::uint64_t seed = 1,
                       std::uint32_t epoch = 0) {
  const std::int64_t pitch = g.y_pitch ? g.y_pitch : g.c;
  const auto batch = static_cast<std::int64_t>(index.size());
  const bool floats = std::is_same_v<Source, float>;
  std::vector<float> result;
  const auto on_one = [&](auto& on) {
    CAPTURE(floats);
    float* const y = on.template make<float>(batch * g.crop_h * g.crop_w * pitch);
    augment(on.context, g, seed, on.put_value(BatchPosition{2, epoch}), batch,
            on.put(shifted(index)), on.put(x), y);
    result = on.result(y);
  };
  backend == Backend::cpu ? on_cpu(on_one) : on_cuda(on_one);
  return result;
}

std::vector<std::int64_t> first(std::int64_t n) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(n));
  std::iota(index.begin(), index.end(), 0);
  return index;
}

}  // namespace

TEST_CASE("whitening gives TensorFlow's check vector, for bytes and floats") {
  on_each_backend();
  AugmentGeometry g = geometry(2, 2, 3, 2, 2);
  g.whiten = true;
  g.scale = 1;
  std::vector<std::uint8_t> bytes(12);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  std::vector<double> expected;
  for (int i = 1; i <= 12; ++i) expected.push_back((i - 6.5) / std::sqrt(143 / 12.0));
  REQUIRE(std::abs(expected[0] + 1.593255) < 1e-6);
  REQUIRE(std::abs(expected[1] + 1.3035723) < 1e-6);
  require_close(run(g, bytes, {0}), expected);
  require_close(run(g, std::vector<float>(bytes.begin(), bytes.end()), {0}), expected);
}

TEST_CASE("whitening divides a flat image by 1 / sqrt(N)") {
  on_each_backend();
  AugmentGeometry g = geometry(4, 4, 3, 4, 4);
  g.whiten = true;
  std::vector<std::uint8_t> x(48, 200);
  for (const float value : run(g, x, {0})) REQUIRE(value == 0.0f);
  x[0] = 201;  // a deviation below the floor
  const double mean = (47 * 200 + 201) / 48.0 / 255;
  REQUIRE(std::abs(double(run(g, x, {0})[0]) - (201 / 255.0 - mean) * std::sqrt(48.0)) < 1e-7);
}

TEST_CASE("the centre crop starts at (size - crop) / 2 and gathers by index") {
  on_each_backend();
  const AugmentGeometry g = geometry(7, 6, 3, 4, 3);
  const auto x = images(g, 5);
  const std::vector<std::int64_t> index{3, 0, 3};
  const auto y = run(g, x, index);
  std::size_t o = 0;
  for (const std::int64_t image : index)
    for (std::int64_t i = 0; i < 4; ++i)
      for (std::int64_t j = 0; j < 3; ++j)
        for (std::int64_t c = 0; c < 3; ++c) {
          const auto from = static_cast<std::size_t>(((image * 7 + i + 1) * 6 + j + 1) * 3 + c);
          REQUIRE(y[o++] == static_cast<float>(x[from] / 255.0));
        }
}

TEST_CASE("crops and flips follow the documented draws, whitened over the crop") {
  on_each_backend();
  AugmentGeometry g = geometry(9, 8, 2, 6, 5);
  g.random_crop = g.flip = g.whiten = true;
  const std::int64_t count = 40;
  const auto x = images(g, count);
  const auto y = run(g, x, first(count), 5, 3);
  std::set<std::int64_t> tops, lefts;
  int flips = 0;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto number = static_cast<std::uint32_t>(n);
    const Words4 crop = random_words({5, Stream::crop, 3}, number);
    const std::int64_t top = below(4, crop[0], crop[1]), left = below(4, crop[2], crop[3]);
    const bool flip = uniform_float(random_words({5, Stream::flip, 3}, number)[0]) < 0.5f;
    tops.insert(top);
    lefts.insert(left);
    flips += flip;
    std::vector<double> values;
    for (std::int64_t i = 0; i < 6; ++i)
      for (std::int64_t j = 0; j < 5; ++j)
        for (std::int64_t c = 0; c < 2; ++c) {
          const std::int64_t column = left + (flip ? 4 - j : j);
          values.push_back(x[static_cast<std::size_t>(((n * 9 + top + i) * 8 + column) * 2 + c)] /
                           255.0);
        }
    double mean = 0, variance = 0;
    for (const double value : values) mean += value / 60;
    for (const double value : values) variance += (value - mean) * (value - mean) / 60;
    for (double& value : values)
      value = (value - mean) / std::max(std::sqrt(variance), 1 / std::sqrt(60.0));
    require_close(std::vector<float>(y.begin() + n * 60, y.begin() + (n + 1) * 60), values);
  }
  REQUIRE(tops == std::set<std::int64_t>{0, 1, 2, 3});
  REQUIRE(lefts == tops);
  REQUIRE(flips > 8);
  REQUIRE(flips < 32);
}

TEST_CASE("a padded crop reads zeros around the image, at the documented draws") {
  on_each_backend();
  AugmentGeometry g = geometry(6, 5, 3, 6, 5);
  g.padding = 2;
  g.random_crop = g.flip = true;
  const std::int64_t count = 40;
  const auto x = images(g, count);
  const auto y = run(g, x, first(count), 5, 3);
  std::set<std::int64_t> tops, lefts;
  std::size_t o = 0;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto number = static_cast<std::uint32_t>(n);
    const Words4 crop = random_words({5, Stream::crop, 3}, number);
    const std::int64_t top = std::int64_t(below(5, crop[0], crop[1])) - 2;
    const std::int64_t left = std::int64_t(below(5, crop[2], crop[3])) - 2;
    const bool flip = uniform_float(random_words({5, Stream::flip, 3}, number)[0]) < 0.5f;
    tops.insert(top);
    lefts.insert(left);
    for (std::int64_t i = 0; i < 6; ++i)
      for (std::int64_t j = 0; j < 5; ++j)
        for (std::int64_t c = 0; c < 3; ++c) {
          const std::int64_t row = top + i, column = left + (flip ? 4 - j : j);
          const bool inside = row >= 0 && row < 6 && column >= 0 && column < 5;
          const auto from = static_cast<std::size_t>(((n * 6 + row) * 5 + column) * 3 + c);
          REQUIRE(y[o++] == (inside ? static_cast<float>(x[from] / 255.0) : 0.0f));
        }
  }
  REQUIRE(tops == std::set<std::int64_t>{-2, -1, 0, 1, 2});
  REQUIRE(lefts == tops);

  g.random_crop = g.flip = false;  // the centre of the padded image is that of the image
  AugmentGeometry whole = geometry(6, 5, 3, 6, 5);
  REQUIRE(run(g, x, first(3)) == run(whole, x, first(3)));
}

TEST_CASE("an image's draws depend on its index, seed and epoch, not on its place in the batch") {
  on_each_backend();
  AugmentGeometry g = geometry(12, 12, 3, 8, 8);
  g.random_crop = g.flip = g.whiten = true;
  g.rotation = 20;
  g.brightness = 0.2;
  g.contrast = 0.3;
  g.saturation = 0.4;
  g.hue = 0.1;
  g.noise = 0.05;
  const auto x = images(g, 8);
  const auto whole = run(g, x, first(8));
  const auto part = run(g, x, {6, 2});
  const std::int64_t size = 8 * 8 * 3;
  REQUIRE(std::equal(part.begin(), part.begin() + size, whole.begin() + 6 * size));
  REQUIRE(std::equal(part.begin() + size, part.end(), whole.begin() + 2 * size));
  REQUIRE(run(g, x, first(8)) == whole);
  REQUIRE(run(g, x, first(8), 2) != whole);
  REQUIRE(run(g, x, first(8), 1, 1) != whole);
}

TEST_CASE("channels up to the pitch are zeroed") {
  on_each_backend();
  for (const double noise : {0.0, 0.1}) {
    AugmentGeometry g = geometry(5, 5, 3, 4, 4);
    g.whiten = true;
    g.noise = noise;
    const auto x = images(g, 2);
    const auto packed = run(g, x, {0, 1});
    g.y_pitch = 8;
    const auto pitched = run(g, x, {0, 1});
    for (std::size_t i = 0; i < pitched.size(); ++i)
      REQUIRE(pitched[i] == (i % 8 < 3 ? packed[i / 8 * 3 + i % 8] : 0.0f));
  }
}

TEST_CASE("bytes and floats of equal value give equal images") {
  on_each_backend();
  AugmentGeometry g = geometry(9, 9, 3, 7, 7);
  g.random_crop = g.flip = g.whiten = true;
  const auto bytes = images(g, 4);
  const std::vector<float> floats(bytes.begin(), bytes.end());
  require_close(run(g, floats, first(4)), to_double(run(g, bytes, first(4))));
}

TEST_CASE("rotation turns counter-clockwise about the centre") {
  on_each_backend();
  AugmentGeometry g = geometry(5, 5, 1, 5, 5);
  g.rotation = 90;
  g.scale = 1;
  // A bright pixel right of the centre; its image is looked up by the drawn angle.
  for (std::int64_t n = 0; n < 4; ++n) {
    std::vector<float> x(4 * 25, 0.0f);
    x[static_cast<std::size_t>(n * 25 + 2 * 5 + 4)] = 1;
    const Words4 words = random_words({1, Stream::rotate, 0}, static_cast<std::uint32_t>(n));
    const double angle = (2 * uniform_double(words[0], words[1]) - 1) * std::acos(-1.0) / 2;
    const double row = 2 - 2 * std::sin(angle), column = 2 + 2 * std::cos(angle);
    const auto y = run(g, x, {n});
    double weight = 0, row_mean = 0, column_mean = 0;
    for (std::size_t i = 0; i < 25; ++i) {
      weight += double(y[i]);
      row_mean += double(y[i]) * double(i / 5);
      column_mean += double(y[i]) * double(i % 5);
    }
    REQUIRE(weight > 0.3);
    REQUIRE(std::abs(row_mean / weight - row) < 0.5);
    REQUIRE(std::abs(column_mean / weight - column) < 0.5);
  }
  // A flat image stays flat inside the circle, and is zero from outside.
  const std::vector<float> flat(25, 1.0f);
  REQUIRE(std::abs(run(g, flat, {0})[12] - 1.0f) < 1e-6f);
}

TEST_CASE("brightness adds one draw and contrast keeps channel means") {
  on_each_backend();
  AugmentGeometry g = geometry(6, 6, 3, 6, 6);
  const auto x = images(g, 3);
  const auto plain = run(g, x, {2});
  const Words4 words = random_words({1, Stream::color, 0}, 2);
  g.brightness = 0.3;
  const double shift = 0.3 * (2 * double(uniform_float(words[0])) - 1);
  auto expected = to_double(plain);
  for (double& value : expected) value += shift;
  require_close(run(g, x, {2}), expected, 1, 1);
  g.brightness = 0;
  g.contrast = 0.5;
  const double factor = 1 + 0.5 * (2 * double(uniform_float(words[1])) - 1);
  expected = to_double(plain);
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0;
    for (std::size_t i = c; i < expected.size(); i += 3) mean += expected[i] / 36;
    for (std::size_t i = c; i < expected.size(); i += 3)
      expected[i] = (expected[i] - mean) * factor + mean;
  }
  require_close(run(g, x, {2}), expected, 1, 1);
}

TEST_CASE("saturation scales the distance from the brightest channel, hue keeps both extremes") {
  on_each_backend();
  AugmentGeometry g = geometry(6, 6, 3, 6, 6);
  const auto x = images(g, 3);
  const auto plain = run(g, x, {1});
  g.saturation = 0.5;
  const Words4 words = random_words({1, Stream::color, 0}, 1);
  const double factor = 1 + 0.5 * (2 * double(uniform_float(words[2])) - 1);
  const auto saturated = run(g, x, {1});
  g.saturation = 0;
  g.hue = 0.4;
  const auto turned = run(g, x, {1});
  bool moved = false;
  for (std::size_t i = 0; i < plain.size(); i += 3) {
    const auto extremes = [&](const std::vector<float>& y) {
      return std::minmax({double(y[i]), double(y[i + 1]), double(y[i + 2])});
    };
    const auto [low, high] = extremes(plain);
    const double scale = std::min(factor, high / (high - low));
    for (std::size_t c = i; c < i + 3; ++c)
      REQUIRE(std::abs(double(saturated[c]) - (high - (high - double(plain[c])) * scale)) < 3e-6);
    const auto [turned_low, turned_high] = extremes(turned);
    REQUIRE(std::abs(turned_low - low) < 3e-6);
    REQUIRE(std::abs(turned_high - high) < 3e-6);
    moved = moved || std::abs(turned[i] - plain[i]) > 0.05f;
  }
  REQUIRE(moved);
}

TEST_CASE("noise has the asked deviation and no mean") {
  on_each_backend();
  AugmentGeometry g = geometry(64, 64, 3, 64, 64);
  g.noise = 0.25;
  const std::vector<std::uint8_t> x(64 * 64 * 3, 100);
  const auto y = run(g, x, {0});
  double sum = 0, squares = 0;
  for (const float value : y) {
    sum += double(value) - 100 / 255.0;
    squares += std::pow(double(value) - 100 / 255.0, 2);
  }
  const auto n = double(y.size());
  REQUIRE(std::abs(sum / n) < 5 * 0.25 / std::sqrt(n));
  REQUIRE(std::abs(std::sqrt(squares / n) - 0.25) < 5 * 0.25 / std::sqrt(2 * n));
}

TEST_CASE("cropped, flipped and whitened bytes are the same bits on the CPU and on CUDA") {
  if (!has_cuda()) return;
  AugmentGeometry g = geometry(32, 32, 3, 28, 28);
  g.random_crop = g.flip = g.whiten = true;
  const auto x = images(g, 6);
  backend = Backend::cpu;
  const auto cpu = run(g, x, first(6));
  backend = Backend::cuda;
  REQUIRE(run(g, x, first(6)) == cpu);
}

TEMPLATE_TEST_CASE("gather_items looks up the epoch's order", "", std::int32_t, float, double) {
  using T = TestType;
  on_devices([](auto& on) {
    const auto* const position = on.put_value(BatchPosition{1, 9});
    const auto* const order = on.put(std::vector<std::int64_t>{9, 2, 0, 1, 9});
    auto* const y = on.template make<T>(3);
    gather_items(on.context, position, 3, 1, order, on.put(std::vector<T>{5, 6, 7}), y);
    CHECK(on.result(y) == std::vector<T>{7, 5, 6});
    auto* const wide = on.template make<T>(6);
    gather_items(on.context, position, 3, 2, order, on.put(std::vector<T>{5, 6, 7, 8, 9, 10}),
                 wide);
    CHECK(on.result(wide) == std::vector<T>{9, 10, 5, 6, 7, 8});
  });
}

TEST_CASE("augment refuses impossible geometries") {
  CpuContext context(1);
  const std::vector<std::uint8_t> x(100);
  std::vector<float> y(100);
  const std::int64_t index = 0;
  const BatchPosition start;
  const auto call = [&](const AugmentGeometry& g) {
    augment(context, g, 1, &start, 1, &index, x.data(), y.data());
  };
  REQUIRE_THROWS_AS(call(geometry(4, 4, 1, 5, 4)), Error);
  AugmentGeometry grey = geometry(4, 4, 1, 4, 4);
  grey.hue = 0.1;
  REQUIRE_THROWS_AS(call(grey), Error);
  AugmentGeometry narrow = geometry(4, 4, 3, 4, 4);
  narrow.y_pitch = 2;
  REQUIRE_THROWS_AS(call(narrow), Error);
}
