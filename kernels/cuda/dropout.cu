// Dropout on CUDA: the mask is drawn again for every call from its key, never stored.
#include <cmath>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/dropout.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {
namespace {

// One thread for each block of four draws.
template <class T>
__global__ void drop(std::int64_t n, float threshold, wide_t<T> scale, RandomKey key,
                     const std::int64_t* step, const T* x, T* y) {
  const std::int64_t block = thread_index();
  if (4 * block >= n) return;
  const Words4 words =
      random_words(key, static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(*step));
  for (int j = 0; j < 4; ++j) {
    const std::int64_t i = 4 * block + j;
    if (i >= n) return;
    const bool kept = uniform_float(words[j]) >= threshold;
    y[i] = static_cast<T>(kept ? static_cast<wide_t<T>>(x[i]) * scale : wide_t<T>(0));
  }
}

}  // namespace

template <class T>
void dropout(CudaContext& context, std::int64_t n, double p, const RandomKey& key,
             const std::int64_t* step, const T* x, T* y) {
  // The least float not below p, so that comparing floats is comparing with p itself.
  float least = static_cast<float>(p);
  if (static_cast<double>(least) < p) least = std::nextafter(least, 2.0f);
  launch(context, "dropout", one_thread_each((n + 3) / 4), drop<T>, n, least,
         static_cast<wide_t<T>>(1 / (1 - p)), key, step, x, y);
}

template void dropout(CudaContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const float*, float*);
template void dropout(CudaContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const double*, double*);
template void dropout(CudaContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const bfloat16*, bfloat16*);

}  // namespace shatter::kernels
