// The features of Table 3 against literal loops.
#include <complex>
#include <numbers>

#include <Eigen/Dense>

#include <shatter/experiments/theory/gabor.h>
#include <shatter/experiments/theory/random_convnet.h>

#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::experiments;
using namespace shatter::test;

namespace {

data::Dataset drawn(std::int64_t n, data::Split split = data::Split::train) {
  return data::synthetic(split, {.size = n});
}

/// Grey random images.
data::Dataset noise(std::int64_t n, std::int64_t side, std::int64_t colors) {
  data::Dataset dataset;
  dataset.name = "noise";
  dataset.images = Tensor::from(random_values<float>(n * side * side * colors, 3, 0, 1),
                                {n, side, side, colors});
  dataset.labels = Tensor::zeros({n}, DType::int32);
  dataset.classes = 10;
  return dataset;
}

double pixel(const data::Dataset& dataset, std::int64_t n, std::int64_t y, std::int64_t x,
             std::int64_t c) {
  const std::int64_t h = dataset.images.dim(1), w = dataset.images.dim(2);
  if (y < 0 || y >= h || x < 0 || x >= w) return 0;
  const std::int64_t at = ((n * h + y) * w + x) * dataset.images.dim(3) + c;
  return dataset.images.dtype() == DType::uint8
             ? double(dataset.images.data<std::uint8_t>()[at]) / 255
             : double(dataset.images.data<float>()[at]);
}

}  // namespace

TEST_CASE("pixels and labels are the data set's") {
  const data::Dataset dataset = drawn(3);
  const Features features = pixels(dataset);
  REQUIRE(features.d == 32 * 32 * 3);
  CHECK(features.row(2)[(5 * 32 + 7) * 3 + 1] == Approx(pixel(dataset, 2, 5, 7, 1)).epsilon(1e-6));
  CHECK(labels(dataset)[1] == dataset.labels.data<std::int32_t>()[1]);
  const Features part = rows(features, 1, 3);
  CHECK(std::vector<float>(part.row(1), part.row(1) + part.d) ==
        std::vector<float>(features.row(2), features.row(2) + part.d));
  double sum = 0;
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 3; ++j)
      for (std::int64_t l = 0; l < features.d; ++l)
        sum += std::pow(double(features.row(i)[l]) - double(features.row(j)[l]), 2);
  CHECK(mean_squared_distance(features) == Approx(sum / 9));
}

TEST_CASE("Gabor filters have sum 0 and absolute sum 1, and turn with the direction") {
  const GaborFilters filters = gabor_filters({});
  REQUIRE(filters.filters == 16);
  REQUIRE(filters.size == 25);
  const std::int64_t area = 25 * 25;
  for (std::int64_t f = 0; f < 16; ++f) {
    std::complex<double> sum = 0;
    double size = 0;
    for (std::int64_t p = 0; p < area; ++p) {
      const std::complex<double> g(filters.values[std::size_t(2 * f * area + p)],
                                   filters.values[std::size_t((2 * f + 1) * area + p)]);
      sum += g;
      size += std::abs(g);
    }
    CHECK(std::abs(sum) < 1e-13);
    CHECK(size == Approx(1));
  }
  // Direction 0 varies along x, direction pi / 2 along y: one is the other's transpose.
  for (std::int64_t y = 0; y < 25; ++y)
    for (std::int64_t x = 0; x < 25; ++x)
      REQUIRE(filters.values[std::size_t(y * 25 + x)] ==
              Approx(filters.values[std::size_t(2 * 4 * area + x * 25 + y)]).margin(1e-15));
}

