// Features in blocks, and the three ways to the same least squares.
#include <shatter/experiments/theory/random_features.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <shatter/core/random.h>
#include <shatter/kernels/context.h>
#include <shatter/kernels/matmul.h>

namespace shatter::experiments {
namespace {

/// Features are drawn and multiplied so many at a time.
constexpr std::int64_t block_size = 512;

using Stopped = std::function<bool(double)>;

double squared_distance(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    sum += (a.values[i] - b.values[i]) * (a.values[i] - b.values[i]);
  }
  return sum / static_cast<double>(a.rows);
}

/// c += op(a) op(b).
void accumulate(const Matrix& a, bool transpose_a, const Matrix& b, bool transpose_b, Matrix& c) {
  kernels::matmul<double>(cpu_context(),
                          {.m = c.rows,
                           .n = c.columns,
                           .k = transpose_a ? a.rows : a.columns,
                           .transpose_a = transpose_a,
                           .transpose_b = transpose_b},
                          1, a.values.data(), b.values.data(), 1, c.values.data());
}

/// The fit with the first `count` features: its weights, or the coefficients alpha of weights that
/// are Phi^T alpha; and its predictions as far as the features have been gone through.
struct Fit {
  std::int64_t count = 0;
  Matrix weights, alpha;  ///< one of the two
  Matrix fitted, scores;
  double squares = 0;  ///< of the weights

  Fit(std::int64_t count_, Matrix weights_, Matrix alpha_)
      : count(count_), weights(std::move(weights_)), alpha(std::move(alpha_)) {}
  /// Adds features begin, begin + 1, ... of training and test points.
  void add(std::int64_t begin, const Matrix& phi, const Matrix& test_phi);
};

void Fit::add(std::int64_t begin, const Matrix& phi, const Matrix& test_phi) {
  if (begin >= count) return;
  const std::int64_t classes = std::max(weights.columns, alpha.columns),
                     size = std::min(phi.columns, count - begin);
  Matrix part(phi.columns, classes);  // 0 for features that are not this fit's
  const Matrix found = alpha.rows > 0 ? product(phi, alpha, true) : Matrix();
  const double* source = alpha.rows > 0 ? found.row(0) : weights.row(begin);
  std::copy_n(source, size * classes, part.row(0));
  if (begin == 0) {
    fitted = Matrix(phi.rows, classes);
    scores = Matrix(test_phi.rows, classes);
  }
  accumulate(phi, false, part, false, fitted);
  accumulate(test_phi, false, part, false, scores);
  squares += inner(part, part);
}

class Descent {
 public:
  Descent(const DescentData& data, const FourierFeatures& features, Stopped stopped)
      : data_(data),
        features_(features),
        stopped_(std::move(stopped)),
        y_(one_hot_matrix(data.train_labels, data.classes)) {}

  // Each adds the fits of these counts; false when stopped.
  bool fewer(const std::vector<std::int64_t>& counts);
  bool as_many();
  bool more(const std::vector<std::int64_t>& counts);
  std::optional<std::vector<DescentPoint>> points();

 private:
  bool stopped(double part) const { return stopped_ && stopped_(part); }
  /// Calls body(begin, size) for blocks of features, having asked whether to stop; the part done
  /// goes from `from` to `to`. False when stopped.
  template <class Body>
  bool blocks(std::int64_t begin, std::int64_t end, double from, double to, Body&& body) const {
    const double whole = double(end - begin);
    for (std::int64_t i = begin; i < end; i += block_size) {
      if (stopped(from + (to - from) * double(i - begin) / whole)) return false;
      body(i, std::min(block_size, end - i));
    }
    return true;
  }

