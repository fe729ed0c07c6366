// Dropout: the mask is drawn again for every call from its key, never stored.
#include <shatter/kernels/dropout.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

template <class T>
void dropout(CpuContext& context, std::int64_t n, double p, const RandomKey& key,
             std::uint32_t step, const T* x, T* y) {
  // Blocks of 64 draws give 256 elements; ranges are whole blocks but for the last.
  constexpr std::int64_t draws = 64;
  context.parallel_for(n, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    multiversion([=, scale = static_cast<T>(1 / (1 - p)), threshold = static_cast<float>(p)] {
      float uniform[4 * draws];
      for (std::int64_t at = begin; at < end; at += 4 * draws) {
        for (std::int64_t i = 0; i < draws; ++i) {
          const Words4 words = random_words(key, static_cast<std::uint32_t>(at / 4 + i), step);
          for (std::size_t j = 0; j < 4; ++j)
            uniform[4 * i + static_cast<std::int64_t>(j)] = uniform_float(words[j]);
        }
        const std::int64_t width = std::min(4 * draws, end - at);
        SHATTER_INDEPENDENT
        for (std::int64_t i = 0; i < width; ++i)
          y[at + i] = uniform[i] >= threshold ? x[at + i] * scale : T(0);
      }
    });
  });
}

template void dropout(CpuContext&, std::int64_t, double, const RandomKey&, std::uint32_t,
                      const float*, float*);
template void dropout(CpuContext&, std::int64_t, double, const RandomKey&, std::uint32_t,
                      const double*, double*);

}  // namespace shatter::kernels
