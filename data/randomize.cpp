// The randomization tests' corruptions, on the device where the images are. Draws depend on (seed,
// image index) only, never on the device, the other images, the threads or the order of work.
#include <shatter/data/randomize.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <shatter/core/dispatch.h>
#include <shatter/core/random.h>
#include <shatter/kernels/randomize.h>

namespace shatter::data {
namespace {

/// The epoch of the key of the permutation that all images share.
constexpr std::uint32_t shared_permutation = 0;

/// Image indices must fit the generator's 32-bit counter, or two images would share draws.
void check_indices(const char* op, const Dataset& dataset, std::int64_t first_index) {
  check(first_index >= 0 && first_index <= std::int64_t{1} << 31 &&
            dataset.size() <= std::int64_t{1} << 31,
        op, ": first index ", first_index, " and ", dataset.size(),
        " images, each must be 0 to 2^31");
}

/// The bytes of an image's pixels, whatever their type.
std::uint8_t* bytes_of(const Tensor& images) {
  return reinterpret_cast<std::uint8_t*>(images.raw());
}

kernels::PixelGeometry pixel_geometry(const Tensor& x, std::int64_t y_pixels) {
  return {.n = x.dim(0),
          .x_pixels = x.dim(1) * x.dim(2),
          .y_pixels = y_pixels,
          .bytes = x.dim(3) * std::int64_t(size_of(x.dtype()))};
}

/// The data set with images of h x w pixels, of which each is the pixel at its place in `order` of
/// the same image before.
Dataset with_pixels_at(const Dataset& dataset, std::int64_t h, std::int64_t w,
                       const std::vector<std::int32_t>& order) {
  const Tensor x = dataset.images.packed();
  const Tensor y = Tensor::empty({x.dim(0), h, w, x.dim(3)}, x.dtype(), x.device());
  const Tensor places = Tensor::from(order, {std::int64_t(order.size())}, x.device());
  on(x.device(), [&](auto& context) {
    kernels::move_pixels(context, pixel_geometry(x, h * w), places.data<std::int32_t>(),
                         bytes_of(x), bytes_of(y));
  });
  Dataset result = dataset;
  result.images = y;
  return result;
}

/// Sums of each channel of x and of its squares, of blocks of images in order: the same for any
/// number of threads.
void add_floats(const Tensor& x, std::vector<double>& sums, std::vector<double>& squares) {
  constexpr std::int64_t images_at_once = 64;
  const std::int64_t n = x.dim(0), values = x.dim(1) * x.dim(2) * x.dim(3);
  const std::size_t channels = sums.size();
  const std::int64_t blocks = (n + images_at_once - 1) / images_at_once;
  std::vector<double> parts(std::size_t(2 * blocks) * channels);
  cpu_context().parallel(blocks, [&](std::int64_t block) {
    double* const sum = parts.data() + std::size_t(2 * block) * channels;
    double* const square = sum + channels;
    const float* const pixels = x.data<float>();
    const std::int64_t end = std::min(n, (block + 1) * images_at_once) * values;
    for (std::int64_t i = block * images_at_once * values; i < end; i += std::int64_t(channels)) {
      for (std::size_t c = 0; c < channels; ++c) {
        const double value = double(pixels[i + std::int64_t(c)]);
        sum[c] += value;
        square[c] += value * value;
      }
    }
  });
  for (std::size_t block = 0; block < std::size_t(blocks); ++block) {
    for (std::size_t c = 0; c < channels; ++c) {
      sums[c] += parts[2 * block * channels + c];
      squares[c] += parts[(2 * block + 1) * channels + c];
    }
  }
}

/// As check_images, and with pixels that can change places.
void check_pixels(const char* op, const Dataset& dataset) {
  check_images(op, dataset);
  check(dataset.images.dim(1) * dataset.images.dim(2) > 1, op, ": images of ", dataset.name,
        " have one pixel, which cannot change its place");
}

}  // namespace

Dataset randomize_labels(const Dataset& dataset, const RandomLabels& options) {
  check_dataset("randomize_labels", dataset);
  check(dataset.labels.dtype() == DType::int32, "randomize_labels: ", dataset.name, " has targets ",
        dataset.labels.str(), ", expected classes");
  check_indices("randomize_labels", dataset, 0);
  check(options.probability >= 0 && options.probability <= 1, "randomize_labels: probability is ",
        options.probability, ", expected 0 to 1");
  check(dataset.classes >= 1 && dataset.classes <= std::numeric_limits<std::int32_t>::max(),
        "randomize_labels: the data set has ", dataset.classes, " classes");
  const Tensor labels = dataset.labels.packed();
  const Tensor y = Tensor::empty(labels.shape(), DType::int32, labels.device());
  on(labels.device(), [&](auto& context) {
    kernels::randomize_labels(context, options.seed, options.probability,
                              static_cast<std::uint32_t>(dataset.classes), labels.numel(),
                              labels.data<std::int32_t>(), y.data<std::int32_t>());
  });
  Dataset result = dataset;
  result.name += text("; random labels p=", options.probability, " seed=", options.seed);
  result.labels = y;
  if (!dataset.true_labels.defined()) result.true_labels = dataset.labels;
  return result;
}

Dataset shuffle_pixels(const Dataset& dataset, std::uint64_t seed) {
  check_pixels("shuffle_pixels", dataset);
  const Shape& shape = dataset.images.shape();
  const std::vector<std::int64_t> order = random_permutation(
      {seed, Stream::pixel_permutation, shared_permutation}, shape[1] * shape[2]);
  Dataset result = with_pixels_at(dataset, shape[1], shape[2], {order.begin(), order.end()});
  result.name += text("; shuffled pixels seed=", seed);
  return result;
}

Dataset random_pixels(const Dataset& dataset, std::uint64_t seed, std::int64_t first_index) {
  check_pixels("random_pixels", dataset);
  check_indices("random_pixels", dataset, first_index);
  const Shape& shape = dataset.images.shape();
  check(shape[1] * shape[2] <= std::numeric_limits<std::int32_t>::max(),
        "random_pixels: images of ", shape.str(), " have too many pixels");
  const Tensor x = dataset.images.packed();
  const Tensor y = Tensor::empty(shape, x.dtype(), x.device());
  on(x.device(), [&](auto& context) {
    kernels::permute_pixels(context, seed, static_cast<std::uint32_t>(first_index),
                            pixel_geometry(x, shape[1] * shape[2]), bytes_of(x), bytes_of(y));
  });
  Dataset result = dataset;
  result.images = y;
  result.name += text("; random pixels seed=", seed);
  return result;
}

PixelStatistics pixel_statistics(const Dataset& dataset) {
  check_images("pixel_statistics", dataset);
  const Tensor x = dataset.images.packed();
  const auto channels = std::size_t(x.dim(3));
  check(x.numel() > 0, "pixel_statistics: ", dataset.name, " has no pixels");
  const std::int64_t pixels = x.numel() / x.dim(3);
  std::vector<double> sums(channels), squares(channels);
  const bool bytes = x.dtype() == DType::uint8;
  if (bytes) {
    // Exact as integers, and as doubles too: they stay below 2^53.
    std::vector<std::uint64_t> sum(channels), square(channels);
    on(x.device(), [&](auto& context) {
      kernels::channel_sums(context, pixels, x.dim(3), x.data<std::uint8_t>(), sum.data(),
                            square.data());
    });
    for (std::size_t c = 0; c < channels; ++c)
      sums[c] = double(sum[c]), squares[c] = double(square[c]);
  } else {
    add_floats(x.to(Device::cpu()), sums, squares);
  }
  PixelStatistics statistics;
  const double scale = bytes ? 255 : 1;
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = sums[c] / double(pixels);
    const double variance = std::max(0.0, squares[c] / double(pixels) - mean * mean);
    statistics.mean.push_back(mean / scale);
    statistics.deviation.push_back(std::sqrt(variance) / scale);
  }
  return statistics;
}