  const DescentData& data_;
  const FourierFeatures& features_;
  Stopped stopped_;
  Matrix y_;
  std::vector<Fit> fits_;
};

bool Descent::fewer(const std::vector<std::int64_t>& counts) {
  if (counts.empty()) return true;
  const Matrix phi = features_(data_.train, 0, counts.back());
  if (stopped(0.05)) return false;
  // The factor of fewer features' matrix is the leading part of the factor of more features'.
  const auto factor =
      DenseCholesky::factor(product(phi, phi, true), [this](double) { return stopped(0.1); });
  if (!factor) return false;
  const Matrix right = product(phi, y_, true);
  for (const std::int64_t count : counts) {
    Matrix b(count, right.columns);
    std::copy_n(right.values.data(), b.values.size(), b.values.data());
    fits_.emplace_back(count, factor->solve(std::move(b)), Matrix());
  }
  return true;
}

bool Descent::as_many() {
  if (stopped(0.2)) return false;
  const std::int64_t n = data_.train.rows;
  fits_.emplace_back(n, solve_general(features_(data_.train, 0, n), y_), Matrix());
  return true;
}

bool Descent::more(const std::vector<std::int64_t>& counts) {
  if (counts.empty()) return true;
  Matrix gram(data_.train.rows, data_.train.rows);
  const double last = double(counts.back());
  std::int64_t done = 0;
  for (const std::int64_t count : counts) {
    const double from = 0.3 + 0.5 * double(done) / last, to = 0.3 + 0.5 * double(count) / last;
    const bool whole = blocks(done, count, from, to, [&](std::int64_t begin, std::int64_t size) {
      const Matrix phi = features_(data_.train, begin, size);
      accumulate(phi, false, phi, true, gram);
    });
    if (!whole) return false;
    done = count;
    const auto factor = DenseCholesky::factor(gram, [&](double) { return stopped(to); });
    if (!factor) return false;
    fits_.emplace_back(count, Matrix(), factor->solve(y_));
  }
  return true;
}

std::optional<std::vector<DescentPoint>> Descent::points() {
  const bool whole =
      blocks(0, fits_.back().count, 0.8, 1, [&](std::int64_t begin, std::int64_t size) {
        const Matrix phi = features_(data_.train, begin, size),
                     test_phi = features_(data_.test, begin, size);
        for (Fit& fit : fits_) fit.add(begin, phi, test_phi);
      });
  if (!whole) return std::nullopt;
  const Matrix test_y = one_hot_matrix(data_.test_labels, data_.classes);
  std::vector<DescentPoint> curve;
  for (const Fit& fit : fits_) {
    curve.push_back({.features = fit.count,
                     .train_loss = squared_distance(fit.fitted, y_),
                     .test_loss = squared_distance(fit.scores, test_y),
                     .test_error = error_percent(fit.scores, data_.test_labels),
                     .norm = std::sqrt(fit.squares)});
  }
  return curve;
}

}  // namespace

Matrix FourierFeatures::operator()(const Matrix& x, std::int64_t begin, std::int64_t count) const {
  check(x.columns == d_, "FourierFeatures: points of ", x.columns, " coordinates, not ", d_);
  Matrix directions(count, d_);
  std::vector<double> shifts(static_cast<std::size_t>(count));
  cpu_context().parallel_for(count, 16, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t j = first; j < last; ++j) {
      const RandomKey key{seed_, Stream::user, static_cast<std::uint32_t>(begin + j)};
      const std::vector<double> v =
          random_normal(key, Shape{d_}, 0, 1 / bandwidth_, DType::float64).values<double>();
      std::copy(v.begin(), v.end(), directions.row(j));
      const Words4 words = random_words({seed_, Stream::noise, 0}, std::uint32_t(begin + j));
      shifts[std::size_t(j)] = 2 * std::numbers::pi * uniform_double(words[0], words[1]);
    }
  });
  Matrix phi = product(x, directions, false, true);
  cpu_context().parallel_for(x.rows, 16, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      double* row = phi.row(i);
      for (std::int64_t j = 0; j < count; ++j) row[j] = std::cos(row[j] + shifts[std::size_t(j)]);
    }
  });
  return phi;
}

std::optional<std::vector<DescentPoint>> double_descent(const DescentData& data,
                                                        const FourierFeatures& features,
                                                        const std::vector<std::int64_t>& counts,
                                                        const Stopped& stopped) {
  check(!counts.empty() && counts.front() > 0 && std::is_sorted(counts.begin(), counts.end()),
        "double_descent: numbers of features must be positive and increase");
  const std::int64_t n = data.train.rows;
  std::vector<std::int64_t> below, above;
  std::copy_if(counts.begin(), counts.end(), std::back_inserter(below),
               [n](std::int64_t count) { return count < n; });
  std::copy_if(counts.begin(), counts.end(), std::back_inserter(above),
               [n](std::int64_t count) { return count > n; });
  Descent descent(data, features, stopped);
  if (!descent.fewer(below)) return std::nullopt;
  const bool threshold = std::binary_search(counts.begin(), counts.end(), n);
  if (threshold && !descent.as_many()) return std::nullopt;
  if (!descent.more(above)) return std::nullopt;
  return descent.points();
}

}  // namespace shatter::experiments
