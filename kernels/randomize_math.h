// The draws behind kernels/randomize.h, written once for every backend.
#pragma once

#include <shatter/kernels/functions.h>
#include <shatter/kernels/randomize.h>

namespace shatter::kernels {

constexpr std::int32_t randomized_label(std::uint64_t seed, double probability,
                                        std::uint32_t classes, std::uint32_t image,
                                        std::int32_t label) {
  const Words4 choice = random_words({seed, Stream::corrupt_choice}, image);
  // u < p for u in [0, 1): never for p = 0, always for p = 1.
  if (uniform_double(choice[0], choice[1]) >= probability) return label;
  const Words4 words = random_words({seed, Stream::corrupt_label}, image);
  return static_cast<std::int32_t>(below(classes, words[0], words[1]));
}

/// The epoch that keeps these draws from those of the permutation shared by all images.
inline constexpr std::uint32_t own_permutation = 1;

/// Where places 2 * pair and 2 * pair + 1 of an image's permutation are swapped to.
struct SwapPair {
  std::uint32_t even, odd;
};
constexpr SwapPair swap_pair(std::uint64_t seed, std::uint32_t image, std::uint32_t pair) {
  const Words4 words =
      random_words({seed, Stream::pixel_permutation, own_permutation}, image, pair);
  return {below(2 * pair + 1, words[0], words[1]), below(2 * pair + 2, words[2], words[3])};
}

constexpr NormalPair noise_pair(std::uint64_t seed, std::uint32_t image, std::uint32_t pair) {
  return normal_pair(random_words({seed, Stream::pixel_noise}, image, pair));
}

}  // namespace shatter::kernels
