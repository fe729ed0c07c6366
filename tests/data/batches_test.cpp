// Batches: order, membership, and the pipeline against formulas written out here.
#include <shatter/core/ops.h>
#include <shatter/data/batches.h>
#include <shatter/data/randomize.h>
#include <shatter/kernels/context.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "tests/support/files.h"

using namespace shatter;

namespace {

std::vector<std::int64_t> index_of(const data::Batch& batch) {
  return batch.index.values<std::int64_t>();
}

/// Pixel (h, w, c) of image i in [0, 1].
double pixel(const data::Dataset& set, std::int64_t i, std::int64_t h, std::int64_t w,
             std::int64_t c) {
  const Shape& s = set.images.shape();
  return set.images.data<std::uint8_t>()[((i * s[1] + h) * s[2] + w) * s[3] + c] / 255.0;
}

/// The crop at (top, left), flipped or not, row-major.
std::vector<double> crop(const data::Dataset& set, std::int64_t i, std::int64_t size,
                         std::int64_t top, std::int64_t left, bool flip = false) {
  std::vector<double> values;
  for (std::int64_t h = 0; h < size; ++h) {
    for (std::int64_t w = 0; w < size; ++w) {
      for (std::int64_t c = 0; c < set.images.dim(3); ++c) {
        values.push_back(pixel(set, i, top + h, left + (flip ? size - 1 - w : w), c));
      }
    }
  }
  return values;
}

std::vector<double> whitened(std::vector<double> values) {
  const double n = double(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double variance = 0;
  for (const double value : values) variance += (value - mean) * (value - mean) / n;
  const double scale = std::max(std::sqrt(variance), 1 / std::sqrt(n));
  for (double& value : values) value = (value - mean) / scale;
  return values;
}

double distance(const std::vector<double>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - double(b[i])));
  return worst;
}

std::vector<float> item(const Tensor& x, std::int64_t i) {
  return x.slice_items(i, 1).values<float>();
}

}  // namespace

TEST_CASE("an epoch holds every image once, in an order of its own") {
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 103});
  const data::BatchOptions options{.size = 10, .epoch = 0, .seed = 4, .input = {.whiten = false}};
  std::vector<std::int64_t> seen;
  std::vector<std::int64_t> sizes;
  for (const auto& [x, y, index] : data::batches(set, options)) {
    const auto places = index.values<std::int64_t>();
    const auto labels = y.values<std::int32_t>();
    sizes.push_back(x.dim(0));
    CHECK(x.shape() == Shape{std::int64_t(places.size()), 32, 32, 3});
    CHECK(x.dtype() == DType::float32);
    for (std::size_t i = 0; i < places.size(); ++i) {
      CHECK(labels[i] == places[i] % 10);
      CHECK(distance(crop(set, places[i], 32, 0, 0), item(x, std::int64_t(i))) < 1e-6);
    }
    seen.insert(seen.end(), places.begin(), places.end());
  }
  CHECK(sizes == std::vector<std::int64_t>{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 3});
  CHECK(seen.size() == 103);
  CHECK(std::set<std::int64_t>(seen.begin(), seen.end()).size() == 103);
  CHECK(!std::is_sorted(seen.begin(), seen.end()));

  const auto order = [&](data::BatchOptions changed) {
    std::vector<std::int64_t> all;
    for (const data::Batch& batch : data::batches(set, changed)) {
      const auto places = index_of(batch);
      all.insert(all.end(), places.begin(), places.end());
    }
    return all;
  };
  data::BatchOptions changed = options;
  CHECK(order(changed) == seen);
  changed.size = 7;  // the order does not depend on how it is cut
  CHECK(order(changed) == seen);
  changed.epoch = 1;
  CHECK(order(changed) != seen);
  changed = options;
  changed.seed = 5;
  CHECK(order(changed) != seen);
  changed = options;
  changed.drop_last = true;
  CHECK(order(changed) == std::vector<std::int64_t>(seen.begin(), seen.begin() + 100));
  changed = options;
  changed.shuffle = false;
  const auto plain = order(changed);
  for (std::size_t i = 0; i < 103; ++i) CHECK(plain[i] == std::int64_t(i));
}

