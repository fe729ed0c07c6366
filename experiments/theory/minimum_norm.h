// Linear models of section 5 of Zhang et al. (ICLR 2017): what SGD converges to, and curvature at
// global minima.
#pragma once

#include <optional>
#include <string>

#include <shatter/experiments/linear_algebra/dense.h>

namespace shatter::experiments {

using Vector = std::vector<double>;

/// X^T (X X^T)^-1 y, by an orthogonal decomposition: of all w with X w = y the one of least norm.
Vector minimum_norm_solution(const Matrix& x, const Vector& y);

/// The part of w outside the span of x's rows.
Vector outside_row_space(const Matrix& x, const Vector& w);

double norm(const Vector& v);
/// |a - b| / |b|.
double relative_distance(const Vector& a, const Vector& b);

struct SgdRun {
  Vector w;
  std::int64_t steps = 0;
};

/// The library's own SGD, tape and optimizer, on mean (x w - y)^2 of `batch` rows drawn for each
/// step. Empty when stopped.
std::optional<SgdRun> library_sgd(const Matrix& x, const Vector& y, const Vector& start,
                                  double rate, std::int64_t batch, std::int64_t steps,
                                  std::uint64_t seed,
                                  const std::function<bool(double)>& stopped = {});

/// SGD, one row at a time, with the step 1 / |x_i|^2 (Kaczmarz), which converges linearly where
/// x w = y has a solution: until |x w - y| <= tolerance |y|, looked at after every pass of n steps,
/// or `passes` are over. Rows are drawn with replacement. Empty when stopped.
std::optional<SgdRun> kaczmarz_sgd(const Matrix& x, const Vector& y, const Vector& start,
                                   double tolerance, std::int64_t passes, std::uint64_t seed,
                                   const std::function<bool(double)>& stopped = {});

enum class Loss { squared, huber, cubic };
const char* name_of(Loss loss);

/// The Hessian of (1/n) sum_i loss(<w, x_i> - y_i) at w, [d, d]: central differences of the
/// gradient of the library's tape. loss(r): r^2 / 2; Huber's with delta 1; |r|^3.
Matrix hessian(Loss loss, const Matrix& x, const Vector& y, const Vector& w);
/// (1/n) X^T diag(loss''(0)) X: what it is at every global minimum.
Matrix hessian_at_minimum(Loss loss, const Matrix& x);
/// How many eigenvalues of a symmetric matrix exceed `threshold` in modulus.
std::int64_t rank_of_symmetric(const Matrix& a, double threshold);

}  // namespace shatter::experiments
