// Maximisers of correlation with random signs.
#include <shatter/experiments/theory/rademacher.h>

#include <algorithm>
#include <cmath>

#include <shatter/core/random.h>

namespace shatter::experiments {
namespace {

Matrix column(const std::vector<int>& signs) {
  Matrix s(static_cast<std::int64_t>(signs.size()), 1);
  std::copy(signs.begin(), signs.end(), s.values.begin());
  return s;
}

void scale(Matrix& a, double factor) {
  for (double& value : a.values) value *= factor;
}

void add(Matrix& a, double factor, const Matrix& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += factor * b.values[i];
}

}  // namespace

std::vector<int> random_signs(std::uint64_t seed, std::int64_t n) {
  std::vector<int> signs;
  for (std::int64_t i = 0; i < n; ++i) {
    const Words4 words = random_words({seed, Stream::user, 0}, static_cast<std::uint32_t>(i));
    signs.push_back(words[0] >> 31 ? 1 : -1);
  }
  return signs;
}

Supremum linear_ball(const Matrix& x, const std::vector<int>& signs, double radius, int steps) {
  const double n = static_cast<double>(x.rows);
  const Matrix sigma = column(signs), sum = product(x, sigma, true);
  // Starts anywhere in the ball; each step goes along the gradient of the mean and back to the
  // ball.
  Matrix w(x.columns, 1);
  for (std::int64_t j = 0; j < x.columns; ++j) w.row(j)[0] = j % 2 == 0 ? 1 : -1;
  scale(w, radius / std::sqrt(inner(w, w)));
  const double length = std::sqrt(inner(sum, sum));  // n times that of the gradient
  for (int step = 0; step < steps; ++step) {
    add(w, radius / length, sum);
    scale(w, std::min(1.0, radius / std::sqrt(inner(w, w))));
  }
  return {.found = inner(product(x, w), sigma) / n, .exact = radius / n * length};
}

Supremum kernel_ball(const Matrix& k, const std::vector<int>& signs, double radius, int steps) {
  const double n = static_cast<double>(k.rows);
  const Matrix sigma = column(signs), direction = product(k, sigma);
  // In k's space the mean's gradient has the coefficients sigma / n and the values K sigma / n.
  const double length = std::sqrt(inner(sigma, direction));
  Matrix alpha(k.rows, 1), values(k.rows, 1);  // K alpha
  alpha.values[0] = radius / std::sqrt(k.values[0]);
  for (std::int64_t i = 0; i < k.rows; ++i) values.values[i] = k.row(i)[0] * alpha.values[0];
  for (int step = 0; step < steps; ++step) {
    add(alpha, radius / length, sigma);
    add(values, radius / length, direction);
    const double shrink = std::min(1.0, radius / std::sqrt(inner(alpha, values)));
    scale(alpha, shrink);
    scale(values, shrink);
  }
  return {.found = inner(values, sigma) / n, .exact = radius / n * length};
}

double linear_ball_bound(const Matrix& x, double radius) {
  return radius / static_cast<double>(x.rows) * std::sqrt(inner(x, x));
}

double kernel_ball_bound(const Matrix& k, double radius) {
  double trace = 0;
  for (std::int64_t i = 0; i < k.rows; ++i) trace += k.row(i)[i];
  return radius / static_cast<double>(k.rows) * std::sqrt(trace);
}

data::Dataset signed_images(const data::Dataset& images, const std::vector<int>& signs) {
  check(std::int64_t(signs.size()) == images.size(), "signed_images: ", signs.size(), " signs for ",
        images.size(), " images");
  std::vector<std::int32_t> classes;
  for (const int sign : signs) classes.push_back(sign > 0);
  data::Dataset result = images;
  result.name += "; random signs";
  result.labels = Tensor::from(classes, Shape{images.size()});
  result.true_labels = {};
  result.classes = 2;
  return result;
}

}  // namespace shatter::experiments