TEST_CASE("an epoch can be taken up in its middle") {
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 50});
  data::BatchOptions options{
      .size = 8, .epoch = 3, .seed = 1, .input = {.crop = 28, .random_crop = true, .flip = true}};
  const data::Batches whole(set, options);
  CHECK(whole.count() == 7);
  for (std::int64_t first = 0; first <= 7; ++first) {
    options.first = first;
    std::int64_t i = first;
    for (const data::Batch& batch : data::batches(set, options)) {
      const data::Batch expected = whole.at(i++);
      CHECK(index_of(batch) == index_of(expected));
      CHECK(batch.x.values<float>() == expected.x.values<float>());
      CHECK(batch.y.values<std::int32_t>() == expected.y.values<std::int32_t>());
    }
    CHECK(i == 7);
  }
}

TEST_CASE("the centre crop is whitened by TensorFlow's formula") {
  const data::Dataset set = data::synthetic(data::Split::test, {.size = 5});
  const std::vector<std::int64_t> indices{4, 0, 3};
  const data::Batch batch = data::make_batch(set, indices, {.crop = 28, .whiten = true}, 1, 0);
  CHECK(batch.x.shape() == Shape{3, 28, 28, 3});
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(distance(whitened(crop(set, indices[i], 28, 2, 2)), item(batch.x, std::int64_t(i))) <
          1e-5);
  }
  // TensorFlow's documented example: 1 .. 12 in a 2 x 2 x 3 image.
  data::Dataset small;
  small.images = Tensor::from<std::uint8_t>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {1, 2, 2, 3});
  small.labels = Tensor::from<std::int32_t>({0}, {1});
  small.classes = 1;
  // At 1/255 the deviation 0.0135 is below the floor 0.2887, so scale the floats up instead.
  data::Dataset floats = small;
  floats.images = small.images.to(DType::float32);
  const std::vector<float> x =
      data::make_batch(floats, std::vector<std::int64_t>{0}, {.whiten = true}, 0, 0)
          .x.values<float>();
  CHECK(x[0] == Approx(-1.593255));
  CHECK(x[1] == Approx(-1.3035723));
  CHECK(x[11] == Approx(1.593255));
  const std::vector<float> floor =
      data::make_batch(small, std::vector<std::int64_t>{0}, {.whiten = true}, 0, 0)
          .x.values<float>();
  CHECK(floor[0] == Approx((1 - 6.5) / 255 * std::sqrt(12.0)));
  // Not asked for, it does not happen.
  CHECK(data::make_batch(floats, std::vector<std::int64_t>{0}, {}, 0, 0).x.values<float>() ==
        floats.images.values<float>());
}

