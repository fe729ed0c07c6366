// Minimum-norm solutions, two forms of SGD, and Hessians.
#include <shatter/experiments/theory/minimum_norm.h>

#include <Eigen/Dense>
#include <cmath>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>
#include <shatter/optim/optimizer.h>

namespace shatter::experiments {
namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const RowMajor> view(const Matrix& a) {
  return {a.values.data(), a.rows, a.columns};
}
Eigen::Map<const Eigen::VectorXd> view(const Vector& v) {
  return {v.data(), Eigen::Index(v.size())};
}

/// Residuals x w - y of the tape's w [d, 1].
Tensor residuals(const Tensor& x, const Tensor& y, const Tensor& w) {
  return matmul(x, w) - y;
}

Tensor elementwise_loss(Loss loss, const Tensor& r) {
  if (loss == Loss::squared) return square(r) * 0.5;
  const Tensor size = abs(r);
  if (loss == Loss::cubic) return size * size * size;
  const Tensor one = Tensor::full(Shape{1}, 1, r.dtype());
  const Tensor quadratic = minimum(size, one);  // |r| cut at delta, the rest is linear
  return square(quadratic) * 0.5 + (size - quadratic);
}

Vector gradient(Loss loss, const Tensor& x, const Tensor& y, const Vector& w) {
  const Tensor parameter = Tensor::from(w, Shape{x.dim(1), 1});
  parameter.set_requires_grad();
  backward(mean(elementwise_loss(loss, residuals(x, y, parameter))));
  return parameter.grad().values<double>();
}

Tensor tensor_of(const Matrix& x) {
  return Tensor::from(x.values, Shape{x.rows, x.columns});
}
Tensor column_of(const Vector& y) {
  return Tensor::from(y, Shape{std::int64_t(y.size()), 1});
}

/// Rows drawn for one step.
std::uint32_t drawn_row(std::uint64_t seed, std::int64_t step, std::int64_t place, std::int64_t n) {
  const Words4 words = random_words({seed, Stream::shuffle, 0}, static_cast<std::uint32_t>(step),
                                    static_cast<std::uint32_t>(place));
  return below(static_cast<std::uint32_t>(n), words[0], words[1]);
}

}  // namespace

Vector minimum_norm_solution(const Matrix& x, const Vector& y) {
  check(std::int64_t(y.size()) == x.rows, "minimum_norm_solution: ", y.size(), " values for ",
        x.rows, " rows");
  const Eigen::VectorXd w =
      Eigen::CompleteOrthogonalDecomposition<Eigen::MatrixXd>(view(x)).solve(view(y));
  return {w.data(), w.data() + w.size()};
}

Vector outside_row_space(const Matrix& x, const Vector& w) {
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(view(x).transpose());
  const Eigen::MatrixXd q =
      qr.householderQ() * Eigen::MatrixXd::Identity(x.columns, std::min(x.rows, x.columns));
  Eigen::VectorXd rest = view(w);
  for (int twice = 0; twice < 2; ++twice) rest -= q * (q.transpose() * rest);
  return {rest.data(), rest.data() + rest.size()};
}

double norm(const Vector& v) {
  return view(v).norm();
}

double relative_distance(const Vector& a, const Vector& b) {
  return (view(a) - view(b)).norm() / view(b).norm();
}

std::optional<SgdRun> library_sgd(const Matrix& x, const Vector& y, const Vector& start,
                                  double rate, std::int64_t batch, std::int64_t steps,
                                  std::uint64_t seed, const std::function<bool(double)>& stopped) {
  const Tensor w = column_of(start);
  w.set_requires_grad();
  optim::Sgd sgd({{"w", w}}, {.schedule = optim::constant(rate)});
  Matrix rows(batch, x.columns);
  Vector targets(static_cast<std::size_t>(batch));
  for (std::int64_t step = 0; step < steps; ++step) {
    if (step % 64 == 0 && stopped && stopped(double(step) / double(steps))) return std::nullopt;
    for (std::int64_t i = 0; i < batch; ++i) {
      const std::uint32_t row = drawn_row(seed, step, i, x.rows);
      std::copy_n(x.row(row), x.columns, rows.row(i));
      targets[std::size_t(i)] = y[row];
    }
    w.set_grad({});
    backward(mean(square(residuals(tensor_of(rows), column_of(targets), w))));
    sgd.step();
  }
  return SgdRun{w.values<double>(), steps};
}

std::optional<SgdRun> kaczmarz_sgd(const Matrix& x, const Vector& y, const Vector& start,
                                   double tolerance, std::int64_t passes, std::uint64_t seed,
                                   const std::function<bool(double)>& stopped) {
  const auto rows = view(x);
  const Eigen::VectorXd squares = rows.rowwise().squaredNorm();
  Eigen::VectorXd w = view(start);
  SgdRun run;
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    if (stopped && stopped(double(pass) / double(passes))) return std::nullopt;
    for (std::int64_t i = 0; i < x.rows; ++i, ++run.steps) {
      const std::uint32_t row = drawn_row(seed, run.steps, 0, x.rows);
      if (squares[row] == 0) continue;
      const double error = rows.row(row).dot(w) - y[row];
      w -= error / squares[row] * rows.row(row).transpose();
    }
    if (pass % 16 == 15 && (rows * w - view(y)).norm() <= tolerance * view(y).norm()) break;
  }
  run.w.assign(w.data(), w.data() + w.size());
  return run;
}

const char* name_of(Loss loss) {
  switch (loss) {
    case Loss::squared: return "squared";
    case Loss::huber: return "huber";
    case Loss::cubic: break;
  }
  return "cubic";
}

Matrix hessian(Loss loss, const Matrix& x, const Vector& y, const Vector& w) {
  constexpr double h = 1e-5;
  const Tensor rows = tensor_of(x), targets = column_of(y);
  Matrix result(x.columns, x.columns);
  for (std::int64_t j = 0; j < x.columns; ++j) {
    Vector ahead = w, behind = w;
    ahead[std::size_t(j)] += h;
    behind[std::size_t(j)] -= h;
    const Vector up = gradient(loss, rows, targets, ahead),
                 down = gradient(loss, rows, targets, behind);
    for (std::int64_t i = 0; i < x.columns; ++i) {
      result.row(i)[j] = (up[std::size_t(i)] - down[std::size_t(i)]) / (2 * h);
    }
  }
  return result;
}

Matrix hessian_at_minimum(Loss loss, const Matrix& x) {
  Matrix result = product(x, x, true);
  const double beta = loss == Loss::cubic ? 0 : 1;
  for (double& value : result.values) value *= beta / static_cast<double>(x.rows);
  return result;
}

std::int64_t rank_of_symmetric(const Matrix& a, double threshold) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(view(a), Eigen::EigenvaluesOnly);
  return (solver.eigenvalues().array().abs() > threshold).count();
}

}  // namespace shatter::experiments
