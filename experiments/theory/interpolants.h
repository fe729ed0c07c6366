// Functions that fit the training labels exactly and generalise well or badly (section 5 of Zhang
// et al., ICLR 2017): Gaussian kernel expansions.
#pragma once

#include <optional>

#include <shatter/experiments/linear_algebra/dense.h>

namespace shatter::experiments {

struct Interpolant {
  double train_error = 0, test_error = 0;  ///< percent
  double norm = 0;      ///< in the kernel's space, of all classes: sqrt(sum_c alpha_c^T K alpha_c)
  double residual = 0;  ///< |K alpha - Y| / |Y| on the training points
};

struct Labelled {
  Matrix points;
  std::vector<int> labels;
};

/// The interpolant of least norm: centres at the training points. Empty when stopped.
std::optional<Interpolant> least_norm_interpolant(const Labelled& train, const Labelled& test,
                                                  double gamma, std::int64_t classes,
                                                  const std::function<bool(double)>& stopped = {});

/// An expansion at as many other centres that fits the training labels.
Interpolant interpolant_at(const Matrix& centres, const Labelled& train, const Labelled& test,
                           double gamma, std::int64_t classes);

/// The least-norm fit of the training labels and of random labels on the test points.
std::optional<Interpolant> spoilt_interpolant(const Labelled& train, const Labelled& test,
                                              double gamma, std::int64_t classes,
                                              std::uint64_t seed,
                                              const std::function<bool(double)>& stopped = {});

/// Points whose every coordinate is drawn from a normal with that coordinate's mean and deviation.
Matrix random_points(const Matrix& like, std::uint64_t seed);

}  // namespace shatter::experiments
