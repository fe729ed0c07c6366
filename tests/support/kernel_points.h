// Points, and the Gaussian kernel between them by its definition, for tests of kernel regression.
#pragma once

#include <Eigen/Dense>
#include <cmath>

#include <shatter/experiments/linear_algebra/features.h>

#include "tests/support/tolerance.h"

namespace shatter::test {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

inline Matrix as_matrix(std::int64_t rows, std::int64_t columns,
                        const std::vector<double>& values) {
  return Eigen::Map<const Matrix>(values.data(), rows, columns);
}

inline double relative(const Matrix& a, const Matrix& expected) {
  return (a - expected).norm() / expected.norm();
}

inline experiments::Features points(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  return {n, d, random_values<float>(n * d, seed)};
}

/// The definition: differences, not products.
inline Matrix gaussian(const experiments::Features& a, const experiments::Features& b,
                       double gamma) {
  Matrix k(a.n, b.n);
  for (std::int64_t i = 0; i < a.n; ++i)
    for (std::int64_t j = 0; j < b.n; ++j) {
      double distance = 0;
      for (std::int64_t l = 0; l < a.d; ++l)
        distance += std::pow(double(a.row(i)[l]) - double(b.row(j)[l]), 2);
      k(i, j) = std::exp(-gamma * distance);
    }
  return k;
}

}  // namespace shatter::test
