// The randomization tests' corruptions.
#include <cstring>
#include <utility>
#include <vector>

#include <shatter/kernels/randomize_math.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

/// Images a thread takes at once.
constexpr std::int64_t grain = 64;

/// One pixel to another image's place, whatever its size.
void move_pixel(std::uint8_t* y, const std::uint8_t* x, std::size_t bytes) {
  if (bytes == 3)
    std::memcpy(y, x, 3);  // the usual sizes, without a call
  else if (bytes == 1)
    *y = *x;
  else
    std::memcpy(y, x, bytes);
}

template <class Order>
void move_image(const PixelGeometry& g, const Order* order, std::int64_t image,
                const std::uint8_t* x, std::uint8_t* y) {
  x += image * g.x_pixels * g.bytes;
  y += image * g.y_pixels * g.bytes;
  for (std::int64_t p = 0; p < g.y_pixels; ++p)
    move_pixel(y + p * g.bytes, x + std::int64_t{order[p]} * g.bytes, std::size_t(g.bytes));
}

}  // namespace

void randomize_labels(CpuContext& context, std::uint64_t seed, double probability,
                      std::uint32_t classes, std::int64_t n, const std::int32_t* labels,
                      std::int32_t* y) {
  const ProfileScope scope(context, "randomize_labels", randomize_labels_work(n));
  context.parallel_for(n, 4096, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      y[i] = randomized_label(seed, probability, classes, static_cast<std::uint32_t>(i), labels[i]);
  });
}

void move_pixels(CpuContext& context, const PixelGeometry& g, const std::int32_t* order,
                 const std::uint8_t* x, std::uint8_t* y) {
  const ProfileScope scope(context, "move_pixels", pixels_work(g));
  context.parallel_for(g.n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) move_image(g, order, i, x, y);
  });
}

void permute_pixels(CpuContext& context, std::uint64_t seed, std::uint32_t first_image,
                    const PixelGeometry& g, const std::uint8_t* x, std::uint8_t* y) {
  const ProfileScope scope(context, "permute_pixels", pixels_work(g));
  context.parallel_for(g.n, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::uint32_t> order(static_cast<std::size_t>(g.y_pixels));
    for (std::int64_t i = begin; i < end; ++i) {
      for (std::size_t p = 0; p < order.size(); ++p) order[p] = static_cast<std::uint32_t>(p);
      SwapPair to{};
      for (auto p = static_cast<std::uint32_t>(order.size()); p-- > 1;) {
        const bool odd = p % 2 != 0, last = p + 1 == order.size();
        if (odd || last) to = swap_pair(seed, first_image + static_cast<std::uint32_t>(i), p / 2);
        std::swap(order[p], order[odd ? to.odd : to.even]);
      }
      move_image(g, order.data(), i, x, y);
    }
  });
}

void channel_sums(CpuContext& context, std::int64_t pixels, std::int64_t c, const std::uint8_t* x,
                  std::uint64_t* sums, std::uint64_t* squares) {
  const ProfileScope scope(context, "channel_sums", channel_sums_work(pixels, c));
  constexpr std::int64_t pixels_at_once = 1 << 16;
  const std::int64_t chunks = (pixels + pixels_at_once - 1) / pixels_at_once;
  std::vector<std::uint64_t> parts(static_cast<std::size_t>(2 * c * chunks));
  context.parallel(chunks, [&](std::int64_t chunk) {
    std::uint64_t* const part = parts.data() + 2 * c * chunk;
    const std::int64_t end = std::min(pixels, (chunk + 1) * pixels_at_once);
    for (std::int64_t p = chunk * pixels_at_once; p < end; ++p) {
      for (std::int64_t k = 0; k < c; ++k) {
        const std::uint64_t value = x[p * c + k];
        part[k] += value;
        part[c + k] += value * value;
      }
    }
  });
  for (std::int64_t k = 0; k < c; ++k) {
    sums[k] = squares[k] = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      sums[k] += parts[static_cast<std::size_t>(2 * c * chunk + k)];
      squares[k] += parts[static_cast<std::size_t>(2 * c * chunk + c + k)];
    }
  }
}

void fill_noise(CpuContext& context, std::uint64_t seed, std::uint32_t first_image,
                const NoiseGeometry& g, const double* mean, const double* deviation, float* y) {
  const ProfileScope scope(context, "fill_noise", noise_work(g));
  context.parallel_for(g.n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* const image = y + i * g.values;
      for (std::uint32_t k = 0; k < g.values; k += 2) {
        const NormalPair z = noise_pair(seed, first_image + static_cast<std::uint32_t>(i), k / 2);
        const auto value = [&](std::uint32_t place, double normal) {
          return static_cast<float>(mean[place % g.c] + deviation[place % g.c] * normal);
        };
        image[k] = value(k, z.first);
        if (k + 1 < g.values) image[k + 1] = value(k + 1, z.second);
      }
    }
  });
}

}  // namespace shatter::kernels
