// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011). A draw is a pure function of its key and index, so it is
// the same on every device, for every thread count and after any interruption.
#pragma once

#include <array>
#include <cstdint>

namespace shatter {

using Words4 = std::array<std::uint32_t, 4>;

/// Ten rounds of Philox4x32 on `counter` under `key`.
constexpr Words4 philox4x32(Words4 counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// What a random number is for. Streams never share a draw; the numbers are part of saved results
/// and must not change.
enum class Stream : std::uint32_t {
  user = 0,
  initialize = 1,
  shuffle = 2,
  corrupt_choice = 3,
  corrupt_label = 4,
  pixel_permutation = 5,
  pixel_noise = 6,
  crop = 7,
  flip = 8,
  rotate = 9,
  color = 10,
  noise = 11,
  dropout = 12,
  synthetic = 13,
  subset = 14,
};

/// Names one sequence of draws: the seed of a run, what the draws are for, and the epoch, step or
/// parameter they belong to.
struct RandomKey {
  std::uint64_t seed = 0;
  Stream stream = Stream::user;
  std::uint32_t epoch = 0;
};

/// Four 32-bit words for element `index`; `block` gives an element further words.
constexpr Words4 random_words(const RandomKey& key, std::uint32_t index, std::uint32_t block = 0) {
  return philox4x32(
      {index, block, key.epoch, static_cast<std::uint32_t>(key.stream)},
      {static_cast<std::uint32_t>(key.seed), static_cast<std::uint32_t>(key.seed >> 32)});
}

/// Uniform in [0, 1) with 24 bits: exact in float.
constexpr float uniform_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// Uniform in [0, 1) with 53 bits.
constexpr double uniform_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (std::uint64_t{high} << 32) | low;
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

/// An integer in [0, bound) from 64 random bits; its bias is below bound / 2^64.
constexpr std::uint32_t below(std::uint32_t bound, std::uint32_t high, std::uint32_t low) {
  const std::uint64_t low_product = std::uint64_t{bound} * low;
  return static_cast<std::uint32_t>((std::uint64_t{bound} * high + (low_product >> 32)) >> 32);
}

}  // namespace shatter
