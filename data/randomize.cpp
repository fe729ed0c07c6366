// The randomization tests' corruptions. Draws depend on (seed, image index) only, never on the
// other images, the threads or the order of work.
#include <shatter/data/randomize.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <shatter/core/random.h>
#include <shatter/kernels/functions.h>

namespace shatter::data {
namespace {

/// Images a thread takes at once.
constexpr std::int64_t grain = 64;

/// Epochs of the key that keep the two permutations apart: they share a stream.
constexpr std::uint32_t shared_permutation = 0;
constexpr std::uint32_t own_permutation = 1;

/// Image indices must fit the generator's 32-bit counter, or two images would share draws.
void check_indices(const char* op, const Dataset& dataset, std::int64_t first_index) {
  check(first_index >= 0 && first_index <= std::int64_t{1} << 31 &&
            dataset.size() <= std::int64_t{1} << 31,
        op, ": first index ", first_index, " and ", dataset.size(),
        " images, each must be 0 to 2^31");
}

/// One pixel to another image's place, whatever its size.
void move_pixel(std::byte* y, const std::byte* x, std::size_t bytes) {
  if (bytes == 3)
    std::memcpy(y, x, 3);  // the usual sizes, without a call
  else if (bytes == 1)
    *y = *x;
  else
    std::memcpy(y, x, bytes);
}

/// The data set with its images put through image(i, x, y) for source and result bytes.
template <class Image>
Dataset with_images(const Dataset& dataset, const Shape& shape, DType dtype, Image&& image) {
  const Tensor source = dataset.images.to(Device::cpu()).packed();
  const Tensor y = Tensor::empty(shape, dtype);
  const std::int64_t n = dataset.size();
  if (n > 0) {
    const std::size_t source_bytes = source.bytes() / std::size_t(n);
    const std::size_t result_bytes = y.bytes() / std::size_t(n);
    cpu_context().parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        image(i, source.raw() + std::size_t(i) * source_bytes,
              y.raw() + std::size_t(i) * result_bytes);
      }
    });
  }
  Dataset result = dataset;
  result.images = y.to(dataset.images.device());
  return result;
}

/// A uniform permutation of 0 .. order.size() - 1 belonging to one image.
void permute_for_image(std::uint64_t seed, std::uint32_t image, std::vector<std::uint32_t>& order) {
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  const RandomKey key{seed, Stream::pixel_permutation, own_permutation};
  Words4 words{};
  std::uint32_t drawn = std::numeric_limits<std::uint32_t>::max();
  for (auto i = static_cast<std::uint32_t>(order.size()); i-- > 1;) {
    // A block holds the 64-bit draws of two places.
    if (i / 2 != drawn) {
      drawn = i / 2;
      words = random_words(key, image, drawn);
    }
    const std::size_t half = i % 2 * 2;
    std::swap(order[i], order[below(i + 1, words[half], words[half + 1])]);
  }
}

}  // namespace

Dataset randomize_labels(const Dataset& dataset, const RandomLabels& options) {
  check_dataset("randomize_labels", dataset);
  check_indices("randomize_labels", dataset, 0);
  check(options.probability >= 0 && options.probability <= 1, "randomize_labels: probability is ",
        options.probability, ", expected 0 to 1");
  check(dataset.classes >= 1 && dataset.classes <= std::numeric_limits<std::int32_t>::max(),
        "randomize_labels: the data set has ", dataset.classes, " classes");
  const auto classes = static_cast<std::uint32_t>(dataset.classes);
  std::vector<std::int32_t> labels = dataset.labels.values<std::int32_t>();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto index = static_cast<std::uint32_t>(i);
    const Words4 choice = random_words({options.seed, Stream::corrupt_choice}, index);
    // u < p for u in [0, 1): never for p = 0, always for p = 1.
    if (uniform_double(choice[0], choice[1]) >= options.probability) continue;
    const Words4 words = random_words({options.seed, Stream::corrupt_label}, index);
    labels[i] = static_cast<std::int32_t>(below(classes, words[0], words[1]));
  }
  Dataset result = dataset;
  result.name += text("; random labels p=", options.probability, " seed=", options.seed);
  result.labels = Tensor::from(labels, dataset.labels.shape(), dataset.labels.device());
  if (!dataset.true_labels.defined()) result.true_labels = dataset.labels;
  return result;
}

