// Images as rows of numbers: the inputs of a kernel.
#pragma once

#include <vector>

#include <shatter/data/dataset.h>

namespace shatter::experiments {

/// Packed rows: values [n, d].
struct Features {
  std::int64_t n = 0, d = 0;
  std::vector<float> values;

  const float* row(std::int64_t i) const { return values.data() + i * d; }
};

/// Pixels in [0, 1], in the order of memory. Throws as check_dataset does.
Features pixels(const data::Dataset& dataset);

/// The rows [begin, end).
Features rows(const Features& features, std::int64_t begin, std::int64_t end);

/// The mean of |x_i - x_j|^2 over all pairs, i and j independent: 2 (mean |x|^2 - |mean x|^2).
double mean_squared_distance(const Features& features);

/// The labels of a data set.
std::vector<int> labels(const data::Dataset& dataset);

}  // namespace shatter::experiments
