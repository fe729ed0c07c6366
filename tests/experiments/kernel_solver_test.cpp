// Kernel regression against dense double-precision algebra.
#include <shatter/experiments/theory/kernel_regression.h>

#include <shatter/experiments/linear_algebra/cholesky.h>
#include <shatter/experiments/linear_algebra/products.h>

#include "tests/support/catch.h"
#include "tests/support/files.h"
#include "tests/support/kernel_points.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::experiments;
using namespace shatter::test;

namespace {

PackedLower packed(const Matrix& a, std::int64_t block) {
  PackedLower result(a.rows(), block);
  for (std::int64_t i = 0; i < a.rows(); ++i)
    for (std::int64_t k = 0; k <= i; ++k) result.at(i, k) = float(a(i, k));
  return result;
}

Matrix lower(const PackedLower& a) {
  Matrix result = Matrix::Zero(a.n(), a.n());
  for (std::int64_t i = 0; i < a.n(); ++i)
    for (std::int64_t k = 0; k <= i; ++k) result(i, k) = a.at(i, k);
  return result;
}

std::vector<int> some_labels(std::int64_t n) {
  std::vector<int> labels;
  for (std::int64_t i = 0; i < n; ++i)
    labels.push_back(int(random_words({5}, std::uint32_t(i))[0] % 10));
  return labels;
}

}  // namespace

TEST_CASE("cholesky is the factor that Eigen finds in double") {
  CpuContext context(2);
  for (const std::int64_t block : {96, 512})
    for (const std::int64_t n : {1, 2, 63, 97, 512, 515, 1300}) {
      CAPTURE(block, n);
      // Entries as float holds them, so that both factor the same matrix.
      Matrix k = gaussian(points(n, 5, 1), points(n, 5, 1), 0.5) + 0.1 * Matrix::Identity(n, n);
      k = k.cast<float>().cast<double>();
      PackedLower a = packed(k, block);
      const Cholesky outcome = cholesky(context, a);
      REQUIRE(outcome.failed == -1);
      REQUIRE(!outcome.stopped);
      const Matrix factor = k.llt().matrixL();
      // Backward error: each element is a sum of up to n products of elements at most 1.
      const Matrix l = lower(a);
      CHECK((l * l.transpose() - k).cwiseAbs().maxCoeff() <= tolerance<float>(double(n)) * 1.1);
      // Forward error: the backward one times at most the condition number (n + 0.1) / 0.1.
      CHECK((l - factor).cwiseAbs().maxCoeff() <= 1e-7 * double(n + 1) * 10);
      const double least = factor.diagonal().array().square().minCoeff();
      CHECK(outcome.min_pivot == Approx(least).epsilon(1e-4));
    }
}

TEST_CASE("cholesky leaves no subnormal numbers, which would make it many times as slow") {
  const std::int64_t n = 800;
  Matrix k(n, n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) k(i, j) = std::exp(-std::abs(double(i - j)) / 4);
  PackedLower a = packed(k + 0.01 * Matrix::Identity(n, n), 96);
  const auto subnormal = [&](bool diagonal_blocks) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j)
        count +=
            std::fpclassify(a.at(i, j)) == FP_SUBNORMAL && (diagonal_blocks || i / 96 > j / 96);
    return count;
  };
  REQUIRE(subnormal(false) > 1000);
  CpuContext context(2);
  REQUIRE(cholesky(context, a).failed == -1);
#if defined(__x86_64__)
  CHECK(subnormal(true) == 0);
#endif
  const Matrix factor = (k + 0.01 * Matrix::Identity(n, n)).llt().matrixL();
  CHECK((lower(a) - factor).cwiseAbs().maxCoeff() < 1e-5);
}

