// Gabor features: how strongly an image answers to waves of several lengths and directions,
// averaged over its parts. The paper used some such features on MNIST and published no bank.
#pragma once

#include <shatter/experiments/linear_algebra/features.h>
#include <shatter/kernels/context.h>

namespace shatter::experiments {

/// For each wavelength l (pixels) and direction t = pi k / orientations the complex filter
///   g(x, y) = e(x, y) (exp(2 pi i (x cos t + y sin t) / l) - m),  e = exp(-(x^2 + y^2) / (2 s^2)),
/// s = l / 2, on |x|, |y| <= ceil(3 s); m makes the sum of g zero and g is divided by the sum of
/// |g|.
struct GaborBank {
  std::vector<double> wavelengths{4, 8};
  int orientations = 8;
  std::int64_t pool = 4, stride = 4;
};

/// Real and imaginary parts [filters][2][size, size], filters = wavelengths x orientations, each
/// centred in a square of the largest filter's size. Throws (usage) for an impossible bank.
struct GaborFilters {
  std::int64_t filters = 0, size = 0;
  std::vector<double> values;
};
GaborFilters gabor_filters(const GaborBank& bank);

/// The modulus of the correlation of every image in [0, 1] (colours averaged) with every filter,
/// the image being 0 outside, averaged over pool x pool windows at `stride`: rows
/// [row][column][filter].
Features gabor_features(CpuContext& context, const data::Dataset& dataset, const GaborBank& bank);

}  // namespace shatter::experiments