TEST_CASE("random crops and flips are places of the image, drawn per image and epoch") {
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 400});
  const data::Pipeline pipeline{.crop = 28, .random_crop = true, .flip = true, .whiten = false};
  std::vector<std::int64_t> indices(400);
  std::iota(indices.begin(), indices.end(), 0);
  const data::Batch batch = data::make_batch(set, indices, pipeline, 9, 2);
  std::vector<double> tops(5), lefts(5), flips(2);
  for (std::int64_t i = 0; i < 400; ++i) {
    const std::vector<float> x = item(batch.x, i);
    int found = 0;
    for (std::int64_t top = 0; top < 5; ++top) {
      for (std::int64_t left = 0; left < 5; ++left) {
        for (const bool flip : {false, true}) {
          // A glance at the first pixel spares most of the comparisons.
          if (std::abs(pixel(set, i, top, left + (flip ? 27 : 0), 0) - double(x[0])) > 1e-6) {
            continue;
          }
          if (distance(crop(set, i, 28, top, left, flip), x) > 1e-6) continue;
          ++found;
          ++tops[std::size_t(top)];
          ++lefts[std::size_t(left)];
          ++flips[flip];
        }
      }
    }
    CHECK(found == 1);
  }
  for (const auto* counts : {&tops, &lefts}) {
    double chi_square = 0;
    for (const double count : *counts) chi_square += std::pow(count - 80, 2) / 80;
    CHECK(chi_square < 18.5);  // 99.9 % point with 4 degrees of freedom
  }
  CHECK(std::abs(flips[0] - 200) < 4 * 10);

  // An image's draws do not depend on the batch it comes in; they do on epoch and seed.
  const std::vector<std::int64_t> few{7, 399};
  const data::Batch again = data::make_batch(set, few, pipeline, 9, 2);
  CHECK(item(again.x, 0) == item(batch.x, 7));
  CHECK(item(again.x, 1) == item(batch.x, 399));
  CHECK(data::make_batch(set, indices, pipeline, 9, 3).x.values<float>() !=
        batch.x.values<float>());
  CHECK(data::make_batch(set, indices, pipeline, 10, 2).x.values<float>() !=
        batch.x.values<float>());
  CHECK(data::make_batch(set, few, pipeline.deterministic(), 9, 2).x.values<float>() ==
        data::make_batch(set, few, {.crop = 28, .whiten = false}, 1, 5).x.values<float>());
}

TEST_CASE("padding puts zeros around an image before its random crop, and whitening sees them") {
  const std::int64_t n = 400, padding = 2, size = 8;
  data::Dataset set = data::synthetic(data::Split::train, {.size = n});
  set = data::center_crop(set, size);
  data::Dataset padded = set;  // the same with the zeros stored
  padded.images = Tensor::zeros({n, size + 2 * padding, size + 2 * padding, 3}, DType::uint8);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t row = 0; row < size; ++row)
      std::copy_n(
          set.images.data<std::uint8_t>() + (i * size + row) * size * 3, size * 3,
          padded.images.data<std::uint8_t>() +
              ((i * (size + 2 * padding) + row + padding) * (size + 2 * padding) + padding) * 3);
  std::vector<std::int64_t> indices(n);
  std::iota(indices.begin(), indices.end(), 0);
  for (const std::int64_t crop : {size, size - 3, size + 2 * padding}) {
    data::Pipeline pipeline{.crop = crop, .padding = padding, .random_crop = true, .flip = true};
    data::Pipeline stored{.crop = crop, .random_crop = true, .flip = true};
    CHECK(data::make_batch(set, indices, pipeline, 9, 2).x.values<float>() ==
          data::make_batch(padded, indices, stored, 9, 2).x.values<float>());
    pipeline.whiten = stored.whiten = true;
    const auto x = data::make_batch(set, indices, pipeline, 9, 2).x.values<float>();
    CHECK(distance({x.begin(), x.end()},
                   data::make_batch(padded, indices, stored, 9, 2).x.values<float>()) < 1e-5);
  }
}

