// Host-side draws and random tensors: what they must be whatever the generator.
#include <shatter/core/random.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tests/support/files.h"

using namespace shatter;

TEST_CASE("random_permutation is a bijection, fixed by its key") {
  for (const std::int64_t n : {0, 1, 2, 3, 31, 784, 1003}) {
    const RandomKey key{42, Stream::shuffle, 3};
    const std::vector<std::int64_t> order = random_permutation(key, n);
    std::vector<std::int64_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    REQUIRE(std::int64_t(sorted.size()) == n);
    for (std::int64_t i = 0; i < n; ++i) CHECK(sorted[std::size_t(i)] == i);
    CHECK(random_permutation(key, n) == order);
  }
  const auto order = random_permutation({1, Stream::shuffle, 0}, 100);
  CHECK(random_permutation({2, Stream::shuffle, 0}, 100) != order);
  CHECK(random_permutation({1, Stream::shuffle, 1}, 100) != order);
  CHECK(random_permutation({1, Stream::subset, 0}, 100) != order);
  CHECK(random_permutation({1 + (std::uint64_t{1} << 32), Stream::shuffle, 0}, 100) != order);
}

TEST_CASE("random_permutation: all orders of four are equally likely") {
  std::map<std::vector<std::int64_t>, int> counts;
  const int trials = 24'000;
  for (int seed = 0; seed < trials; ++seed) {
    ++counts[random_permutation({std::uint64_t(seed), Stream::user, 0}, 4)];
  }
  REQUIRE(counts.size() == 24);
  double chi_square = 0;
  for (const auto& [order, count] : counts) chi_square += std::pow(count - 1000.0, 2) / 1000;
  CHECK(chi_square < 49.7);  // 99.9 % point of chi-square with 23 degrees of freedom
  CHECK(chi_square > 7);     // and not suspiciously even
}

TEST_CASE("random_permutation: sizes it cannot do are refused") {
  const auto message = message_of([] { random_permutation({}, -1); }, ErrorKind::usage);
  CHECK_THAT(message, Contains("-1"));
  CHECK_THROWS_AS(random_permutation({}, std::int64_t{1} << 32), Error);
}

TEST_CASE("random tensors have their type, range and moments") {
  const RandomKey key{7, Stream::user, 0};
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor u = random_uniform(key, {100, 200}, -1, 3, dtype);
    CHECK(u.dtype() == dtype);
    CHECK(u.shape() == Shape{100, 200});
    double mean = 0, low = 9, high = -9;
    for (const double x : u.values<double>()) {
      mean += x / 20'000;
      low = std::min(low, x);
      high = std::max(high, x);
    }
    CHECK(low >= -1);
    CHECK(high < 3);
    CHECK(mean == Approx(1).margin(4 * 4 / std::sqrt(12.0) / std::sqrt(20'000.0)));

    const Tensor z = random_normal(key, {20'000}, 5, 2, dtype);
    double sum = 0, square = 0;
    for (const double x : z.values<double>()) {
      sum += x;
      square += (x - 5) * (x - 5);
    }
    CHECK(sum / 20'000 == Approx(5).margin(4 * 2 / std::sqrt(20'000.0)));
    CHECK(square / 20'000 == Approx(4).margin(4 * 4 * std::sqrt(2 / 20'000.0)));
    CHECK(random_normal(key, {20'000}, 5, 2, dtype).values<double>() == z.values<double>());
  }
  CHECK_THAT(message_of([&] { random_uniform(key, {2}, 0, 1, DType::int32); }, ErrorKind::usage),
             Contains("int32"));
  CHECK(random_normal(key, {0}).numel() == 0);
}

TEST_CASE("derive_seed depends on seed and label alone") {
  CHECK(derive_seed(1, "init") == derive_seed(1, "init"));
  std::set<std::uint64_t> seeds;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    for (const char* label : {"", "a", "b", "ab", "ba", "init", "shuffle"}) {
      seeds.insert(derive_seed(seed, label));
    }
  }
  CHECK(seeds.size() == 700);
}