Dataset shuffle_pixels(const Dataset& dataset, std::uint64_t seed) {
  check_dataset("shuffle_pixels", dataset);
  const Shape& shape = dataset.images.shape();
  const std::vector<std::int64_t> order = random_permutation(
      {seed, Stream::pixel_permutation, shared_permutation}, shape[1] * shape[2]);
  const std::size_t pixel = std::size_t(shape[3]) * size_of(dataset.images.dtype());
  Dataset result = with_images(
      dataset, shape, dataset.images.dtype(), [&](std::int64_t, const std::byte* x, std::byte* y) {
        for (std::size_t p = 0; p < order.size(); ++p) {
          move_pixel(y + p * pixel, x + std::size_t(order[p]) * pixel, pixel);
        }
      });
  result.name += text("; shuffled pixels seed=", seed);
  return result;
}

Dataset random_pixels(const Dataset& dataset, std::uint64_t seed, std::int64_t first_index) {
  check_dataset("random_pixels", dataset);
  check_indices("random_pixels", dataset, first_index);
  const Shape& shape = dataset.images.shape();
  check(shape[1] * shape[2] <= std::numeric_limits<std::uint32_t>::max(),
        "random_pixels: images of ", shape.str(), " have too many pixels");
  const auto positions = std::size_t(shape[1] * shape[2]);
  const std::size_t pixel = std::size_t(shape[3]) * size_of(dataset.images.dtype());
  Dataset result =
      with_images(dataset, shape, dataset.images.dtype(),
                  [&](std::int64_t i, const std::byte* x, std::byte* y) {
                    std::vector<std::uint32_t> order(positions);
                    permute_for_image(seed, static_cast<std::uint32_t>(first_index + i), order);
                    for (std::size_t p = 0; p < positions; ++p) {
                      move_pixel(y + p * pixel, x + std::size_t(order[p]) * pixel, pixel);
                    }
                  });
  result.name += text("; random pixels seed=", seed);
  return result;
}

PixelStatistics pixel_statistics(const Dataset& dataset) {
  check_dataset("pixel_statistics", dataset);
  const Tensor x = dataset.images.to(Device::cpu()).packed();
  const auto channels = std::size_t(x.dim(3));
  const auto n = std::int64_t(x.dim(0));
  const std::int64_t values = x.dim(1) * x.dim(2) * x.dim(3);
  check(x.numel() > 0, "pixel_statistics: ", dataset.name, " has no pixels");

  // Sums of each block of images, added in order: the same for any number of threads. They are
  // exact for uint8 images, whose sums of squares stay below 2^53.
  const std::int64_t blocks = (n + grain - 1) / grain;
  std::vector<double> sums(std::size_t(blocks) * channels), squares(sums.size());
  const auto add = [&](const auto* pixels) {
    cpu_context().parallel(blocks, [&](std::int64_t block) {
      double* sum = sums.data() + std::size_t(block) * channels;
      double* square = squares.data() + std::size_t(block) * channels;
      const std::int64_t end = std::min(n, (block + 1) * grain) * values;
      for (std::int64_t i = block * grain * values; i < end; i += std::int64_t(channels)) {
        for (std::size_t c = 0; c < channels; ++c) {
          const double value = double(pixels[i + std::int64_t(c)]);
          sum[c] += value;
          square[c] += value * value;
        }
      }
    });
  };
  const bool bytes = x.dtype() == DType::uint8;
  if (bytes)
    add(x.data<std::uint8_t>());
  else
    add(x.data<float>());

  PixelStatistics statistics;
  const double count = double(x.numel()) / double(channels);
  const double scale = bytes ? 255 : 1;
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0, square = 0;
    for (std::size_t block = 0; block < std::size_t(blocks); ++block) {
      sum += sums[block * channels + c];
      square += squares[block * channels + c];
    }
    const double mean = sum / count;
    const double variance = std::max(0.0, square / count - mean * mean);
    statistics.mean.push_back(mean / scale);
    statistics.deviation.push_back(std::sqrt(variance) / scale);
  }
  return statistics;
}

