// Theorem 1, Lemma 1 and Corollary 1: the O(n) solvers against dense algebra, the networks against
// textbook sums, and the program.
#include <shatter/experiments/theory/lemma1.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include <shatter/core/ops.h>
#include <shatter/core/random.h>

#include "tests/experiments/quick_run.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

std::vector<double> normals(std::uint64_t seed, std::int64_t n) {
  return random_normal({seed, Stream::user, 0}, Shape{n}, 0, 1, DType::float64).values<double>();
}

KinkSystem sorted_system(std::int64_t n, double epsilon) {
  std::vector<double> x = normals(3, n);
  std::sort(x.begin(), x.end());
  return {x, epsilon};
}

Tensor normal_matrix(std::int64_t n, std::int64_t d) {
  return random_normal({5, Stream::user, 0}, Shape{n, d}, 0, 1, DType::float64);
}

}  // namespace

TEST_CASE("Kinks lie between the points and the system is triangular") {
  const KinkSystem system({-1, 0.5, 0.75}, 0.2);
  CHECK(system.b()[0] == -1 - 0.875);  // the mean gap below
  CHECK(std::abs(system.b()[1] - (-0.7)) < 1e-15);
  CHECK(std::abs(system.b()[2] - 0.55) < 1e-15);
  CHECK(system.entry(0, 1) == 0);
  CHECK(std::abs(system.entry(2, 0) - 2.625) < 1e-15);
  CHECK(std::abs(system.smallest_diagonal() - 0.2) < 1e-15);
  CHECK_THROWS_WITH(KinkSystem({0, 1, 1}, 0.5), Contains("closer than rounding"));
  CHECK_THROWS_WITH(KinkSystem({0, 1}, 1.0), Contains("epsilon"));
  CHECK_THROWS_WITH(system.solve({1, 2}), Contains("2 values for 3 points"));
}

TEST_CASE("The recurrences invert the dense matrix and its transpose") {
  for (const double epsilon : {0.1, 0.5}) {
    const KinkSystem system = sorted_system(40, epsilon);
    const std::vector<double> y = normals(9, 40), w = system.solve(y),
                              u = system.solve_transposed(y);
    for (std::int64_t i = 0; i < 40; ++i) {
      long double row = 0, column = 0, size = 0, transposed_size = 0;
      for (std::int64_t j = 0; j < 40; ++j) {
        row += (long double)system.entry(i, j) * w[std::size_t(j)];
        size += std::abs(system.entry(i, j) * w[std::size_t(j)]);
        column += (long double)system.entry(j, i) * u[std::size_t(j)];
        transposed_size += std::abs(system.entry(j, i) * u[std::size_t(j)]);
      }
      CHECK(std::abs(double(row) - y[std::size_t(i)]) <= 1e-13 * double(size));
      CHECK(std::abs(double(column) - y[std::size_t(i)]) <= 1e-13 * double(transposed_size));
    }
  }
}

TEST_CASE("Lemma 1 holds by dense solvers") {
  CHECK(spectrum_check(sorted_system(10, 0.5)).to_bound < 1);
  CHECK(spectrum_check(KinkSystem({-1, 0.5, 0.75}, 0.2)).relative < 1e-14);
  const DenseChecks checks = dense_checks(sorted_system(120, 0.1), 1);
  CHECK(checks.eigenvalue < 1e-9);
  CHECK(checks.determinant < 1e-9);
  CHECK(checks.rank == 100);
  CHECK(checks.singular < 1e-6);
}

TEST_CASE("The network is the sum of the theorem and fits any values with 2n + d weights") {
  const std::int64_t n = 60, d = 7;
  const Tensor z = normal_matrix(n, d);
  const std::vector<double> y = normals(11, n);
  const auto fit = interpolate(points_of(z), y, {.epsilon = 0.1, .directions = 4, .seed = 2});
  REQUIRE(fit);
  CHECK(parameter_count(TwoLayerNet(fit->net)) == 2 * n + d);
  const std::vector<double> values = *values_at(fit->net, points_of(z), DType::float64, 16);
  const std::vector<double> a = fit->net.a.values<double>(), b = fit->net.b.values<double>(),
                            w = fit->net.w.values<double>(), points = z.values<double>();
  for (std::int64_t i = 0; i < n; ++i) {
    CHECK(std::abs(values[std::size_t(i)] - y[std::size_t(i)]) < 1e-8);
    double p = 0, sum = 0;
    for (std::int64_t k = 0; k < d; ++k) p += a[std::size_t(k)] * points[std::size_t(i * d + k)];
    for (std::size_t j = 0; j < w.size(); ++j) sum += w[j] * std::max(p - b[j], 0.0);
    CHECK(std::abs(values[std::size_t(i)] - sum) < 1e-8);
  }
  // The remark after the theorem.
  const double sigma = fit->system.smallest_singular_value(1);
  CHECK(euclidean_norm(w) <= euclidean_norm(y) / sigma);
  // Of sixteen directions the first four are the four: more never make the gap smaller.
  const auto more = interpolate(points_of(z), y, {.epsilon = 0.1, .directions = 16, .seed = 2});
  CHECK(more->smallest_gap >= fit->smallest_gap);
}

TEST_CASE("Deeper networks are the same function of as many weights") {
  const std::int64_t n = 60, d = 7;
  const Tensor z = normal_matrix(n, d);
  const auto fit = interpolate(points_of(z), normals(11, n), {});
  // Also off the training points.
  const PointSet elsewhere = points_of(affine(z, 1.3, 0.1));
  const std::vector<double> shallow = *values_at(fit->net, elsewhere);
  for (const int blocks : {1, 3, 7, 15}) {
    DeepNet net(fit->net, blocks);
    CHECK(net.depth() == blocks + 1);
    CHECK(net.width() <= (n + blocks - 1) / blocks + 4);
    CHECK(parameter_count(net) == 2 * n + d);
    const std::vector<double> deep = *values_at(net, elsewhere);
    for (std::size_t i = 0; i < deep.size(); ++i) {
      CHECK(std::abs(deep[i] - shallow[i]) < 1e-9 * (1 + std::abs(shallow[i])));
    }
  }
  CHECK_THROWS_WITH(DeepNet(fit->net, 61), Contains("61 blocks for 60 kinks"));
}

TEST_CASE("Equal points with different labels are refused") {
  data::Dataset images = data::synthetic(data::Split::train, {.size = 6});
  CHECK(distinct_images(images).size() == 6);
  data::Dataset twice = data::subset(images, {0, 1, 2, 1});
  CHECK(distinct_images(twice) == std::vector<std::int64_t>{0, 1, 2});
  twice.labels = Tensor::from(std::vector<int>{0, 1, 2, 3}, Shape{4});
  try {
    distinct_images(twice);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::data);
    CHECK_THAT(error.what(), Contains("images 1 and 3 are equal and have labels 1 and 3"));
  }
  const Tensor same = Tensor::zeros(Shape{3, 2}, DType::float64);
  CHECK_THROWS_WITH(interpolate(points_of(same), {1, 2, 3}, {}), Contains("not distinct"));
}

TEST_CASE("theorem1 --quick finds what it expects") {
  CHECK(quick_as_expected("theorem1") == 15);
}