TEST_CASE("batches do not depend on the number of threads") {
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 64});
  std::vector<std::int64_t> indices(64);
  std::iota(indices.begin(), indices.end(), 0);
  const data::Pipeline pipeline{.crop = 28,
                                .random_crop = true,
                                .flip = true,
                                .rotation = 15,
                                .brightness = 0.2,
                                .contrast = 0.2,
                                .saturation = 0.2,
                                .hue = 0.1,
                                .noise = 0.1};
  CpuContext one(1), three(3);
  std::vector<float> results[2];
  CpuContext* contexts[] = {&one, &three};
  for (std::size_t i = 0; i < 2; ++i) {
    const CpuContextGuard guard(*contexts[i]);
    results[i] = data::make_batch(set, indices, pipeline, 1, 1).x.values<float>();
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("batches refuse what cannot be") {
  const auto usage = ErrorKind::usage;
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 20});
  const auto batch = [&](std::vector<std::int64_t> indices, const data::Pipeline& p = {},
                         std::int64_t epoch = 0) {
    return message_of([&] { data::make_batch(set, indices, p, 0, epoch); }, usage);
  };
  CHECK_THAT(batch({0, 20}), Contains("index 20") && Contains("20 images"));
  CHECK_THAT(batch({-1}), Contains("index -1"));
  CHECK_THAT(batch({}), Contains("no index"));
  CHECK_THAT(batch({0}, {.crop = 33}), Contains("crop is 33") && Contains("32 x 32"));
  CHECK_THAT(batch({0}, {.crop = -1}), Contains("crop is -1"));
  CHECK_THAT(batch({0}, {.padding = -1, .random_crop = true}), Contains("padding is -1"));
  CHECK_THAT(batch({0}, {.crop = 41, .padding = 4, .random_crop = true}),
             Contains("crop is 41") && Contains("32 x 32 with 4 pixels"));
  CHECK_THAT(batch({0}, {.noise = -1}), Contains("noise is -1"));
  CHECK_THAT(batch({0}, {.hue = std::numeric_limits<double>::infinity()}), Contains("hue"));
  CHECK_THAT(batch({0}, {}, -1), Contains("epoch is -1"));
  CHECK_THAT(batch({0}, {}, std::int64_t{1} << 32), Contains("epoch"));
  data::Dataset grey = set;
  grey.images = set.images.slice_channels(0, 1).packed();
  CHECK_THAT(
      message_of(
          [&] { data::make_batch(grey, std::vector<std::int64_t>{0}, {.saturation = 1}, 0, 0); },
          usage),
      Contains("3 channels"));

  for (const std::int64_t classes : {0, 9}) {
    data::Dataset few = set;
    few.classes = classes;
    CHECK_THAT(message_of([&] { data::Batches(few, {}); }, usage),
               Contains(text("[0, ", classes, ")")) && Contains("set Dataset::classes"));
  }
  const auto batches = [&](const data::BatchOptions& options) {
    return message_of([&] { data::Batches(set, options); }, usage);
  };
  CHECK_THAT(batches({.size = 0}), Contains("size is 0"));
  CHECK_THAT(batches({.size = 21, .drop_last = true}), Contains("none is left"));
  CHECK_THAT(batches({.size = 10, .first = 3}), Contains("first is 3"));
  CHECK_THAT(batches({.first = -1}), Contains("first is -1"));
  CHECK_THAT(batches({.epoch = -1}), Contains("epoch"));
  CHECK_THAT(batches({.input = {.crop = 40}}), Contains("crop is 40"));
  CHECK_THAT(message_of([] { data::Batches(data::Dataset(), {}); }, usage), Contains("no images"));
  const data::Batches good(set, {.size = std::numeric_limits<std::int64_t>::max()});
  CHECK(good.count() == 1);
  CHECK(good.at(0).x.dim(0) == 20);
  CHECK_THAT(message_of([&] { good.at(1); }, usage), Contains("batch 1"));
  CHECK_THROWS_AS(good.at(-1), Error);
}

TEST_CASE("evaluation takes the centre crop of the padded image that training draws crops of") {
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 6});
  const std::vector<std::int64_t> all{0, 1, 2, 3, 4, 5};
  // A crop larger than the image trains, so it must be evaluated too: on the image amid zeros.
  data::Pipeline wide{.crop = 38, .padding = 4, .random_crop = true};
  const Tensor x = data::make_batch(set, all, wide.deterministic(), 1, 3).x;
  REQUIRE(x.shape() == Shape{6, 38, 38, 3});
  const Tensor plain = data::make_batch(set, all, {}, 1, 0).x;
  const std::vector<float> padded = x.values<float>(), stored = plain.values<float>();
  for (std::int64_t i = 0, at = 0; i < 6; ++i)
    for (std::int64_t row = -3; row < 35; ++row)
      for (std::int64_t column = -3; column < 35; ++column)
        for (std::int64_t c = 0; c < 3; ++c, ++at) {
          const bool inside = row >= 0 && row < 32 && column >= 0 && column < 32;
          const std::int64_t from = ((i * 32 + row) * 32 + column) * 3 + c;
          REQUIRE(padded[std::size_t(at)] == (inside ? stored[std::size_t(from)] : 0));
        }
  // A crop inside the image is the same with and without zeros around it.
  for (const bool whiten : {false, true}) {
    const data::Pipeline with{.crop = 30, .padding = 4, .random_crop = true, .whiten = whiten};
    const data::Pipeline without{.crop = 30, .whiten = whiten};
    CHECK(data::make_batch(set, all, with.deterministic(), 1, 0).x.values<float>() ==
          data::make_batch(set, all, without, 1, 0).x.values<float>());
  }
}

