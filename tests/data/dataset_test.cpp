// Data sets as values, the synthetic one, and loading by name.
#include <shatter/data/standardize.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

#include <shatter/data/randomize.h>
#include <shatter/kernels/context.h>

#include "tests/support/files.h"

using namespace shatter;

namespace {

std::string image(const data::Dataset& set, std::int64_t i) {
  const std::size_t bytes = set.images.bytes() / std::size_t(set.size());
  return {reinterpret_cast<const char*>(set.images.raw()) + std::size_t(i) * bytes, bytes};
}

}  // namespace

TEST_CASE("subset and first pick images with their labels") {
  data::Dataset set = data::synthetic(data::Split::train, {.size = 40, .seed = 3});
  set = data::randomize_labels(set, {.probability = 1, .seed = 5});
  const std::vector<std::int64_t> indices{39, 0, 7, 7};
  const data::Dataset part = data::subset(set, indices);
  CHECK(part.size() == 4);
  CHECK(part.classes == 10);
  CHECK_THAT(part.name, Contains("random labels") && Contains("subset"));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(image(part, std::int64_t(i)) == image(set, indices[i]));
    CHECK(part.labels.values<std::int32_t>()[i] ==
          set.labels.values<std::int32_t>()[std::size_t(indices[i])]);
    CHECK(part.true_labels.values<std::int32_t>()[i] == indices[i] % 10);
  }
  const data::Dataset some = data::first(set, 3);
  CHECK(some.size() == 3);
  CHECK(image(some, 2) == image(set, 2));
  CHECK(some.true_labels.values<std::int32_t>() == std::vector<std::int32_t>{0, 1, 2});
  CHECK(data::first(set, 40).name == set.name);

  const auto usage = ErrorKind::usage;
  CHECK_THAT(message_of([&] { data::first(set, 41); }, usage), Contains("41") && Contains("40"));
  CHECK_THROWS_AS(data::first(set, 0), Error);
  CHECK_THAT(message_of([&] { data::subset(set, {40}); }, usage), Contains("index 40"));
  CHECK_THROWS_AS(data::subset(set, {-1}), Error);
  CHECK_THROWS_AS(data::subset(set, {}), Error);
}

TEST_CASE("a data set stays where it is asked to go") {
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 10});
  const data::Dataset same = set.to(Device::cpu());
  CHECK(same.images.shares_storage(set.images));
  CHECK(data::Dataset().size() == 0);
  CHECK_NOTHROW(data::Dataset().to(Device::cpu()));
}

TEST_CASE("load knows its names") {
  CHECK(data::load("synthetic", "", data::Split::test).size() == 10000);
  CHECK_THAT(message_of([] { data::load("cifar", "", data::Split::test); }, ErrorKind::usage),
             Contains("\"cifar\"") && Contains("cifar10, cifar100, mnist"));
}

TEST_CASE("the data folder: given, from the environment, else datasets") {
  const char* former = std::getenv("SHATTER_DATA");
  const std::string kept = former ? former : "";
  CHECK(data::data_folder("here") == "here");
  ::setenv("SHATTER_DATA", "/there", 1);
  CHECK(data::data_folder() == "/there");
  CHECK(data::data_folder("here") == "here");
  ::setenv("SHATTER_DATA", "", 1);
  CHECK(data::data_folder() == "datasets");
  ::unsetenv("SHATTER_DATA");
  CHECK(data::data_folder() == "datasets");
  if (former) ::setenv("SHATTER_DATA", kept.c_str(), 1);
}

