// Linear models, kernels and random features: against dense algebra, the tape and theorems; and the
// programs that measure them.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include <shatter/core/random.h>
#include <shatter/experiments/theory/interpolants.h>
#include <shatter/experiments/theory/minimum_norm.h>
#include <shatter/experiments/theory/random_features.h>

#include "tests/experiments/quick_run.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

Matrix normal_matrix(std::uint64_t seed, std::int64_t rows, std::int64_t columns) {
  Matrix m(rows, columns);
  m.values = random_normal({seed, Stream::user, 0}, Shape{rows, columns}, 0, 1, DType::float64)
                 .values<double>();
  return m;
}

Vector normals(std::uint64_t seed, std::int64_t n) {
  return normal_matrix(seed, n, 1).values;
}

/// Textbook product of a and a vector.
Vector times(const Matrix& a, const Vector& v) {
  Vector result(std::size_t(a.rows));
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < a.columns; ++j)
      result[std::size_t(i)] += a.row(i)[j] * v[std::size_t(j)];
  }
  return result;
}

double largest_difference(const Vector& a, const Vector& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("Cholesky factors over several blocks solve, as do their leading parts") {
  const std::int64_t n = 300;
  const Matrix x = normal_matrix(1, n, n + 50);
  Matrix a = product(x, x, false, true);
  const Matrix b = normal_matrix(2, n, 3);
  const auto factor = DenseCholesky::factor(a);
  REQUIRE(factor);
  CHECK(largest_difference(product(a, factor->solve(b)).values, b.values) < 1e-9);
  Matrix part(200, 200), part_b(200, 3);
  for (std::int64_t i = 0; i < 200; ++i) {
    std::copy_n(a.row(i), 200, part.row(i));
    std::copy_n(b.row(i), 3, part_b.row(i));
  }
  CHECK(largest_difference(product(part, factor->solve(part_b)).values, part_b.values) < 1e-9);
  CHECK(largest_difference(product(a, solve_general(a, b)).values, b.values) < 1e-9);

  a.row(250)[250] = -1;
  CHECK_THROWS_WITH(DenseCholesky::factor(a), Contains("a pivot of rows 128 to 256") ||
                                                  Contains("a pivot of rows 256 to 300"));
  CHECK(!DenseCholesky::factor(part, [](double) { return true; }));
}

TEST_CASE("The Gaussian kernel is its definition") {
  const Matrix a = normal_matrix(1, 4, 3), b = normal_matrix(2, 5, 3);
  const Matrix k = gaussian_matrix(a, b, 0.3);
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t j = 0; j < 5; ++j) {
      double squares = 0;
      for (std::int64_t l = 0; l < 3; ++l) squares += std::pow(a.row(i)[l] - b.row(j)[l], 2);
      CHECK(std::abs(k.row(i)[j] - std::exp(-0.3 * squares)) < 1e-14);
    }
  }
  CHECK(gaussian_matrix(a, a, 0.3).row(2)[2] == 1);
}

TEST_CASE("The minimum-norm solution solves, in the span, and no other is shorter") {
  const Matrix x = normal_matrix(1, 10, 25);
  const Vector y = normals(2, 10), w = minimum_norm_solution(x, y);
  CHECK(largest_difference(times(x, w), y) < 1e-12);
  CHECK(norm(outside_row_space(x, w)) < 1e-13 * norm(w));
  const Vector free = outside_row_space(x, normals(3, 25));
  CHECK(norm(times(x, free)) < 1e-12);
  CHECK(norm(outside_row_space(x, Vector(x.row(3), x.row(4)))) < 1e-13 * 5);
}