Dataset gaussian_pixels(const Dataset& dataset, const PixelStatistics& statistics,
                        std::uint64_t seed, std::int64_t first_index) {
  check_images("gaussian_pixels", dataset);
  check_indices("gaussian_pixels", dataset, first_index);
  const Shape& shape = dataset.images.shape();
  const auto channels = std::size_t(shape[3]);
  check(statistics.mean.size() == channels && statistics.deviation.size() == channels,
        "gaussian_pixels: statistics of ", statistics.mean.size(), " means and ",
        statistics.deviation.size(), " deviations, the images have ", channels, " channels");
  const kernels::NoiseGeometry g{
      .n = dataset.size(),
      .values = static_cast<std::uint32_t>(shape[1] * shape[2] * shape[3]),
      .c = static_cast<std::uint32_t>(channels)};
  const Tensor y = Tensor::empty(shape, DType::float32, dataset.images.device());
  on(y.device(), [&](auto& context) {
    kernels::fill_noise(context, seed, static_cast<std::uint32_t>(first_index), g,
                        statistics.mean.data(), statistics.deviation.data(), y.data<float>());
  });
  Dataset result = dataset;
  result.images = y;
  result.name += text("; gaussian seed=", seed);
  return result;
}

Dataset center_crop(const Dataset& dataset, std::int64_t size) {
  check_images("center_crop", dataset);
  const Shape& shape = dataset.images.shape();
  check(size >= 1 && size <= shape[1] && size <= shape[2], "center_crop: size is ", size,
        ", the images are ", shape[1], " x ", shape[2]);
  const std::int64_t top = (shape[1] - size) / 2, left = (shape[2] - size) / 2;
  std::vector<std::int32_t> order;
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < size; ++j)
      order.push_back(std::int32_t((i + top) * shape[2] + left + j));
  }
  Dataset result = with_pixels_at(dataset, size, size, order);
  result.name += text("; crop ", size);
  return result;
}

}  // namespace shatter::data
