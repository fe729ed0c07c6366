// Three interpolants of the same labels.
#include <shatter/experiments/theory/interpolants.h>

#include <cmath>

#include <shatter/core/random.h>

namespace shatter::experiments {
namespace {

Interpolant judged(const Matrix& centres, const Matrix& alpha, const Matrix& own_kernel,
                   const Labelled& train, const Labelled& test, double gamma) {
  const Matrix fitted = product(gaussian_matrix(train.points, centres, gamma), alpha);
  const Matrix scores = product(gaussian_matrix(test.points, centres, gamma), alpha);
  const Matrix y = one_hot_matrix(train.labels, alpha.columns);
  Matrix difference = fitted;
  for (std::size_t i = 0; i < y.values.size(); ++i) difference.values[i] -= y.values[i];
  return {.train_error = error_percent(fitted, train.labels),
          .test_error = error_percent(scores, test.labels),
          .norm = std::sqrt(inner(alpha, product(own_kernel, alpha))),
          .residual = std::sqrt(inner(difference, difference) / inner(y, y))};
}

std::optional<Interpolant> fit(const Labelled& fitted, const Labelled& train, const Labelled& test,
                               double gamma, std::int64_t classes,
                               const std::function<bool(double)>& stopped) {
  const Matrix kernel = gaussian_matrix(fitted.points, fitted.points, gamma);
  const auto factor = DenseCholesky::factor(kernel, stopped);
  if (!factor) return std::nullopt;
  const Matrix alpha = factor->solve(one_hot_matrix(fitted.labels, classes));
  return judged(fitted.points, alpha, kernel, train, test, gamma);
}

}  // namespace

std::optional<Interpolant> least_norm_interpolant(const Labelled& train, const Labelled& test,
                                                  double gamma, std::int64_t classes,
                                                  const std::function<bool(double)>& stopped) {
  return fit(train, train, test, gamma, classes, stopped);
}

Interpolant interpolant_at(const Matrix& centres, const Labelled& train, const Labelled& test,
                           double gamma, std::int64_t classes) {
  const Matrix alpha = solve_general(gaussian_matrix(train.points, centres, gamma),
                                     one_hot_matrix(train.labels, classes));
  return judged(centres, alpha, gaussian_matrix(centres, centres, gamma), train, test, gamma);
}

std::optional<Interpolant> spoilt_interpolant(const Labelled& train, const Labelled& test,
                                              double gamma, std::int64_t classes,
                                              std::uint64_t seed,
                                              const std::function<bool(double)>& stopped) {
  Labelled both = train;
  both.points.rows += test.points.rows;
  both.points.values.insert(both.points.values.end(), test.points.values.begin(),
                            test.points.values.end());
  for (std::uint32_t i = 0; i < test.labels.size(); ++i) {
    const Words4 words = random_words({seed, Stream::corrupt_label, 0}, i);
    both.labels.push_back(int(below(std::uint32_t(classes), words[0], words[1])));
  }
  return fit(both, train, test, gamma, classes, stopped);
}

Matrix random_points(const Matrix& like, std::uint64_t seed) {
  Matrix points(like.rows, like.columns);
  points.values = random_normal({seed, Stream::pixel_noise, 0}, Shape{like.rows, like.columns}, 0,
                                1, DType::float64)
                      .values<double>();
  for (std::int64_t j = 0; j < like.columns; ++j) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < like.rows; ++i) sum += like.row(i)[j];
    const double mean = sum / double(like.rows);
    for (std::int64_t i = 0; i < like.rows; ++i) {
      squares += (like.row(i)[j] - mean) * (like.row(i)[j] - mean);
    }
    const double deviation = std::sqrt(squares / double(like.rows));
    for (std::int64_t i = 0; i < like.rows; ++i) {
      points.row(i)[j] = mean + deviation * points.row(i)[j];
    }
  }
  return points;
}

}  // namespace shatter::experiments
