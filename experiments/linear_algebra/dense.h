// Dense matrices in double: products, Cholesky factors and Gaussian kernels on all threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <shatter/data/dataset.h>

namespace shatter::experiments {

/// Row-major.
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(std::int64_t rows_, std::int64_t columns_)
      : rows(rows_), columns(columns_), values(std::size_t(rows_ * columns_)) {}
  double* row(std::int64_t i) { return values.data() + i * columns; }
  const double* row(std::int64_t i) const { return values.data() + i * columns; }
};

/// op(a) op(b), on cpu_context().
Matrix product(const Matrix& a, const Matrix& b, bool transpose_a = false,
               bool transpose_b = false);

/// The images as rows, pixels in [0, 1].
Matrix pixel_matrix(const data::Dataset& images);
/// [n, classes]: 1 where the class is the label's, else 0.
Matrix one_hot_matrix(const std::vector<int>& labels, std::int64_t classes);
/// Percent of rows whose largest entry is not their label's.
double error_percent(const Matrix& scores, const std::vector<int>& labels);

/// exp(-gamma |a_i - b_j|^2); a and b may be the same object: the diagonal is then exactly 1.
Matrix gaussian_matrix(const Matrix& a, const Matrix& b, double gamma);

/// The factor of a symmetric positive definite matrix, computed in its place, in blocks.
class DenseCholesky {
 public:
  /// Reads the lower triangle. Empty when `stopped`, asked after each block column. Throws
  /// (diverged), naming the row, when a pivot is not above 0.
  static std::optional<DenseCholesky> factor(Matrix a,
                                             const std::function<bool(double part)>& stopped = {});
  /// a^-1 b for b [n, m]; for b of fewer rows, with the leading part of a that fits them.
  Matrix solve(Matrix b) const;

 private:
  explicit DenseCholesky(Matrix l) : l_(std::move(l)) {}
  Matrix l_;
};

/// a^-1 b by LU with partial pivoting, for square a.
Matrix solve_general(const Matrix& a, const Matrix& b);

/// sum of a_ij b_ij.
double inner(const Matrix& a, const Matrix& b);

}  // namespace shatter::experiments
