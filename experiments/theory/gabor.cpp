// Gabor features by the library's convolution.
#include <shatter/experiments/theory/gabor.h>

#include <cmath>
#include <complex>
#include <numbers>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

GaborFilters gabor_filters(const GaborBank& bank) {
  check(!bank.wavelengths.empty() && bank.orientations >= 1 && bank.pool >= 1 && bank.stride >= 1,
        "gabor: a bank needs wavelengths, orientations, a window and a stride");
  std::int64_t largest = 0;
  for (const double length : bank.wavelengths) {
    check(length >= 2 && length <= 64, "gabor: wavelength ", length, "; give 2 to 64 pixels");
    largest = std::max(largest, std::int64_t(std::ceil(1.5 * length)));
  }
  GaborFilters result{
      std::int64_t(bank.wavelengths.size()) * bank.orientations, 2 * largest + 1, {}};
  const std::int64_t size = result.size;
  result.values.assign(std::size_t(result.filters * 2 * size * size), 0);
  double* part = result.values.data();
  for (const double length : bank.wavelengths) {
    const double sigma = length / 2;
    const auto radius = std::int64_t(std::ceil(3 * sigma));
    for (int k = 0; k < bank.orientations; ++k, part += 2 * size * size) {
      const double direction = std::numbers::pi * k / bank.orientations;
      const auto each = [&](auto&& body) {
        for (std::int64_t y = -radius; y <= radius; ++y)
          for (std::int64_t x = -radius; x <= radius; ++x) {
            const double phase =
                2 * std::numbers::pi / length *
                (double(x) * std::cos(direction) + double(y) * std::sin(direction));
            const double envelope = std::exp(-double(x * x + y * y) / (2 * sigma * sigma));
            body((y + largest) * size + x + largest, envelope, std::polar(1., phase));
          }
      };
      std::complex<double> waves = 0;
      double envelopes = 0, length_1 = 0;
      each([&](std::int64_t, double envelope, std::complex<double> wave) {
        waves += envelope * wave;
        envelopes += envelope;
      });
      const std::complex<double> mean = waves / envelopes;
      each([&](std::int64_t, double envelope, std::complex<double> wave) {
        length_1 += std::abs(envelope * (wave - mean));
      });
      each([&](std::int64_t at, double envelope, std::complex<double> wave) {
        const std::complex<double> value = envelope * (wave - mean) / length_1;
        part[at] = value.real();
        part[size * size + at] = value.imag();
      });
    }
  }
  return result;
}

Features gabor_features(CpuContext& context, const data::Dataset& dataset, const GaborBank& bank) {
  const GaborFilters filters = gabor_filters(bank);
  const Features images = pixels(dataset);
  check(images.n > 0, "gabor: no images");
  const std::int64_t h = dataset.images.dim(1), w = dataset.images.dim(2);
  const std::int64_t colors = dataset.images.dim(3);
  check(h >= bank.pool && w >= bank.pool, "gabor: windows of ", bank.pool, " on images of ", h,
        " x ", w);
  const std::int64_t rows = (h - bank.pool) / bank.stride + 1;
  const std::int64_t columns = (w - bank.pool) / bank.stride + 1;
  const std::int64_t maps = 2 * filters.filters, reach = filters.size / 2;
  const std::vector<float> weights(filters.values.begin(), filters.values.end());
  Features features{images.n, rows * columns * filters.filters, {}};
  features.values.resize(std::size_t(features.n * features.d));

  const std::int64_t chunk = 64;  // images at a time: their responses stay in the cache
  std::vector<float> gray(std::size_t(chunk * h * w)), responses(std::size_t(chunk * h * w * maps));
  for (std::int64_t first = 0; first < images.n; first += chunk) {
    const std::int64_t count = std::min(chunk, images.n - first);
    for (std::int64_t p = 0; p < count * h * w; ++p) {
      float sum = 0;
      for (std::int64_t c = 0; c < colors; ++c) sum += images.row(first)[p * colors + c];
      gray[std::size_t(p)] = sum / float(colors);
    }
    const Windows windows{count,        h, w, filters.size,
                          filters.size, 1, 1, {reach, reach, reach, reach}};
    kernels::conv2d_forward(context, Conv2dGeometry{windows, 1, maps}, gray.data(), weights.data(),
                            static_cast<const float*>(nullptr), responses.data());
    context.parallel(count, [&](std::int64_t image) {
      const float* const response = responses.data() + image * h * w * maps;
      float* out = features.values.data() + (first + image) * features.d;
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t column = 0; column < columns; ++column)
          for (std::int64_t f = 0; f < filters.filters; ++f) {
            float sum = 0;
            for (std::int64_t y = row * bank.stride; y < row * bank.stride + bank.pool; ++y)
              for (std::int64_t x = column * bank.stride; x < column * bank.stride + bank.pool;
                   ++x) {
                const float* const wave = response + (y * w + x) * maps + 2 * f;
                sum += std::sqrt(wave[0] * wave[0] + wave[1] * wave[1]);
              }
            *out++ = sum / float(bank.pool * bank.pool);
          }
    });
  }
  return features;
}

}  // namespace shatter::experiments
