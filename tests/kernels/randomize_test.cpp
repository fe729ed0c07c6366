// The corruptions as kernels: against their definitions, on every device, to the bit.
#include <shatter/kernels/functions.h>
#include <shatter/kernels/randomize.h>

#include <cmath>
#include <numeric>

#include "tests/support/catch.h"
#include "tests/support/devices.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

std::vector<std::uint8_t> bytes(std::int64_t n) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] =
        static_cast<std::uint8_t>(random_words({5}, static_cast<std::uint32_t>(i))[0] >> 24);
  return values;
}

/// What y's images are when pixel p of image i is pixel order(i)[p] of x.
template <class Order>
std::vector<std::uint8_t> moved(const PixelGeometry& g, const std::vector<std::uint8_t>& x,
                                Order order) {
  std::vector<std::uint8_t> y;
  for (std::int64_t i = 0; i < g.n; ++i)
    for (const std::int64_t from : order(i))
      for (std::int64_t k = 0; k < g.bytes; ++k)
        y.push_back(x[static_cast<std::size_t>((i * g.x_pixels + from) * g.bytes + k)]);
  return y;
}

}  // namespace

TEST_CASE("randomize_labels draws each label from its own number") {
  for (const std::int64_t n : {0, 1, 257, 5000})
    for (const double p : {0.0, 0.3, 1.0})
      on_devices([&](auto& on) {
        std::vector<std::int32_t> labels(static_cast<std::size_t>(n));
        for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = std::int32_t(i % 7);
        std::int32_t* const y = on.template make<std::int32_t>(n);
        randomize_labels(on.context, 9, p, 7, n, on.put(labels), y);
        const std::vector<std::int32_t> result = on.result(y);
        for (std::size_t i = 0; i < labels.size(); ++i) {
          const auto index = static_cast<std::uint32_t>(i);
          const Words4 choice = random_words({9, Stream::corrupt_choice}, index);
          const Words4 label = random_words({9, Stream::corrupt_label}, index);
          const bool drawn = uniform_double(choice[0], choice[1]) < p;
          REQUIRE(result[i] == (drawn ? std::int32_t(below(7, label[0], label[1])) : labels[i]));
        }
      });
}

TEST_CASE("move_pixels takes whole pixels from their places") {
  for (const std::int64_t size : {1, 3, 4, 12})
    for (const std::int64_t n : {0, 1, 70}) {
      const PixelGeometry g{.n = n, .x_pixels = 35, .y_pixels = 20, .bytes = size};
      std::vector<std::int32_t> order(20);
      for (std::size_t p = 0; p < order.size(); ++p) order[p] = std::int32_t(p * 13 % 35);
      const std::vector<std::uint8_t> x = bytes(n * 35 * size);
      on_devices([&](auto& on) {
        std::uint8_t* const y = on.template make<std::uint8_t>(n * 20 * size);
        move_pixels(on.context, g, on.put(order), on.put(x), y);
        REQUIRE(on.result(y) == moved(g, x, [&](std::int64_t) { return order; }));
      });
    }
}

TEST_CASE("permute_pixels shuffles every image in its own order") {
  const auto compare = [](std::int64_t n, std::int64_t pixels, std::int64_t size) {
    const PixelGeometry g{.n = n, .x_pixels = pixels, .y_pixels = pixels, .bytes = size};
    const std::vector<std::uint8_t> x = bytes(n * pixels * size);
    const auto expected = moved(g, x, [&](std::int64_t image) {
      std::vector<std::int64_t> order(static_cast<std::size_t>(pixels));
      std::iota(order.begin(), order.end(), 0);
      for (std::int64_t p = pixels - 1; p > 0; --p) {
        const Words4 w =
            random_words({3, Stream::pixel_permutation, 1}, static_cast<std::uint32_t>(11 + image),
                         static_cast<std::uint32_t>(p / 2));
        const std::size_t half = p % 2 ? 2 : 0;
        std::swap(order[static_cast<std::size_t>(p)],
                  order[below(static_cast<std::uint32_t>(p + 1), w[half], w[half + 1])]);
      }
      return order;
    });
    on_devices([&](auto& on) {
      std::uint8_t* const y = on.template make<std::uint8_t>(n * pixels * size);
      permute_pixels(on.context, 3, 11, g, on.put(x), y);
      REQUIRE(on.result(y) == expected);
    });
  };
  for (const std::int64_t pixels : {0, 1, 2, 3, 64, 511, 784}) compare(5, pixels, 3);
  compare(0, 4, 1);
  compare(70, 16, 12);
  compare(2, 100 * 100, 3);  // more than shared memory holds
}

TEST_CASE("channel_sums are exact") {
  for (const std::int64_t pixels : {1, 255, 70001})
    for (const std::int64_t c : {1, 3}) {
      const std::vector<std::uint8_t> x = bytes(pixels * c);
      std::vector<std::uint64_t> sums(3), squares(3);
      for (std::size_t i = 0; i < x.size(); ++i) {
        sums[i % std::size_t(c)] += x[i];
        squares[i % std::size_t(c)] += std::uint64_t{x[i]} * x[i];
      }
      on_devices([&](auto& on) {
        std::vector<std::uint64_t> sum(3), square(3);
        channel_sums(on.context, pixels, c, on.put(x), sum.data(), square.data());
        REQUIRE(sum == sums);
        REQUIRE(square == squares);
      });
    }
}

TEST_CASE("fill_noise draws normal values, whatever is left to the host") {
  const std::vector<double> mean{0.5, -1.25, 0}, deviation{0.25, 2, 0};
  for (const auto& [n, values] : {std::pair{0, 6u}, {3, 1u}, {40, 75u}, {7, 784u}}) {
    const NoiseGeometry g{.n = n, .values = values, .c = values % 3 == 0 ? 3u : 1u};
    std::vector<float> expected;
    for (std::uint32_t i = 0; i < std::uint32_t(n); ++i)
      for (std::uint32_t k = 0; k < values; ++k) {
        const NormalPair z = normal_pair(random_words({4, Stream::pixel_noise}, 100 + i, k / 2));
        const volatile double scaled = deviation[k % g.c] * (k % 2 ? z.second : z.first);
        expected.push_back(static_cast<float>(mean[k % g.c] + scaled));
      }
    on_devices([&]<class Context>(On<Context>& on) {
      float* const y = on.template make<float>(std::int64_t(expected.size()));
      fill_noise(on.context, 4, 100, g, mean.data(), deviation.data(), y);
      REQUIRE(on.result(y) == expected);
      if constexpr (std::is_same_v<Context, CudaContext>)
        for (const double slack :
             {0x1p-28, 1.0}) {  // some values open, more than there is room for
          float* const z = on.template make<float>(std::int64_t(expected.size()));
          fill_noise(on.context, 4, 100, g, mean.data(), deviation.data(), z, slack);
          REQUIRE(on.result(z) == expected);
        }
    });
  }
}