TEST_CASE("a user's own arrays are batched as they are, with labels or targets") {
  const std::int64_t n = 7;
  std::vector<double> inputs, targets;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    for (int j = 0; j < 6; ++j) inputs.push_back(double(10 * i + j));
    for (int j = 0; j < 2; ++j) targets.push_back(double(100 * i + j));
    labels.push_back(i % 3);
  }
  const Tensor x = Tensor::from(std::span<const double>(inputs), {n, 3, 2});
  const Tensor y = Tensor::from(std::span<const double>(targets), {n, 2});
  const Tensor l = Tensor::from(std::span<const std::int64_t>(labels), {n});
  for (const DType type : {DType::float32, DType::float64}) {
    const auto regression = data::Dataset::from(x.to(type), y.to(type));
    const auto classes = data::Dataset::from(x.to(type), l);
    CHECK(regression.classes == 0);
    CHECK_FALSE(regression.has_classes());
    CHECK(classes.classes == 3);
    CHECK(classes.has_classes());
    std::int64_t seen = 0;
    for (const auto& [bx, by, index] : data::batches(regression, {.size = 3, .seed = 5})) {
      REQUIRE(bx.dtype() == type);
      REQUIRE(bx.shape() == Shape{index.numel(), 3, 2});
      REQUIRE(by.shape() == Shape{index.numel(), 2});
      const auto places = index.values<std::int64_t>();
      const auto values = bx.values<double>(), wanted = by.values<double>();
      for (std::size_t i = 0; i < places.size(); ++i, ++seen) {
        REQUIRE(values[6 * i + 5] == double(10 * places[i] + 5));
        REQUIRE(wanted[2 * i + 1] == double(100 * places[i] + 1));
      }
    }
    CHECK(seen == n);
    const auto part = data::subset(classes, {6, 2});
    const data::Batch batch = data::make_batch(part, std::vector<std::int64_t>{1, 0}, {}, 0, 0);
    CHECK(batch.y.values<std::int32_t>() == std::vector<std::int32_t>{2, 0});
    CHECK(batch.x.values<double>().front() == 20);
  }
  const auto plain = data::Dataset::from(x, y);
  const auto usage = ErrorKind::usage;
  const auto refused = [&](const std::function<void()>& f) { return message_of(f, usage); };
  CHECK_THAT(refused([&] { data::batches(plain, {.input = {.flip = true}}); }),
             Contains("pipeline is for images"));
  CHECK_THAT(refused([&] { data::randomize_labels(plain, {}); }), Contains("expected classes"));
  CHECK_THAT(refused([&] { data::shuffle_pixels(plain, 1); }), Contains("expected images"));
  CHECK_THAT(refused([&] { data::Dataset::from(x, l, 2); }), Contains("label 2"));
  CHECK_THAT(refused([&] { data::Dataset::from(x, y, 2); }), Contains("targets have none"));
  CHECK_THAT(refused([&] { data::Dataset::from(x, y.slice_items(0, 3)); }), Contains("labels are"));
  CHECK_THAT(refused([&] { data::Dataset::from(l, y); }), Contains("images are"));
  CHECK_THAT(refused([&] { data::Dataset::from(x, l - 1, 3); }), Contains("label -1"));
}
