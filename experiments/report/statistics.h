// The statistics of a table: over seeds, and of a single accuracy.
#pragma once

#include <cstdint>
#include <vector>

namespace shatter::experiments {

/// Mean over seeds with its spread. NaN where there are too few values to say.
struct Sample {
  int n = 0;
  double mean = 0;
  double deviation = 0;   ///< sample standard deviation (n - 1); NaN below two values
  double half_width = 0;  ///< of the 95 % t-interval of the mean; NaN below two values
};
Sample summarize(const std::vector<double>& values);
/// Of an even number of values the mean of the middle two; 0 of none.
double median(std::vector<double> values);

/// P(T <= t) for Student's t with `freedom` degrees of freedom (> 0, not necessarily whole).
double student_t_cdf(double t, double freedom);
/// The t with P(T <= t) = probability, which lies in (0, 1).
double student_t_quantile(double probability, double freedom);

/// Wilson's interval for a proportion: `z` standard errors, 1.96 for 95 %.
struct Interval {
  double low = 0, high = 1;
};
Interval binomial_interval(std::int64_t successes, std::int64_t trials, double z = 1.959964);

}  // namespace shatter::experiments
