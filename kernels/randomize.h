// The randomization tests' corruptions of a data set: labels drawn anew, pixels moved, pixels
// drawn. Every device gives the same bits. Images are NHWC and packed; an image's number and a
// draw's place name its random numbers, so nothing depends on the other images or the order of
// work.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/philox.h>

namespace shatter::kernels {

/// y[i] = labels[i], but below(classes, w0, w1) of random_words({seed, corrupt_label}, i) where
/// uniform_double(w0, w1) of random_words({seed, corrupt_choice}, i) is below `probability`.
void randomize_labels(CpuContext& context, std::uint64_t seed, double probability,
                      std::uint32_t classes, std::int64_t n, const std::int32_t* labels,
                      std::int32_t* y);
void randomize_labels(CudaContext& context, std::uint64_t seed, double probability,
                      std::uint32_t classes, std::int64_t n, const std::int32_t* labels,
                      std::int32_t* y);

/// Images whose pixels are moved whole.
struct PixelGeometry {
  std::int64_t n = 0;
  std::int64_t x_pixels = 0, y_pixels = 0;  ///< of an image before and after
  std::int64_t bytes = 0;                   ///< of a pixel, all its channels
};

/// Pixel p of each image of y is pixel order[p] of the same image of x.
void move_pixels(CpuContext& context, const PixelGeometry& g, const std::int32_t* order,
                 const std::uint8_t* x, std::uint8_t* y);
void move_pixels(CudaContext& context, const PixelGeometry& g, const std::int32_t* order,
                 const std::uint8_t* x, std::uint8_t* y);

/// The same with an order of its own for every image (x_pixels = y_pixels, below 2^31): of image i
/// Fisher-Yates from the identity, for p = pixels - 1 .. 1 swapping places p and below(p + 1, w0,
/// w1), words 0 and 1 (even p) or 2 and 3 (odd p) of random_words({seed, pixel_permutation, 1},
/// first_image + i, p / 2).
void permute_pixels(CpuContext& context, std::uint64_t seed, std::uint32_t first_image,
                    const PixelGeometry& g, const std::uint8_t* x, std::uint8_t* y);
void permute_pixels(CudaContext& context, std::uint64_t seed, std::uint32_t first_image,
                    const PixelGeometry& g, const std::uint8_t* x, std::uint8_t* y);

/// Sums of x [pixels, c] and of its squares for each channel; sums and squares [c] lie on the host.
void channel_sums(CpuContext& context, std::int64_t pixels, std::int64_t c, const std::uint8_t* x,
                  std::uint64_t* sums, std::uint64_t* squares);
void channel_sums(CudaContext& context, std::int64_t pixels, std::int64_t c, const std::uint8_t* x,
                  std::uint64_t* sums, std::uint64_t* squares);

/// Images of independent normal values.
struct NoiseGeometry {
  std::int64_t n = 0;
  std::uint32_t values = 0;  ///< of an image, channels fastest
  std::uint32_t c = 0;
};

/// y [n, values]: value k of image i is mean[k % c] + deviation[k % c] * z in double, z part k % 2
/// of normal_pair(random_words({seed, pixel_noise}, first_image + i, k / 2)). mean and deviation
/// [c] lie on the host.
void fill_noise(CpuContext& context, std::uint64_t seed, std::uint32_t first_image,
                const NoiseGeometry& g, const double* mean, const double* deviation, float* y);
/// A GPU's logarithm and cosine differ from the host's in their last places. Where that could
/// change the float, where the double lies within `slack` * (|mean| + |deviation * z|) of a
/// rounding boundary, the host computes it.
void fill_noise(CudaContext& context, std::uint64_t seed, std::uint32_t first_image,
                const NoiseGeometry& g, const double* mean, const double* deviation, float* y,
                double slack = 0x1p-48);

}  // namespace shatter::kernels
