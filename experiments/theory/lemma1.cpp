// The dense side of Lemma 1.
#include <shatter/experiments/theory/lemma1.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <complex>

namespace shatter::experiments {
namespace {

Eigen::MatrixXd dense(const KinkSystem& system) {
  const std::int64_t n = system.size();
  Eigen::MatrixXd a(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) a(i, j) = system.entry(i, j);
  }
  return a;
}

/// Of a square matrix, ascending: the upper half of the spectrum of [0 A; A^T 0], which is theirs
/// with both signs.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& a) {
  const Eigen::Index n = a.rows();
  Eigen::MatrixXd symmetric = Eigen::MatrixXd::Zero(2 * n, 2 * n);
  symmetric.bottomLeftCorner(n, n) = a;  // the half that is read
  return Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(symmetric, Eigen::EigenvaluesOnly)
      .eigenvalues()
      .tail(n);
}

}  // namespace

SpectrumCheck spectrum_check(const KinkSystem& system) {
  const Eigen::MatrixXd a = dense(system);
  const Eigen::EigenSolver<Eigen::MatrixXd> solver(a);
  const Eigen::MatrixXd right = solver.pseudoEigenvectors(), left = right.inverse();
  const double rounding = double(system.size()) * 0x1p-52 * a.norm();
  SpectrumCheck result;
  std::vector<double> diagonal;
  for (std::int64_t i = 0; i < system.size(); ++i) diagonal.push_back(system.entry(i, i));
  for (std::int64_t i = 0; i < system.size(); ++i) {
    const std::complex<double> found = solver.eigenvalues()[i];
    const auto nearest = std::min_element(
        diagonal.begin(), diagonal.end(),
        [&](double p, double q) { return std::abs(found - p) < std::abs(found - q); });
    const double difference = std::abs(found - *nearest),
                 condition = right.col(i).norm() * left.row(i).norm();
    result.relative = std::max(result.relative, difference / *nearest);
    result.to_bound = std::max(result.to_bound, difference / (rounding * condition));
    diagonal.erase(nearest);  // each diagonal element is one eigenvalue
  }
  return result;
}

DenseChecks dense_checks(const KinkSystem& system, std::uint64_t seed) {
  const Eigen::MatrixXd a = dense(system);
  const std::int64_t n = system.size();
  double log_diagonal = 0;
  for (std::int64_t i = 0; i < n; ++i) log_diagonal += std::log(system.entry(i, i));
  const Eigen::PartialPivLU<Eigen::MatrixXd> lu(a);
  const double log_determinant = lu.matrixLU().diagonal().array().abs().log().sum();
  const Eigen::VectorXd singular = singular_values(a);
  const double rounding = double(n) * 2.2e-16 * singular[n - 1];
  const double diagonal = system.smallest_diagonal();
  return {.eigenvalue = std::abs(system.smallest_eigenvalue(seed) / diagonal - 1),
          .determinant = std::abs(log_determinant - log_diagonal),
          .rank = 100.0 * double((singular.array() > rounding).count()) / double(n),
          .singular = std::abs(singular[0] / system.smallest_singular_value(seed) - 1)};
}

}  // namespace shatter::experiments
