// Arrays of random numbers on CUDA.
#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/random.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// One thread for each block of random words.
template <class T>
__global__ void uniform_block(RandomKey key, std::int64_t n, double low, double high, T* y) {
  const std::int64_t block = thread_index();
  constexpr int count = uniforms_per_block<T>;
  if (count * block >= n) return;
  const Words4 words = random_words(key, static_cast<std::uint32_t>(block));
  for (int j = 0; j < count; ++j)
    if (count * block + j < n) y[count * block + j] = uniform<T>(words, j, low, high);
}

template <class T>
__global__ void normal(RandomKey key, std::int64_t n, double mean, double deviation, T* y) {
  const std::int64_t block = thread_index();
  if (2 * block >= n) return;
  const NormalPair pair = normal_pair(random_words(key, static_cast<std::uint32_t>(block)));
  y[2 * block] = static_cast<T>(mean + deviation * pair.first);
  if (2 * block + 1 < n) y[2 * block + 1] = static_cast<T>(mean + deviation * pair.second);
}

}  // namespace

template <class T>
void fill_uniform(CudaContext& context, const RandomKey& key, std::int64_t n, double low,
                  double high, T* y) {
  const ProfileScope scope(context, "fill_uniform", elementwise_work<T>(n, 0, 1));
  launch(context, "fill_uniform", one_thread_each(ceil_div(n, uniforms_per_block<T>)),
         uniform_block<T>, key, n, low, high, y);
}

template <class T>
void fill_normal(CudaContext& context, const RandomKey& key, std::int64_t n, double mean,
                 double deviation, T* y) {
  const ProfileScope scope(context, "fill_normal", elementwise_work<T>(n, 0, 1));
  launch(context, "fill_normal", one_thread_each((n + 1) / 2), normal<T>, key, n, mean, deviation,
         y);
}

template void fill_uniform(CudaContext&, const RandomKey&, std::int64_t, double, double, float*);
template void fill_uniform(CudaContext&, const RandomKey&, std::int64_t, double, double, double*);
template void fill_normal(CudaContext&, const RandomKey&, std::int64_t, double, double, float*);
template void fill_normal(CudaContext&, const RandomKey&, std::int64_t, double, double, double*);

}  // namespace shatter::kernels