Dataset gaussian_pixels(const Dataset& dataset, const PixelStatistics& statistics,
                        std::uint64_t seed, std::int64_t first_index) {
  check_dataset("gaussian_pixels", dataset);
  check_indices("gaussian_pixels", dataset, first_index);
  const Shape& shape = dataset.images.shape();
  const auto channels = std::size_t(shape[3]);
  check(statistics.mean.size() == channels && statistics.deviation.size() == channels,
        "gaussian_pixels: statistics of ", statistics.mean.size(), " means and ",
        statistics.deviation.size(), " deviations, the images have ", channels, " channels");
  const auto values = static_cast<std::uint32_t>(shape[1] * shape[2] * shape[3]);
  const RandomKey key{seed, Stream::pixel_noise};
  Dataset result = with_images(
      dataset, shape, DType::float32, [&](std::int64_t i, const std::byte*, std::byte* result_) {
        auto* y = reinterpret_cast<float*>(result_);
        const auto index = static_cast<std::uint32_t>(first_index + i);
        for (std::uint32_t k = 0; k < values; k += 2) {
          const auto [even, odd] = kernels::normal_pair(random_words(key, index, k / 2));
          const auto value = [&](std::uint32_t place, double normal) {
            const std::size_t c = place % channels;
            return static_cast<float>(statistics.mean[c] + statistics.deviation[c] * normal);
          };
          y[k] = value(k, even);
          if (k + 1 < values) y[k + 1] = value(k + 1, odd);
        }
      });
  result.name += text("; gaussian seed=", seed);
  return result;
}

Dataset center_crop(const Dataset& dataset, std::int64_t size) {
  check_dataset("center_crop", dataset);
  const Shape& shape = dataset.images.shape();
  check(size >= 1 && size <= shape[1] && size <= shape[2], "center_crop: size is ", size,
        ", the images are ", shape[1], " x ", shape[2]);
  const std::int64_t top = (shape[1] - size) / 2, left = (shape[2] - size) / 2;
  const std::size_t pixel = std::size_t(shape[3]) * size_of(dataset.images.dtype());
  Dataset result =
      with_images(dataset, {shape[0], size, size, shape[3]}, dataset.images.dtype(),
                  [&](std::int64_t, const std::byte* x, std::byte* y) {
                    const std::size_t row = std::size_t(size) * pixel;
                    for (std::int64_t h = 0; h < size; ++h) {
                      std::memcpy(y + std::size_t(h) * row,
                                  x + std::size_t((h + top) * shape[2] + left) * pixel, row);
                    }
                  });
  result.name += text("; crop ", size);
  return result;
}

const char* name_of(Corruption corruption) {
  switch (corruption) {
    case Corruption::none: return "true-labels";
    case Corruption::partial_labels: return "partially-corrupted-labels";
    case Corruption::random_labels: return "random-labels";
    case Corruption::shuffled_pixels: return "shuffled-pixels";
    case Corruption::random_pixels: return "random-pixels";
    case Corruption::gaussian: return "gaussian";
  }
  return "?";
}

Corruption corruption_from_name(const std::string& name) {
  std::string names;
  for (const Corruption corruption :
       {Corruption::none, Corruption::partial_labels, Corruption::random_labels,
        Corruption::shuffled_pixels, Corruption::random_pixels, Corruption::gaussian}) {
    if (name == name_of(corruption)) return corruption;
    names += text(names.empty() ? "" : ", ", name_of(corruption));
  }
  fail(ErrorKind::usage, "unknown corruption \"", name, "\", expected one of ", names);
}

TrainTest corrupt(const TrainTest& data, const CorruptionOptions& options) {
  TrainTest result = data;
  if (options.crop > 0) {
    result = {center_crop(data.train, options.crop), center_crop(data.test, options.crop)};
  }
  // Draws for the test set begin behind those for the training set.
  const std::int64_t behind = data.train.size();
  const std::uint64_t seed = options.seed;
  switch (options.corruption) {
    case Corruption::none: break;
    case Corruption::partial_labels:
    case Corruption::random_labels: {
      const double p = options.corruption == Corruption::random_labels ? 1.0 : options.probability;
      result.train = randomize_labels(result.train, {p, seed});
      if (options.corrupt_test_labels) {
        result.test = randomize_labels(result.test, {p, derive_seed(seed, "test labels")});
      }
      break;
    }
    case Corruption::shuffled_pixels:
      result = {shuffle_pixels(result.train, seed), shuffle_pixels(result.test, seed)};
      break;
    case Corruption::random_pixels:
      result = {random_pixels(result.train, seed), random_pixels(result.test, seed, behind)};
      break;
    case Corruption::gaussian: {
      const PixelStatistics statistics = pixel_statistics(result.train);
      result = {gaussian_pixels(result.train, statistics, seed),
                gaussian_pixels(result.test, statistics, seed, behind)};
      break;
    }
  }
  return result;
}

}  // namespace shatter::data
