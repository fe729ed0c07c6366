// Host-side draws and random tensors.
#include <shatter/core/random.h>

#include <limits>
#include <numeric>
#include <utility>

#include <shatter/core/dispatch.h>
#include <shatter/kernels/random.h>

namespace shatter {

std::vector<std::int64_t> random_permutation(const RandomKey& key, std::int64_t n) {
  check(n >= 0 && n <= std::numeric_limits<std::uint32_t>::max(), "random_permutation: n is ", n,
        ", expected 0 to 4294967295");
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = n - 1; i > 0; --i) {
    const auto place = static_cast<std::uint32_t>(i);
    const Words4 words = random_words(key, place);
    std::swap(order[std::size_t(i)], order[below(place + 1, words[0], words[1])]);
  }
  return order;
}

namespace {

template <class Fill>
Tensor filled(const char* op, const Shape& shape, DType dtype, Device device, const Fill& fill) {
  check(dtype == DType::float32 || dtype == DType::float64, op, ": type is ", name_of(dtype),
        ", expected float32 or float64");
  Tensor y = Tensor::empty(shape, dtype, device);
  on(device, [&](auto& context) {
    if (dtype == DType::float32)
      fill(context, y.data<float>());
    else
      fill(context, y.data<double>());
  });
  return y;
}

}  // namespace

Tensor random_uniform(const RandomKey& key, const Shape& shape, double low, double high,
                      DType dtype, Device device) {
  return filled("random_uniform", shape, dtype, device, [&](auto& context, auto* y) {
    kernels::fill_uniform(context, key, shape.numel(), low, high, y);
  });
}

Tensor random_normal(const RandomKey& key, const Shape& shape, double mean, double deviation,
                     DType dtype, Device device) {
  return filled("random_normal", shape, dtype, device, [&](auto& context, auto* y) {
    kernels::fill_normal(context, key, shape.numel(), mean, deviation, y);
  });
}

std::uint64_t derive_seed(std::uint64_t seed, std::string_view label) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, 64 bits
  for (const char letter : label) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  }
  // The last word is no Stream, so that derived seeds share no draw with the streams of `seed`.
  const Words4 words = philox4x32(
      {std::uint32_t(hash), std::uint32_t(hash >> 32), std::uint32_t(label.size()), 0xffffffffu},
      {std::uint32_t(seed), std::uint32_t(seed >> 32)});
  return (std::uint64_t{words[0]} << 32) | words[1];
}

}  // namespace shatter