TEST_CASE("gabor_features are the bank's definition, pixel by pixel") {
  const data::Dataset dataset = drawn(2);
  const GaborBank bank{.wavelengths = {4, 6}, .orientations = 3, .pool = 5, .stride = 3};
  CpuContext context(2);
  const Features features = gabor_features(context, dataset, bank);
  const std::int64_t side = (32 - 5) / 3 + 1;
  REQUIRE(features.n == 2);
  REQUIRE(features.d == side * side * 6);

  std::vector<double> expected;
  for (std::int64_t n = 0; n < 2; ++n) {
    std::vector<std::vector<double>> moduli;
    for (const double length : {4., 6.})
      for (int k = 0; k < 3; ++k) {
        const double s = length / 2, t = std::numbers::pi * k / 3;
        const int reach = int(std::ceil(3 * s));
        const auto envelope = [&](int x, int y) {
          return std::exp(-(x * x + y * y) / (2 * s * s));
        };
        const auto wave = [&](int x, int y) {
          return std::exp(std::complex<double>(
              0, 2 * std::numbers::pi * (x * std::cos(t) + y * std::sin(t)) / length));
        };
        std::complex<double> above = 0;
        double below = 0, size = 0;
        for (int y = -reach; y <= reach; ++y)
          for (int x = -reach; x <= reach; ++x)
            above += envelope(x, y) * wave(x, y), below += envelope(x, y);
        for (int y = -reach; y <= reach; ++y)
          for (int x = -reach; x <= reach; ++x)
            size += std::abs(envelope(x, y) * (wave(x, y) - above / below));
        std::vector<double> map;
        for (std::int64_t row = 0; row < 32; ++row)
          for (std::int64_t column = 0; column < 32; ++column) {
            std::complex<double> sum = 0;
            for (int y = -reach; y <= reach; ++y)
              for (int x = -reach; x <= reach; ++x) {
                double gray = 0;
                for (int c = 0; c < 3; ++c) gray += pixel(dataset, n, row + y, column + x, c) / 3;
                sum += gray * envelope(x, y) * (wave(x, y) - above / below) / size;
              }
            map.push_back(std::abs(sum));
          }
        moduli.push_back(std::move(map));
      }
    for (std::int64_t row = 0; row < side; ++row)
      for (std::int64_t column = 0; column < side; ++column)
        for (const auto& map : moduli) {
          double sum = 0;
          for (std::int64_t y = 0; y < 5; ++y)
            for (std::int64_t x = 0; x < 5; ++x)
              sum += map[std::size_t((3 * row + y) * 32 + 3 * column + x)];
          expected.push_back(sum / 25);
        }
  }
  require_close(features.values, expected, 19 * 19, 0.1);
  message_of([&] { gabor_features(context, dataset, {.wavelengths = {}}); }, ErrorKind::usage);
  message_of([&] { gabor_features(context, dataset, {.pool = 33}); }, ErrorKind::usage);
}

TEST_CASE("Random filters are whitened patches") {
  // Images of one patch each: a drawn patch is one of the images, and all patches become filters.
  const std::int64_t images = 5, d = 27, draws = 200;
  const data::Dataset dataset = noise(images, 3, 3);
  const RandomConvnet net{.filters = draws, .patches = draws, .patch = 3, .pool = 1, .stride = 1};
  const std::vector<float> filters = random_filters(dataset, net);
  REQUIRE(filters.size() == std::size_t(draws * d));
  Eigen::MatrixXd patches(images, d);
  for (std::int64_t i = 0; i < images; ++i) {
    for (std::int64_t e = 0; e < d; ++e) patches(i, e) = pixel(dataset, i, e / 9, e / 3 % 3, e % 3);
    patches.row(i).array() -= patches.row(i).mean();
    patches.row(i).normalize();
  }
  std::vector<int> counts(std::size_t(images), 0), source;
  for (std::int64_t f = 0; f < draws; ++f) {
    const Eigen::VectorXd filter =
        Eigen::Map<const Eigen::VectorXf>(filters.data() + f * d, d).cast<double>();
    Eigen::Index nearest = 0;
    (patches * filter).maxCoeff(&nearest);
    source.push_back(int(nearest));
    ++counts[std::size_t(nearest)];
  }
  Eigen::MatrixXd moments = 1e-3 * Eigen::MatrixXd::Identity(d, d);
  for (std::int64_t i = 0; i < images; ++i) {
    CHECK(counts[std::size_t(i)] > 15);  // 40 expected, 4 standard deviations of 5.7
    moments += counts[std::size_t(i)] / double(draws) * patches.row(i).transpose() * patches.row(i);
  }
  for (std::int64_t f = 0; f < draws; ++f) {
    const Eigen::VectorXd filter =
        Eigen::Map<const Eigen::VectorXf>(filters.data() + f * d, d).cast<double>();
    REQUIRE((moments * filter - patches.row(source[std::size_t(f)]).transpose()).norm() < 1e-5);
  }
  message_of([&] { random_filters(dataset, {.filters = 10, .patches = 9}); }, ErrorKind::usage);
  RandomConvnet other = net;
  other.seed = 2;
  CHECK(random_filters(dataset, other) != filters);
}