TEST_CASE("cholesky names the pivot that is not above 0") {
  CpuContext context(2);
  for (const std::int64_t bad : {0, 70, 199}) {
    Matrix k = Matrix::Identity(200, 200);
    k(bad, bad) = -0.25;
    PackedLower a = packed(k, 96);
    const Cholesky outcome = cholesky(context, a);
    CHECK(outcome.failed == bad);
    CHECK(outcome.failed_pivot == -0.25);
  }
  Matrix k = Matrix::Identity(200, 200);
  k(150, 20) = std::nan("");
  PackedLower a = packed(k, 96);
  CHECK(cholesky(context, a).failed == 150);
}

TEST_CASE("cholesky stops between block columns") {
  CpuContext context(1);
  PackedLower a = packed(Matrix::Identity(300, 300), 96);
  std::int64_t last = 0;
  const Cholesky outcome = cholesky(context, a, [&](std::int64_t done, std::int64_t columns) {
    CHECK(columns == 4);
    last = done;
    return done == 2;
  });
  CHECK(outcome.stopped);
  CHECK(last == 2);
}

TEST_CASE("cholesky_solve solves with the factor and its transpose") {
  CpuContext context(2);
  for (const std::int64_t n : {1, 95, 300, 1500}) {
    const Matrix k = gaussian(points(n, 5, 1), points(n, 5, 1), 0.5) + Matrix::Identity(n, n);
    PackedLower a = packed(k, 96);
    REQUIRE(cholesky(context, a).failed == -1);
    auto b = random_values<float>(n * 3, 7);
    const Matrix right = as_matrix(n, 3, to_double(b));
    cholesky_solve(context, a, 3, b.data());
    CHECK(relative(as_matrix(n, 3, to_double(b)), k.llt().solve(right)) <=
          double(n + 1) * 2e-7 + 1e-6);
  }
}

TEST_CASE("PackedLower stores a little more than half") {
  CHECK(PackedLower::bytes(60000) ==
        Approx(4 * (60000. * 60000 / 2 + 60000. * 512 / 2)).epsilon(1e-4));
  CHECK(PackedLower::bytes(5, 2) == 4 * (10 + 6 + 1));
  message_of([] { PackedLower(0); }, ErrorKind::usage);
}

TEST_CASE("double_products are inner products in double") {
  for (const std::int64_t m : {1, 8, 13})
    for (const std::int64_t n : {1, 16, 37})
      for (const std::int64_t d : {1, 255, 256, 700}) {
        const Features a = points(m, d, 1), b = points(n, d, 2);
        std::vector<double> out(std::size_t(m * n), 7);
        double_products(m, n, d, a.values.data(), b.values.data(), out.data());
        const Matrix expected =
            as_matrix(m, d, to_double(a.values)) * as_matrix(n, d, to_double(b.values)).transpose();
        CHECK((as_matrix(m, n, out) - expected).cwiseAbs().maxCoeff() <=
              tolerance<double>(double(d)) * std::sqrt(double(d)));
      }
}

TEST_CASE("A Gaussian kernel multiplies and predicts as its dense matrix") {
  CpuContext context(2);
  for (const std::int64_t n : {1, 512, 1100}) {
    const Features x = points(n, 9, 1), test = points(601, 9, 2);
    const GaussianKernel kernel(x, 0.3);
    const auto alpha = random_values<double>(n * 3, 3);
    std::vector<double> y(alpha.size());
    REQUIRE(multiply(context, kernel, 3, alpha.data(), y.data()));
    CHECK(relative(as_matrix(n, 3, y), gaussian(x, x, 0.3) * as_matrix(n, 3, alpha)) < 1e-12);
    CHECK(relative(as_matrix(601, 3, kernel.predict(context, test, 3, alpha)),
                   gaussian(test, x, 0.3) * as_matrix(n, 3, alpha)) < 1e-12);
    PackedLower filled(n);
    for (std::int64_t j = 0; j < filled.block_columns(); ++j) fill(context, kernel, filled, j);
    const Matrix expected = gaussian(x, x, 0.3).triangularView<Eigen::Lower>();
    CHECK((lower(filled) - expected).cwiseAbs().maxCoeff() <= 0x1p-25);  // one rounding below 1
    for (std::int64_t i = 0; i < n; ++i) REQUIRE(filled.at(i, i) == 1);
  }
  message_of([&] { GaussianKernel(points(3, 2, 1), -1.); }, ErrorKind::usage);
}