TEST_CASE("Both forms of SGD take the steps they say") {
  const Matrix x = normal_matrix(1, 6, 9);
  const Vector y = normals(2, 6), zero(9, 0.0), best = minimum_norm_solution(x, y);
  // One row: the mean is (w x - y)^2, its gradient 2 (w x - y) x.
  Matrix row(1, 9);
  std::copy_n(x.row(0), 9, row.row(0));
  const auto one = library_sgd(row, {y[0]}, zero, 0.01, 1, 1, 5);
  Vector expected(9);
  for (std::size_t j = 0; j < 9; ++j) expected[j] = 0.01 * 2 * y[0] * row.values[j];
  CHECK(largest_difference(one->w, expected) < 1e-15);
  // Kaczmarz's step fits its row at once.
  const auto fitted = kaczmarz_sgd(row, {y[0]}, normals(4, 9), 0, 1, 5);
  CHECK(std::abs(times(row, fitted->w)[0] - y[0]) < 1e-14);
  CHECK(fitted->steps == 1);

  const auto run = kaczmarz_sgd(x, y, zero, 1e-12, 100000, 5);
  CHECK(relative_distance(run->w, best) < 1e-9);
  const auto slow = library_sgd(x, y, zero, 0.02, 2, 300, 5);
  CHECK(norm(outside_row_space(x, slow->w)) < 1e-13 * norm(slow->w));
  CHECK(norm(slow->w) > 0.1);
  CHECK(!kaczmarz_sgd(x, y, zero, 0, 10, 5, [](double) { return true; }));
  CHECK(!library_sgd(x, y, zero, 0.1, 1, 10, 5, [](double) { return true; }));
}

TEST_CASE("Hessians at minima depend on the loss at 0 only") {
  const Matrix x = normal_matrix(1, 3, 5);
  const Vector y = normals(2, 3), w = minimum_norm_solution(x, y);
  for (const Loss loss : {Loss::squared, Loss::huber, Loss::cubic}) {
    INFO(name_of(loss));
    const Matrix h = hessian(loss, x, y, w);
    CHECK(largest_difference(h.values, hessian_at_minimum(loss, x).values) < 1e-3);
    CHECK(rank_of_symmetric(h, 1e-2) == (loss == Loss::cubic ? 0 : 3));
  }
  // Away from it by residuals of 2 the cubic's is (1/n) sum 6 |r_i| x_i x_i^T, Huber's 0.
  Vector shifted = y;
  for (double& value : shifted) value += 2;
  Matrix twelve = hessian_at_minimum(Loss::squared, x);
  for (double& value : twelve.values) value *= 12;
  CHECK(largest_difference(hessian(Loss::cubic, x, shifted, w).values, twelve.values) < 1e-6);
  CHECK(largest_difference(hessian(Loss::huber, x, shifted, w).values, Vector(25, 0.0)) < 1e-9);
}

TEST_CASE("Interpolants fit, and the least norm is the least") {
  Labelled train{normal_matrix(1, 40, 6), {}}, test{normal_matrix(2, 30, 6), {}};
  const auto label = [](Labelled& set) {
    for (std::int64_t i = 0; i < set.points.rows; ++i)
      set.labels.push_back(set.points.row(i)[0] > 0);
  };
  label(train), label(test);
  const auto best = least_norm_interpolant(train, test, 0.1, 2);
  const auto spoilt = spoilt_interpolant(train, test, 0.1, 2, 7);
  const Interpolant random = interpolant_at(random_points(train.points, 9), train, test, 0.1, 2);
  for (const Interpolant& fit : {*best, *spoilt, random}) {
    CHECK(fit.train_error == 0);
    CHECK(fit.residual < 1e-6);
  }
  CHECK(best->norm < spoilt->norm);
  CHECK(best->norm < random.norm);
  CHECK(best->test_error < 35);
  CHECK(!least_norm_interpolant(train, test, 0.1, 2, [](double) { return true; }));

  const Matrix many = random_points(normal_matrix(3, 4000, 2), 1);
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < many.rows; ++i) {
    sum += many.row(i)[1], squares += many.row(i)[1] * many.row(i)[1];
  }
  CHECK(std::abs(sum / 4000) < 0.1);
  CHECK(std::abs(squares / 4000 - 1) < 0.1);
}

