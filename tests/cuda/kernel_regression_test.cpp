// Kernel regression on CUDA against dense matrices in double, and against the CPU's.
#include <shatter/core/random.h>
#include <shatter/experiments/theory/cuda/kernel_system.h>
#include <shatter/experiments/theory/kernel_regression.h>

#include "tests/cuda/gpu.h"
#include "tests/support/catch.h"
#include "tests/support/kernel_points.h"

using namespace shatter;
using namespace shatter::experiments;
using namespace shatter::test;

namespace {

constexpr std::int64_t panel = 32;  // several, the last one cut

}  // namespace

TEST_CASE("on CUDA a Gaussian kernel's system multiplies, factors and predicts as its matrix") {
  if (!has_gpu()) return;
  const std::int64_t n = 70;
  const Features x = points(n, 5, 1), test = points(41, 5, 2);
  const Matrix k = gaussian(x, x, 0.7);
  const auto system = cuda_gaussian_system(Device::cuda(), x, 0.7, panel);
  const std::vector<double> alpha = random_values<double>(n * 3, 3);
  std::vector<double> y(alpha.size());
  REQUIRE(system->n() == n);
  REQUIRE(system->multiply(3, alpha.data(), y.data(), {}));
  CHECK(relative(as_matrix(n, 3, y), k * as_matrix(n, 3, alpha)) < 1e-13);
  CHECK(relative(as_matrix(41, 3, system->predict(test, 3, alpha, {})),
                 gaussian(test, x, 0.7) * as_matrix(n, 3, alpha)) < 1e-13);

  const double lambda = 0.5, jitter = 0.25;  // the largest element of the diagonal is 1
  const Matrix shifted = k + (lambda + jitter) * Matrix::Identity(n, n);
  REQUIRE(system->fill(lambda, jitter, {}));
  const Cholesky outcome = system->factor({});
  REQUIRE(outcome.failed == -1);
  const Matrix l = shifted.llt().matrixL();
  CHECK(outcome.min_pivot == Approx(std::pow(l.diagonal().minCoeff(), 2)).epsilon(1e-5));
  std::vector<float> b(alpha.begin(), alpha.end());
  const Matrix sides = as_matrix(n, 3, to_double(b));
  system->apply_inverse(3, b.data());
  CHECK(relative(as_matrix(n, 3, to_double(b)), shifted.llt().solve(sides)) < 1e-4);

  CHECK(!system->multiply(3, alpha.data(), y.data(), [] { return true; }));
  CHECK(!system->fill(lambda, jitter, [] { return true; }));
  CHECK(system->predict(test, 3, alpha, [] { return true; }).empty());
  CHECK_THROWS_WITH(cuda_gaussian_system(Device::cuda(), x, -1), Contains("gamma"));
}

TEST_CASE("on CUDA solve reaches double precision, and takes more jitter where it must") {
  if (!has_gpu()) return;
  const std::int64_t n = 80;
  Features x = points(n, 3, 1);
  std::vector<int> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back(int(i * 7 % 10));
  const std::vector<double> targets = one_hot(labels, 10);
  const Matrix y = as_matrix(n, 10, targets), k = gaussian(x, x, 2);
  const auto system = cuda_gaussian_system(Device::cuda(), x, 2, panel);
  const Solution solution =
      *solve(*system, 10, targets, {.residual = 1e-12, .stop = {}, .say = {}});
  CHECK(solution.residual <= 1e-12);
  CHECK((y - k * as_matrix(n, 10, solution.alpha)).norm() / y.norm() <= 1e-10);
  const Solution cpu =
      *solve(*gaussian_system({}, x, 2), 10, targets, {.residual = 1e-12, .stop = {}, .say = {}});
  CHECK(relative(as_matrix(n, 10, solution.fitted), as_matrix(n, 10, cpu.fitted)) < 1e-10);
  CHECK(rkhs_norm(solution) == Approx(rkhs_norm(cpu)).epsilon(1e-8));

  // Half of the points twice.
  std::copy_n(x.values.begin(), n / 2 * 3, x.values.begin() + n / 2 * 3);
  std::copy_n(labels.begin(), n / 2, labels.begin() + n / 2);
  std::string said;
  const Solution twice =
      *solve(*cuda_gaussian_system(Device::cuda(), x, 2, panel), 10, one_hot(labels, 10),
             {.jitter = 1e-12, .residual = 1e-9, .stop = {}, .say = [&](const std::string& line) {
                said += line + "\n";
              }});
  CHECK(twice.jitter > 1e-12);
  CHECK(said.find("is not positive definite in float32") != std::string::npos);
  CHECK(error_percent(twice.fitted, labels, 10) == 0);
}

TEST_CASE("on CUDA the random conv-net's Gram matrices are the CPU's") {
  if (!has_gpu()) return;
  const data::Dataset train = data::synthetic(data::Split::train, {.size = 20});
  const data::Dataset test = data::synthetic(data::Split::test, {.size = 7});
  const RandomConvnet net{.filters = 5, .patches = 300, .filter_block = 3};
  const auto expected = convnet_system({}, train, test, net);
  const auto system = cuda_convnet_system(Device::cuda(), train, test, net, {}, 8);
  REQUIRE(system);
  const std::vector<double> alpha = random_values<double>(20 * 2, 3);
  CHECK(relative(as_matrix(7, 2, system->predict_test(2, alpha)),
                 as_matrix(7, 2, expected->predict_test(2, alpha))) < 1e-5);
  for (const std::int64_t n : {13, 20}) {
    const std::vector<double> part(alpha.begin(), alpha.begin() + 2 * n);
    std::vector<double> y(part.size()), expected_y(part.size());
    REQUIRE(system->first(n)->multiply(2, part.data(), y.data(), {}));
    REQUIRE(expected->first(n)->multiply(2, part.data(), expected_y.data(), {}));
    CHECK(relative(as_matrix(n, 2, y), as_matrix(n, 2, expected_y)) < 1e-5);
    if (n < 20)
      CHECK(relative(as_matrix(20 - n, 2, system->predict_rest(n, 2, part)),
                     as_matrix(20 - n, 2, expected->predict_rest(n, 2, part))) < 1e-5);
  }
  CHECK(!cuda_convnet_system(Device::cuda(), train, test, net, [](double) { return true; }));
}