TEST_CASE("synthetic: balanced, seeded, without a shared image") {
  const auto begin = std::chrono::steady_clock::now();
  const data::Dataset train = data::synthetic(data::Split::train);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  INFO("10,000 images took " << time.count() << " s");
  const data::Dataset test = data::synthetic(data::Split::test, {.size = 1000, .seed = 1});
  CHECK(train.images.shape() == Shape{10000, 32, 32, 3});
  CHECK(train.images.dtype() == DType::uint8);
  CHECK(train.checksums.empty());
  std::vector<int> counts(10);
  for (const std::int32_t label : train.labels.values<std::int32_t>()) ++counts[std::size_t(label)];
  CHECK(counts == std::vector<int>(10, 1000));

  std::set<std::string> images;
  for (std::int64_t i = 0; i < train.size(); ++i) images.insert(image(train, i));
  for (std::int64_t i = 0; i < test.size(); ++i) images.insert(image(test, i));
  CHECK(images.size() == 11000);

  // An image depends on seed and index alone.
  const data::Dataset few = data::synthetic(data::Split::train, {.size = 7, .seed = 1});
  for (std::int64_t i = 0; i < 7; ++i) CHECK(image(few, i) == image(train, i));
  const data::Dataset other = data::synthetic(data::Split::train, {.size = 7, .seed = 2});
  for (std::int64_t i = 0; i < 7; ++i) CHECK(image(other, i) != image(train, i));
  CpuContext one(1), three(3);
  for (CpuContext* context : {&one, &three}) {
    const CpuContextGuard guard(*context);
    const data::Dataset again = data::synthetic(data::Split::train, {.size = 300, .seed = 1});
    CHECK(std::memcmp(again.images.raw(), train.images.raw(), again.images.bytes()) == 0);
  }
  CHECK_THROWS_AS(data::synthetic(data::Split::train, {.size = 0}), Error);
}

TEST_CASE("synthetic: colour and brightness do not tell the class") {
  // The mean colour of a class lies within five standard errors of that of all images.
  const data::Dataset set = data::synthetic(data::Split::train, {.size = 5000, .seed = 4});
  std::vector<double> sums(30), squares(3), all(3);
  const auto* x = set.images.data<std::uint8_t>();
  for (std::int64_t i = 0; i < set.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      double mean = 0;
      for (std::int64_t p = 0; p < 1024; ++p) {
        mean += x[(i * 1024 + p) * 3 + std::int64_t(c)] / 1024.0;
      }
      sums[std::size_t(i % 10) * 3 + c] += mean / 500;
      all[c] += mean / 5000;
      squares[c] += mean * mean / 5000;
    }
  }
  for (std::size_t c = 0; c < 3; ++c) {
    const double error = std::sqrt((squares[c] - all[c] * all[c]) / 500);
    for (std::size_t k = 0; k < 10; ++k) CHECK(std::abs(sums[k * 3 + c] - all[c]) < 5 * error);
  }
}

TEST_CASE("features are standardized by the training set, whatever their type") {
  // Feature 0 is 0, 2, 4, 6 (mean 3, variance 5), feature 1 never varies, feature 2 is 8 or 0.
  const std::vector<double> rows{0, 7, 8, 2, 7, 0, 4, 7, 8, 6, 7, 0};
  const Tensor x = Tensor::from(std::span<const double>(rows), {4, 3});
  const Tensor y = Tensor::zeros({4}, DType::int32);
  const double unit = 1 / std::sqrt(5.0);
  const std::vector<double> expected{-3 * unit, 0, 1, -unit, 0, -1, unit, 0, 1, 3 * unit, 0, -1};
  for (const DType type : {DType::float64, DType::float32}) {
    const auto set = data::Dataset::from(x.to(type), y);
    const data::TrainTest result = data::standardize_features({set, data::first(set, 1)});
    CHECK(result.train.images.dtype() == type);
    const std::vector<double> found = result.train.images.values<double>();
    for (std::size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == Approx(expected[i]).margin(1e-7));
    CHECK(result.test.images.values<double>()[0] == found[0]);
  }
  const data::TrainTest images{data::synthetic(data::Split::train, {.size = 50}),
                               data::synthetic(data::Split::test, {.size = 5})};
  const data::TrainTest scaled = data::standardize_features(images);
  CHECK(scaled.train.images.shape() == images.train.images.shape());
  CHECK(scaled.train.has_images());
  const std::vector<float> values = scaled.train.images.values<float>();
  const std::size_t features = values.size() / 50;
  for (const std::size_t k : {std::size_t{0}, features / 2, features - 1}) {
    double sum = 0, square = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      sum += double(values[i * features + k]);
      square += double(values[i * features + k]) * double(values[i * features + k]);
    }
    CHECK(sum / 50 == Approx(0).margin(1e-5));
    CHECK(square / 50 == Approx(1).epsilon(1e-4));
  }
  data::TrainTest other = images;
  other.test = data::Dataset::from(x, y);
  CHECK_THROWS_WITH(data::standardize_features(other), Contains("inputs"));
  CHECK_THROWS_AS(data::standardize_features({}), Error);
}
