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

struct TrainTest {
  Dataset train, test;
};

}  // namespace shatter::data
