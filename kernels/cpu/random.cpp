// Arrays of random numbers.
#include <shatter/kernels/functions.h>
#include <shatter/kernels/random.h>
#include <shatter/kernels/work.h>

#include "workspace.h"

namespace shatter::kernels {

template <class T>
void fill_uniform(CpuContext& context, const RandomKey& key, std::int64_t n, double low,
                  double high, T* y) {
  const ProfileScope scope(context, "fill_uniform", elementwise_work<T>(n, 0, 1));
  context.parallel_for(n, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    constexpr int block = uniforms_per_block<T>;
    for (std::int64_t at = begin; at < end; at += block) {
      const Words4 words = random_words(key, static_cast<std::uint32_t>(at / block));
      for (int j = 0; j < std::min<std::int64_t>(block, end - at); ++j)
        y[at + j] = uniform<T>(words, j, low, high);
    }
  });
}

template <class T>
void fill_normal(CpuContext& context, const RandomKey& key, std::int64_t n, double mean,
                 double deviation, T* y) {
  const ProfileScope scope(context, "fill_normal", elementwise_work<T>(n, 0, 1));
  context.parallel_for(n, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; at += 2) {
      const NormalPair pair = normal_pair(random_words(key, static_cast<std::uint32_t>(at / 2)));
      y[at] = static_cast<T>(mean + deviation * pair.first);
      if (at + 1 < end) y[at + 1] = static_cast<T>(mean + deviation * pair.second);
    }
  });
}

template void fill_uniform(CpuContext&, const RandomKey&, std::int64_t, double, double, float*);
template void fill_uniform(CpuContext&, const RandomKey&, std::int64_t, double, double, double*);
template void fill_normal(CpuContext&, const RandomKey&, std::int64_t, double, double, float*);
template void fill_normal(CpuContext&, const RandomKey&, std::int64_t, double, double, double*);

}  // namespace shatter::kernels
