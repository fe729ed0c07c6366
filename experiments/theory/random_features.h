// Double descent with random Fourier features (Belkin, Hsu, Ma and Mandal, "Reconciling modern
// machine learning practice and the bias-variance trade-off", PNAS 2019): least squares of least
// norm, from fewer features than points to many more.
#pragma once

#include <optional>

#include <shatter/experiments/linear_algebra/dense.h>

namespace shatter::experiments {

/// phi_j(x) = cos(<v_j, x> + b_j), v_j normal with deviation 1 / bandwidth, b_j uniform in
/// [0, 2 pi). Feature j is a function of (seed, j): more features extend fewer.
class FourierFeatures {
 public:
  FourierFeatures(std::int64_t d, double bandwidth, std::uint64_t seed)
      : d_(d), bandwidth_(bandwidth), seed_(seed) {}

  /// Features begin .. begin + count of the rows of x, [rows, count].
  Matrix operator()(const Matrix& x, std::int64_t begin, std::int64_t count) const;

 private:
  std::int64_t d_;
  double bandwidth_;
  std::uint64_t seed_;
};

struct DescentPoint {
  std::int64_t features = 0;
  double train_loss = 0, test_loss = 0;  ///< mean over points of |prediction - one-hot label|^2
  double test_error = 0;                 ///< percent
  double norm = 0;                       ///< of the weights of all classes
};

struct DescentData {
  Matrix train, test;
  std::vector<int> train_labels, test_labels;
  std::int64_t classes = 10;
};

/// The curve at these numbers of features, in increasing order: with fewer than points by the
/// normal equations, with as many by LU, with more by the Gram matrix. Empty when stopped.
std::optional<std::vector<DescentPoint>> double_descent(
    const DescentData& data, const FourierFeatures& features,
    const std::vector<std::int64_t>& counts, const std::function<bool(double)>& stopped = {});

}  // namespace shatter::experiments