TEST_CASE("Random features approach the Gaussian kernel, and their fits are least squares") {
  const Matrix x = normal_matrix(1, 12, 5);
  const FourierFeatures features(5, 2.0, 3);
  const std::int64_t many = 40000;
  const Matrix phi = features(x, 0, many), k = gaussian_matrix(x, x, 1 / (2 * 2.0 * 2.0));
  const Matrix gram = product(phi, phi, false, true);
  double worst = 0;  // 2 / N sum of cos cos: a mean of N terms of deviation below 1
  for (std::size_t i = 0; i < k.values.size(); ++i) {
    worst = std::max(worst, std::abs(2 * gram.values[i] / double(many) - k.values[i]));
  }
  CHECK(worst < 5 / std::sqrt(double(many)));
  const Matrix later = features(x, 7, 2);
  CHECK(later.row(3)[1] == phi.row(3)[8]);

  DescentData data{x, normal_matrix(2, 9, 5), {}, {}, 3};
  for (int i = 0; i < 12; ++i) data.train_labels.push_back(i % 3);
  for (int i = 0; i < 9; ++i) data.test_labels.push_back(i % 3);
  const auto curve = double_descent(data, features, {4, 8, 12, 15, 700});
  REQUIRE(curve);
  const Matrix y = one_hot_matrix(data.train_labels, 3),
               test_y = one_hot_matrix(data.test_labels, 3);
  for (const DescentPoint& point : *curve) {
    INFO(point.features);
    const Matrix train_phi = features(x, 0, point.features),
                 test_phi = features(data.test, 0, point.features);
    double train_loss = 0, test_loss = 0, squares = 0;
    for (std::int64_t c = 0; c < 3; ++c) {
      Vector target(12);
      for (std::int64_t i = 0; i < 12; ++i) target[std::size_t(i)] = y.row(i)[c];
      const Vector w = minimum_norm_solution(train_phi, target);
      const Vector fitted = times(train_phi, w), scores = times(test_phi, w);
      for (std::int64_t i = 0; i < 12; ++i) {
        train_loss += std::pow(fitted[std::size_t(i)] - target[std::size_t(i)], 2) / 12;
      }
      for (std::int64_t i = 0; i < 9; ++i) {
        test_loss += std::pow(scores[std::size_t(i)] - test_y.row(i)[c], 2) / 9;
      }
      squares += norm(w) * norm(w);
    }
    CHECK(std::abs(point.train_loss - train_loss) < 1e-6);
    CHECK(std::abs(point.test_loss / test_loss - 1) < 1e-6);
    CHECK(std::abs(point.norm / std::sqrt(squares) - 1) < 1e-6);
  }
  CHECK_THROWS_WITH(double_descent(data, features, {8, 4}), Contains("increase"));
  CHECK(!double_descent(data, features, {4, 15}, [](double) { return true; }));
}

TEST_CASE("linear, double_descent and rademacher refuse parameters that make no sense") {
  const TemporaryFolder folder;
  struct Bad {
    const char *program, *row, *set, *words;
  };
  for (const Bad& bad : std::vector<Bad>{
           {"double_descent", "fourier", "ratios=[]", "ratios"},
           {"double_descent", "fourier", "ratios=[0.1]", "to at least 0.5"},
           {"double_descent", "fourier", "ratios=[\"a\"]", "not a value like"},
           {"double_descent", "fourier", "bandwidth=0", "bandwidth 0.0: must be positive"},
           {"linear", "norm", "gammas=[]", "gammas"},
           {"linear", "span", "batch=0", "batch 0: must be positive"},
           {"linear", "hessian", "n=0", "n 0: must be positive"},
           {"linear", "hessian", "d=5", "many minima"},
           {"rademacher", "linear-ball", "draws=0", "draws 0: must be positive"},
           {"rademacher", "kernel-ball", "radius=-1", "radius -1.0: must be positive"}}) {
    CAPTURE(bad.program, bad.set);
    const Finished run = run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/" + bad.program,
                                     {"--quick", "--synthetic", "--rows", bad.row, "--set", bad.set,
                                      "--out", folder.path().string()});
    CHECK(run.status == 2);
    CHECK(contains(run.err, bad.words));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("linear, double_descent and rademacher --quick find what they expect") {
  for (const char* program : {"linear", "double_descent", "rademacher"}) {
    CHECK(quick_as_expected(program) >= 3);
  }
}
