// The randomization tests of Zhang et al. (ICLR 2017), section 2.1. Everything is drawn once, as a
// function of (seed, image index), and stays fixed for the whole run.
#pragma once

#include <shatter/data/dataset.h>

namespace shatter::data {

struct RandomLabels {
  double probability = 1.0;  ///< p: each label is replaced with this probability
  std::uint64_t seed = 0;
};
/// Each label independently, with probability p, becomes uniform over all classes (it may stay what
/// it was, so a fraction p * (classes - 1) / classes ends up wrong).
Dataset randomize_labels(const Dataset& dataset, const RandomLabels& options);

/// One permutation of the h * w positions for all images; the channels of a pixel move together.
/// Throws (usage), as random_pixels does, for images of one pixel, in which nothing would move.
/// Use the same seed for train and test.
Dataset shuffle_pixels(const Dataset& dataset, std::uint64_t seed);

/// An independent permutation of the h * w positions for every image. `first_index` tells images of
/// different splits apart: give the test set the size of the training set.
Dataset random_pixels(const Dataset& dataset, std::uint64_t seed, std::int64_t first_index = 0);

/// Per-channel mean and standard deviation of a data set's images in [0, 1].
struct PixelStatistics {
  std::vector<double> mean, deviation;
};
PixelStatistics pixel_statistics(const Dataset& dataset);

/// Every image replaced by independent normal pixels with the given statistics (of the training
/// set): float32 images, neither clipped nor rounded.
Dataset gaussian_pixels(const Dataset& dataset, const PixelStatistics& statistics,
                        std::uint64_t seed, std::int64_t first_index = 0);

/// The images' centre size x size; offset (h - size) / 2.
Dataset center_crop(const Dataset& dataset, std::int64_t size);

/// The six settings of the paper.
enum class Corruption {
  none,
  partial_labels,
  random_labels,
  shuffled_pixels,
  random_pixels,
  gaussian
};
/// "true-labels", "partially-corrupted-labels", "random-labels", "shuffled-pixels",
/// "random-pixels", "gaussian".
const char* name_of(Corruption corruption);
Corruption corruption_from_name(const std::string& name);

struct TrainTest {
  Dataset train, test;
};
/// Crops both splits to `crop` pixels and applies one setting: pixel settings to both splits (with
/// the training set's statistics), label settings to the training labels only, unless
/// corrupt_test_labels.
struct CorruptionOptions {
  Corruption corruption = Corruption::none;
  double probability = 1.0;  ///< for partial_labels
  std::uint64_t seed = 0;
  std::int64_t crop = 0;  ///< 0: no crop before the corruption
  bool corrupt_test_labels = false;
};
TrainTest corrupt(const TrainTest& data, const CorruptionOptions& options);

}  // namespace shatter::data