TEST_CASE("convnet_features are the definition, pixel by pixel") {
  const data::Dataset dataset = drawn(3);
  const RandomConvnet net{.filters = 5, .patches = 500};
  const std::vector<float> filters = random_filters(dataset, net);
  CpuContext context(2);
  const Features features = convnet_features(context, dataset, net, filters.data(), 5);
  REQUIRE(features.d == 18 * 5);
  std::vector<double> expected;
  double largest = 0;
  for (std::int64_t n = 0; n < 3; ++n)
    for (std::int64_t row = 0; row < 3; ++row)
      for (std::int64_t column = 0; column < 3; ++column)
        for (const double sign : {1., -1.})
          for (std::int64_t f = 0; f < 5; ++f) {
            double sum = 0;
            for (std::int64_t y = 6 * row; y < 6 * row + 15; ++y)
              for (std::int64_t x = 6 * column; x < 6 * column + 15; ++x) {
                double z = 0;
                for (std::int64_t e = 0; e < 108; ++e)
                  z += double(filters[std::size_t(f * 108 + e)]) *
                       pixel(dataset, n, y + e / 18, x + e / 3 % 6, e % 3);
                sum += std::max(sign * z - 1, 0.);
                largest = std::max(largest, std::abs(z));
              }
            expected.push_back(sum / 225);
          }
  REQUIRE(*std::max_element(expected.begin(), expected.end()) > 0.01);
  require_close(features.values, expected, 108, largest);
}

TEST_CASE("The conv-net's Gram matrix is that of its features, whatever the block of filters") {
  const data::Dataset train = drawn(20), test = drawn(7, data::Split::test);
  RandomConvnet net{.filters = 24, .patches = 400};
  const auto gram = [&](std::int64_t block, int threads) {
    CpuContext context(threads);
    RandomConvnet blocked = net;
    blocked.filter_block = block;
    return *convnet_gram(context, train, test, blocked);
  };
  const ConvnetGram whole = gram(24, 1);
  CpuContext context(1);
  const std::vector<float> filters = random_filters(train, net);
  const Features a = convnet_features(context, train, net, filters.data(), 24);
  const Features b = convnet_features(context, test, net, filters.data(), 24);
  const auto product = [](const Features& x, std::int64_t i, const Features& y, std::int64_t j) {
    double sum = 0;
    for (std::int64_t l = 0; l < x.d; ++l) sum += double(x.row(i)[l]) * double(y.row(j)[l]);
    return sum;
  };
  double diagonal = 0;
  for (std::int64_t i = 0; i < 20; ++i) diagonal += product(a, i, a, i) / 20;
  CHECK(whole.scale == Approx(diagonal).epsilon(1e-5));
  const std::vector<ConvnetGram> blocked = [&] {
    std::vector<ConvnetGram> all;
    for (const std::int64_t block : {1, 7, 128}) all.push_back(gram(block, 2));
    return all;
  }();
  for (std::int64_t i = 0; i < 20; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      REQUIRE(whole.train.at(i, j) == Approx(product(a, i, a, j) / diagonal).epsilon(2e-5));
      for (const ConvnetGram& other : blocked)
        REQUIRE(other.train.at(i, j) == Approx(whole.train.at(i, j)).epsilon(2e-5));
    }
  for (std::int64_t i = 0; i < 7; ++i)
    for (std::int64_t j = 0; j < 20; ++j)
      REQUIRE(whole.test[std::size_t(i * 20 + j)] ==
              Approx(product(b, i, a, j) / diagonal).epsilon(2e-5));
  // Threads change no bit.
  const ConvnetGram again = gram(7, 1);
  CHECK(again.test == blocked[1].test);
  CHECK(!convnet_gram(context, train, test, net, [](double) { return true; }));
}
