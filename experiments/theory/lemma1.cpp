// The dense side of Lemma 1.
#include <shatter/experiments/theory/lemma1.h>

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

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

}  // namespace

double spectrum_difference(const KinkSystem& system) {
  const Eigen::VectorXcd found =
      Eigen::EigenSolver<Eigen::MatrixXd>(dense(system), false).eigenvalues();
  std::vector<double> eigenvalues, diagonal;
  double imaginary = 0;
  for (std::int64_t i = 0; i < system.size(); ++i) {
    eigenvalues.push_back(found[i].real());
    imaginary = std::max(imaginary, std::abs(found[i].imag()) / std::abs(found[i]));
    diagonal.push_back(system.entry(i, i));
  }
  std::sort(eigenvalues.begin(), eigenvalues.end());
  std::sort(diagonal.begin(), diagonal.end());
  double largest = imaginary;
  for (std::size_t i = 0; i < diagonal.size(); ++i) {
    largest = std::max(largest, std::abs(eigenvalues[i] / diagonal[i] - 1));
  }
  return largest;
}

DenseChecks dense_checks(const KinkSystem& system, std::uint64_t seed) {
  const Eigen::MatrixXd a = dense(system);
  const std::int64_t n = system.size();
  double log_diagonal = 0;
  for (std::int64_t i = 0; i < n; ++i) log_diagonal += std::log(system.entry(i, i));
  const Eigen::PartialPivLU<Eigen::MatrixXd> lu(a);
  const double log_determinant = lu.matrixLU().diagonal().array().abs().log().sum();
  const Eigen::VectorXd singular = Eigen::BDCSVD<Eigen::MatrixXd>(a).singularValues();
  const double rounding = double(n) * 2.2e-16 * singular[0];
  const double diagonal = system.smallest_diagonal();
  return {.eigenvalue = std::abs(system.smallest_eigenvalue(seed) / diagonal - 1),
          .determinant = std::abs(log_determinant - log_diagonal),
          .rank = 100.0 * double((singular.array() > rounding).count()) / double(n),
          .singular = std::abs(singular[n - 1] / system.smallest_singular_value(seed) - 1)};
}

}  // namespace shatter::experiments
