// Cholesky factors on CUDA against Eigen's in double.
#include <Eigen/Dense>

#include <shatter/kernels/cuda/cholesky.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// x x^T / d + I / 4 for random x [n, d], whose condition number is moderate.
Matrix positive_definite(std::int64_t n) {
  const std::int64_t d = 2 * n;
  const auto x = random_values<double>(n * d, 1);
  const Eigen::Map<const Matrix> rows(x.data(), n, d);
  const Matrix a = rows * rows.transpose() / double(d) + Matrix::Identity(n, n) / 4;
  return a.cast<float>().cast<double>();
}

std::vector<float> floats(const Matrix& a) {
  return {a.data(), a.data() + a.size()};
}

Matrix as_matrix(std::int64_t rows, const std::vector<float>& values) {
  const auto wide = to_double(values);
  return Eigen::Map<const Matrix>(wide.data(), rows, std::int64_t(wide.size()) / rows);
}

}  // namespace

TEST_CASE("cholesky on CUDA factors, and its factor solves") {
  for (const std::int64_t n : {1, 33, 130}) {
    const Matrix a = positive_definite(n);
    const Matrix expected = a.llt().matrixL();
    const auto b = random_values<float>(3 * n, 2);
    on_cuda([&](auto& on) {
      float* const l = on.put(floats(a));
      REQUIRE(cholesky(on.context, n, l) == -1);
      const Matrix lower = as_matrix(n, on.get(l)).template triangularView<Eigen::Lower>();
      const double error = tolerance<float>(double(n));
      CHECK((lower - expected).cwiseAbs().maxCoeff() <= 4 * error);
      float* const x = on.put(b);
      cholesky_solve(on.context, n, 3, l, x);
      const Matrix solution = as_matrix(3, on.result(x));
      // Each row of x solves a x = b; the error grows with the condition number.
      const Matrix sides = as_matrix(3, b);
      CHECK((solution * a - sides).cwiseAbs().maxCoeff() <=
            8 * error * solution.cwiseAbs().maxCoeff() * a.cwiseAbs().maxCoeff());
    });
  }
}

TEST_CASE("cholesky on CUDA names the row where a matrix stops being positive definite") {
  for (const std::int64_t row : {0, 17, 39}) {
    Matrix a = positive_definite(40);
    a(row, row) = -1;
    on_cuda([&](auto& on) { REQUIRE(cholesky(on.context, 40, on.put(floats(a))) == row); });
  }
}