TEST_CASE("A stored kernel is the leading part of what is stored") {
  CpuContext context(2);
  const Features x = points(1100, 9, 1);
  const Matrix k = gaussian(x, x, 0.3).cast<float>().cast<double>();
  const PackedLower stored = packed(k, PackedLower::default_block);
  const auto alpha = random_values<double>(1100 * 2, 3);
  for (const std::int64_t n : {1, 513, 1100}) {
    const StoredKernel kernel(stored, n);
    std::vector<double> y(std::size_t(2 * n));
    REQUIRE(multiply(context, kernel, 2, alpha.data(), y.data()));
    const Matrix part = as_matrix(1100, 2, alpha).topRows(n);
    CHECK(relative(as_matrix(n, 2, y), k.topLeftCorner(n, n) * part) < 1e-13);
    PackedLower copy(n);
    for (std::int64_t j = 0; j < copy.block_columns(); ++j) fill(context, kernel, copy, j);
    const Matrix expected = k.topLeftCorner(n, n).triangularView<Eigen::Lower>();
    CHECK(lower(copy) == expected);
  }
}

TEST_CASE("solve reaches double precision where its float32 factor alone does not") {
  CpuContext context(2);
  const std::int64_t n = 700;
  const Features x = points(n, 6, 1);
  const std::vector<int> labels = some_labels(n);
  const std::vector<double> targets = one_hot(labels, 10);
  const Matrix y = as_matrix(n, 10, targets);
  for (const double lambda : {0., 1e-3}) {
    CAPTURE(lambda);
    const Matrix k = gaussian(x, x, 0.5);
    const Matrix regularised = k + lambda * Matrix::Identity(n, n);
    const auto values = Eigen::SelfAdjointEigenSolver<Matrix>(regularised).eigenvalues();
    const double condition = values.maxCoeff() / values.minCoeff();
    if (lambda == 0) REQUIRE(condition > 1e5);
    const Solution solution = *solve(context, GaussianKernel(x, 0.5), 10, targets,
                                     {.lambda = lambda, .residual = 1e-12, .stop = {}, .say = {}});
    const Matrix alpha = as_matrix(n, 10, solution.alpha);
    const double residual = (y - regularised * alpha).norm() / y.norm();
    CHECK(solution.residual <= 1e-12);
    CHECK(residual <= 1e-10);
    // What the residual and double's own roundings leave undecided.
    const Matrix exact = regularised.llt().solve(y);
    CHECK(relative(alpha, exact) <= condition * 1.1e-12);
    CHECK(relative(as_matrix(n, 10, solution.fitted), k * exact) <= 1e-9);

    PackedLower single = packed(regularised, 512);
    REQUIRE(cholesky(context, single).failed == -1);
    std::vector<float> alone(targets.begin(), targets.end());
    cholesky_solve(context, single, 10, alone.data());
    if (lambda == 0) CHECK(relative(as_matrix(n, 10, to_double(alone)), exact) > 1e-4);

    // The norms by their definition, tr(Y^T K^-1 Y) where lambda is 0.
    const Matrix signs = 2 * y - Matrix::Ones(n, 10), signed_alpha = regularised.llt().solve(signs);
    CHECK(rkhs_norm(solution) ==
          Approx(std::sqrt((exact.transpose() * k * exact).trace())).epsilon(1e-8));
    CHECK(rkhs_norm_plus_minus(solution) ==
          Approx(std::sqrt((signed_alpha.transpose() * k * signed_alpha).trace())).epsilon(1e-8));
    if (lambda == 0)
      CHECK(rkhs_norm(solution) ==
            Approx(std::sqrt((y.transpose() * exact).trace())).epsilon(1e-8));
    CHECK((error_percent(solution.fitted, labels, 10) == 0) == (lambda == 0));
  }
}

