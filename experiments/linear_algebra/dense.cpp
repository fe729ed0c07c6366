// Products by the library's kernels, factors of blocks by Eigen.
#include <shatter/experiments/linear_algebra/dense.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include <shatter/kernels/context.h>
#include <shatter/kernels/gaussian_kernel.h>
#include <shatter/kernels/matmul.h>

namespace shatter::experiments {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Block = Eigen::Map<RowMajor, 0, Eigen::OuterStride<>>;

constexpr std::int64_t block_size = 128;

Block block(Matrix& a, std::int64_t row, std::int64_t column, std::int64_t rows,
            std::int64_t columns) {
  return {a.row(row) + column, rows, columns, Eigen::OuterStride<>(a.columns)};
}

Eigen::Map<const RowMajor> view(const Matrix& a) {
  return {a.values.data(), a.rows, a.columns};
}

}  // namespace

Matrix product(const Matrix& a, const Matrix& b, bool transpose_a, bool transpose_b) {
  const kernels::MatmulGeometry g{.m = transpose_a ? a.columns : a.rows,
                                  .n = transpose_b ? b.rows : b.columns,
                                  .k = transpose_a ? a.rows : a.columns,
                                  .transpose_a = transpose_a,
                                  .transpose_b = transpose_b};
  check(g.k == (transpose_b ? b.columns : b.rows), "product: [", a.rows, ", ", a.columns, "] and [",
        b.rows, ", ", b.columns, "] do not fit");
  Matrix c(g.m, g.n);
  kernels::matmul<double>(cpu_context(), g, 1, a.values.data(), b.values.data(), 0,
                          c.values.data());
  return c;
}

Matrix pixel_matrix(const data::Dataset& images) {
  Matrix x(images.size(), images.images.numel() / images.size());
  x.values = images.images.values<double>();
  if (images.images.dtype() == DType::uint8) {
    for (double& value : x.values) value /= 255;
  }
  return x;
}

Matrix one_hot_matrix(const std::vector<int>& labels, std::int64_t classes) {
  Matrix y(static_cast<std::int64_t>(labels.size()), classes);
  for (std::size_t i = 0; i < labels.size(); ++i) y.row(std::int64_t(i))[labels[i]] = 1;
  return y;
}

double error_percent(const Matrix& scores, const std::vector<int>& labels) {
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < scores.rows; ++i) {
    const double* row = scores.row(i);
    wrong += std::max_element(row, row + scores.columns) - row != labels[std::size_t(i)];
  }
  return 100 * static_cast<double>(wrong) / static_cast<double>(scores.rows);
}

Matrix gaussian_matrix(const Matrix& a, const Matrix& b, double gamma) {
  check(gamma > 0, "gaussian_matrix: gamma ", gamma);
  Matrix k = product(a, b, false, true);
  const auto norms = [](const Matrix& x) {
    std::vector<double> squares(std::size_t(x.rows));
    kernels::row_squared_norms<double>(cpu_context(), x.rows, x.columns, x.values.data(),
                                       squares.data());
    return squares;
  };
  const std::vector<double> a_norms = norms(a), b_norms = norms(b);
  kernels::gaussian_kernel<double>(
      cpu_context(),
      {.m = a.rows, .n = b.rows, .sigma = std::sqrt(0.5 / gamma), .same_points = &a == &b},
      a_norms.data(), b_norms.data(), k.values.data());
  return k;
}

std::optional<DenseCholesky> DenseCholesky::factor(
    Matrix a, const std::function<bool(double part)>& stopped) {
  const std::int64_t n = a.rows;
  check(n == a.columns, "DenseCholesky: [", a.rows, ", ", a.columns, "] is not square");
  for (std::int64_t k = 0; k < n; k += block_size) {
    if (stopped && stopped(double(k) / double(n))) return std::nullopt;
    const std::int64_t size = std::min(block_size, n - k), behind = k + size;
    const Eigen::LLT<RowMajor> llt(block(a, k, k, size, size));
    if (llt.info() != Eigen::Success) {
      fail(ErrorKind::diverged, "the matrix is not positive definite in double: a pivot of rows ",
           k, " to ", behind, " is not above 0");
    }
    const RowMajor l = llt.matrixL();
    block(a, k, k, size, size) = l;
    cpu_context().parallel_for(n - behind, 64, [&](std::int64_t begin, std::int64_t end) {
      Block rows = block(a, behind + begin, k, end - begin, size);
      rows = l.triangularView<Eigen::Lower>().solve(rows.transpose()).transpose().eval();
    });
    // What is left of the matrix, a column of blocks at a time: its lower triangle is enough.
    for (std::int64_t j = behind; j < n; j += 4 * block_size) {
      kernels::matmul<double>(cpu_context(),
                              {.m = n - j,
                               .n = std::min(4 * block_size, n - j),
                               .k = size,
                               .transpose_b = true,
                               .lda = n,
                               .ldb = n,
                               .ldc = n},
                              -1, a.row(j) + k, a.row(j) + k, 1, a.row(j) + j);
    }
  }
  return DenseCholesky(std::move(a));
}

Matrix DenseCholesky::solve(Matrix b) const {
  check(b.rows <= l_.rows, "DenseCholesky::solve: ", b.rows, " rows for ", l_.rows);
  Eigen::Map<RowMajor> x(b.values.data(), b.rows, b.columns);
  const Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>> l(l_.values.data(), b.rows, b.rows,
                                                              Eigen::OuterStride<>(l_.columns));
  l.triangularView<Eigen::Lower>().solveInPlace(x);
  l.transpose().triangularView<Eigen::Upper>().solveInPlace(x);
  return b;
}

Matrix solve_general(const Matrix& a, const Matrix& b) {
  check(a.rows == a.columns && a.rows == b.rows, "solve_general: [", a.rows, ", ", a.columns,
        "] and [", b.rows, ", ", b.columns, "]");
  Matrix x(b.rows, b.columns);
  Eigen::Map<RowMajor>(x.values.data(), x.rows, x.columns) =
      Eigen::PartialPivLU<Eigen::MatrixXd>(view(a)).solve(view(b));
  return x;
}

double inner(const Matrix& a, const Matrix& b) {
  check(a.values.size() == b.values.size(), "inner: sizes ", a.values.size(), " and ",
        b.values.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += a.values[i] * b.values[i];
  return sum;
}

}  // namespace shatter::experiments
