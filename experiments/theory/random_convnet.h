// A convolution with random filters: the network of Coates and Ng with random patches in place of
// learned ones, one layer, linear on top. Constants as in section 9.5's source: patches less their
// mean and of norm 1, whitened twice, both signs rectified at a bias, averages over large windows.
#pragma once

#include <optional>

#include <shatter/experiments/linear_algebra/kernel_matrix.h>

namespace shatter::experiments {

struct RandomConvnet {
  std::int64_t filters = 32000;
  std::int64_t patches = 100000;  ///< drawn for the whitening; the filters are some of them
  std::int64_t patch = 6;         ///< rows and columns of a filter
  double whitening = 1e-3;        ///< added to the eigenvalues of the patches' second moments
  double bias = 1;                ///< z becomes max(z - bias, 0) and max(-z - bias, 0)
  std::int64_t pool = 15, stride = 6;
  std::uint64_t seed = 1;
  std::int64_t filter_block = 128;  ///< filters at a time; changes nothing but roundings
};

/// Filters [filters, patch, patch, c]: W W p for patches p of `images`, W = V (E + whitening)^-1/2
/// V^T from the eigenvectors V and eigenvalues E of the mean of p p^T. Throws (usage) when there
/// are fewer patches than filters or the images are too small.
std::vector<float> random_filters(const data::Dataset& images, const RandomConvnet& net);

/// The features of the images for some filters [count, patch, patch, c]: rows
/// [window row][window column][sign][filter], from the correlation of images in [0, 1].
Features convnet_features(CpuContext& context, const data::Dataset& images,
                          const RandomConvnet& net, const float* filters, std::int64_t count);

/// Products of features, summed over all filters in float without ever storing all features, and
/// divided by the mean of the training images' own: train [n, n] (lower triangle), test [m, n].
struct ConvnetGram {
  PackedLower train;
  std::vector<float> test;
  double scale = 1;  ///< what everything was divided by
};
/// `each` is called with the part done, in [0, 1]; true: stop, and the result is empty.
std::optional<ConvnetGram> convnet_gram(CpuContext& context, const data::Dataset& train,
                                        const data::Dataset& test, const RandomConvnet& net,
                                        const std::function<bool(double)>& each = {});

}  // namespace shatter::experiments