TEST_CASE("solve takes more jitter where it must, says so, and removes it again") {
  CpuContext context(2);
  // Every point twice: the kernel matrix is singular, and consistent as the labels agree.
  Features x = points(150, 4, 1);
  const auto half = x.values;
  x.values.insert(x.values.end(), half.begin(), half.end());
  x.n = 300;
  std::vector<int> labels = some_labels(150);
  labels.insert(labels.end(), labels.begin(), labels.begin() + 150);
  std::string said;
  const SolveOptions options{
      .jitter = 1e-12, .residual = 1e-9, .stop = {}, .say = [&](const std::string& line) {
        said += line + "\n";
      }};
  const GaussianKernel kernel(x, 2.);
  const Solution solution = *solve(context, kernel, 10, one_hot(labels, 10), options);
  CHECK(solution.jitter > 1e-12);
  CHECK(said.find("is not positive definite in float32: pivot ") != std::string::npos);
  CHECK(solution.residual <= 1e-9);
  CHECK(error_percent(solution.fitted, labels, 10) == 0);
  const Matrix alpha = as_matrix(300, 10, solution.alpha);
  const Matrix y = as_matrix(300, 10, one_hot(labels, 10));
  CHECK((y - gaussian(x, x, 2.) * alpha).norm() / y.norm() <= 2e-9);

  SolveOptions none = options;
  none.max_jitter = 1e-12;
  const std::string message = message_of(
      [&] { solve(context, kernel, 10, one_hot(labels, 10), none); }, ErrorKind::diverged);
  CHECK(message.find("pivot") != std::string::npos);

  // Contradictory labels have no solution; the residual that is left is told.
  labels[0] = (labels[150] + 1) % 10;
  SolveOptions few = options;
  few.iterations = 5;
  CHECK(solve(context, kernel, 10, one_hot(labels, 10), few)->residual > 1e-3);
}

TEST_CASE("solve and its parts are the same bits on one thread and on two") {
  const Features x = points(1100, 20, 1), test = points(70, 20, 2);
  const std::vector<double> targets = one_hot(some_labels(1100), 10);
  const auto result = [&](int threads) {
    CpuContext context(threads);
    const GaussianKernel kernel(x, 0.1);
    Solution solution = *solve(context, kernel, 10, targets, {.stop = {}, .say = {}});
    std::vector<double> all = kernel.predict(context, test, 10, solution.alpha);
    all.insert(all.end(), solution.alpha.begin(), solution.alpha.end());
    all.push_back(solution.min_pivot);
    return all;
  };
  CHECK(result(1) == result(2));
}

TEST_CASE("solve stops wherever it is") {
  CpuContext context(1);
  const Features x = points(1100, 5, 1);
  const std::vector<double> targets = one_hot(some_labels(1100), 10);
  bool finished = false;
  int asked = 0;
  for (int limit = 0; !finished; ++limit) {
    REQUIRE(limit < 1000);
    asked = 0;
    const auto solution = solve(context, GaussianKernel(x, 1.), 10, targets,
                                {.stop = [&] { return ++asked > limit; }, .say = {}});
    finished = solution.has_value();
    if (!finished) CHECK(asked == limit + 1);
  }
  CHECK(asked > 6);  // filling, factoring and refining, three block columns each
}

TEST_CASE("one_hot and error_percent") {
  CHECK(one_hot({1, 0}, 3) == std::vector<double>{0, 1, 0, 1, 0, 0});
  message_of([] { one_hot({3}, 3); }, ErrorKind::usage);
  CHECK(error_percent({0.1, 0.9, 0.8, 0.2, 0.6, 0.4, 0.7, 0.3}, {1, 0, 1, 0}, 2) == 25);
}
