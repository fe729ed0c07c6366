// Dropout: the mask is drawn again for every call from its key, never stored.
#include <cmath>

#include <shatter/kernels/dropout.h>
#include <shatter/kernels/types.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

constexpr std::int64_t lanes = 64;

// uniform[4 i + j] = uniform_float(random_words(key, first + i, block)[j]) for i < lanes:
// philox4x32 with the lanes innermost, where it vectorises.
void uniform_lanes(const RandomKey& key, std::uint32_t first, std::uint32_t block, float* uniform) {
  std::uint32_t a[lanes], b[lanes], c[lanes], d[lanes];
  for (std::int64_t i = 0; i < lanes; ++i) {
    a[i] = first + static_cast<std::uint32_t>(i);
    b[i] = block;
    c[i] = key.epoch;
    d[i] = static_cast<std::uint32_t>(key.stream);
  }
  auto key0 = static_cast<std::uint32_t>(key.seed);
  auto key1 = static_cast<std::uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (std::int64_t i = 0; i < lanes; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * a[i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c[i];
      a[i] = static_cast<std::uint32_t>(product1 >> 32) ^ b[i] ^ key0;
      b[i] = static_cast<std::uint32_t>(product1);
      c[i] = static_cast<std::uint32_t>(product0 >> 32) ^ d[i] ^ key1;
      d[i] = static_cast<std::uint32_t>(product0);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (std::int64_t i = 0; i < lanes; ++i) {
    uniform[4 * i] = uniform_float(a[i]);
    uniform[4 * i + 1] = uniform_float(b[i]);
    uniform[4 * i + 2] = uniform_float(c[i]);
    uniform[4 * i + 3] = uniform_float(d[i]);
  }
}

}  // namespace

template <class T>
void dropout(CpuContext& context, std::int64_t n, double p, const RandomKey& key,
             const std::int64_t* step, const T* x, T* y) {
  const ProfileScope scope(context, "dropout", elementwise_work<T>(n, 1, 2));
  // The least float not below p, so that comparing floats is comparing with p itself.
  float least = static_cast<float>(p);
  if (static_cast<double>(least) < p) least = std::nextafter(least, 2.0f);
  context.parallel_for(n, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    multiversion([=, block = static_cast<std::uint32_t>(*step),
                  scale = static_cast<wide_t<T>>(1 / (1 - p)), threshold = least] {
      float uniform[4 * lanes];
      for (std::int64_t at = begin; at < end; at += 4 * lanes) {
        uniform_lanes(key, static_cast<std::uint32_t>(at / 4), block, uniform);
        const std::int64_t width = std::min(4 * lanes, end - at);
        SHATTER_INDEPENDENT
        for (std::int64_t i = 0; i < width; ++i)
          y[at + i] = uniform[i] >= threshold ? static_cast<T>(x[at + i] * scale) : T(0);
      }
    });
  });
}

template void dropout(CpuContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const float*, float*);
template void dropout(CpuContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const double*, double*);
template void dropout(CpuContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const bfloat16*, bfloat16*);

}  // namespace shatter::kernels
