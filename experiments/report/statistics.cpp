// Means, t-intervals and binomial intervals.
#include <shatter/experiments/report/statistics.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <shatter/kernels/error.h>

namespace shatter::experiments {
namespace {

/// The regularised incomplete beta function I_x(a, b) by its continued fraction (Abramowitz and
/// Stegun 26.5.8), evaluated from the front by Lentz's method.
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x)) /
                       a;
  constexpr double tiny = 1e-300;
  double c = 1, d = 0, fraction = 1;
  for (int i = 0; i < 500; ++i) {
    const int m = i / 2;
    double term = 1;
    if (i > 0 && i % 2 == 0) term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    if (i % 2 == 1) term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + term * d;
    d = 1 / (std::abs(d) < tiny ? tiny : d);
    c = 1 + term / c;
    if (std::abs(c) < tiny) c = tiny;
    fraction *= c * d;
    if (i > 0 && std::abs(c * d - 1) < 1e-15) break;
  }
  return front * (fraction - 1);
}

}  // namespace

double student_t_cdf(double t, double freedom) {
  check(freedom > 0, "student_t_cdf: ", freedom, " degrees of freedom");
  const double tail = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
  return t < 0 ? tail : 1 - tail;
}

double student_t_quantile(double probability, double freedom) {
  check(probability > 0 && probability < 1, "student_t_quantile: probability ", probability);
  if (probability < 0.5) return -student_t_quantile(1 - probability, freedom);
  double low = 0, high = 1;
  while (student_t_cdf(high, freedom) < probability && high < 1e300) high *= 2;
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (student_t_cdf(middle, freedom) < probability ? low : high) = middle;
  }
  return high;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Sample summarize(const std::vector<double>& values) {
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  const int n = static_cast<int>(values.size());
  if (n == 0) return {0, unknown, unknown, unknown};
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  if (n == 1) return {1, mean, unknown, unknown};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double deviation = std::sqrt(squares / (n - 1));
  return {n, mean, deviation, student_t_quantile(0.975, n - 1) * deviation / std::sqrt(double(n))};
}

Interval binomial_interval(std::int64_t successes, std::int64_t trials, double z) {
  if (trials <= 0) return {};
  const double n = static_cast<double>(trials), p = static_cast<double>(successes) / n;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {middle - half, middle + half};
}

}  // namespace shatter::experiments
