// Dropout on CUDA: the mask is drawn again for every call from its key, never stored.
#include <cmath>

#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/dropout.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// Four neighbours share a block of draws.
template <class T>
struct Drop {
  float threshold;
  wide_t<T> scale;
  RandomKey key;
  const std::int64_t* step;
  const T* x;
  T* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    const Words4 words =
        random_words(key, static_cast<std::uint32_t>(i / 4), static_cast<std::uint32_t>(*step));
    const auto first = static_cast<std::size_t>(width == 4 ? 0 : i % 4);
    auto v = load<width>(x + i);
    for (std::size_t k = 0; k < width; ++k) {
      const bool kept = uniform_float(words[first + k]) >= threshold;
      v.at[k] = kept ? v.at[k] * scale : wide_t<T>(0);
    }
    store(v, y + i);
  }
};

}  // namespace

template <class T>
void dropout(CudaContext& context, std::int64_t n, double p, const RandomKey& key,
             const std::int64_t* step, const T* x, T* y) {
  const ProfileScope scope(context, "dropout", elementwise_work<T>(n, 1, 2));
  // The least float not below p, so that comparing floats is comparing with p itself.
  float least = static_cast<float>(p);
  if (static_cast<double>(least) < p) least = std::nextafter(least, 2.0f);
  constexpr int width = std::min(4, vector_width<T>);
  launch_vectors<width>(context, "dropout", n, vectors_at<width>(x, y),
                        Drop<T>{least, static_cast<wide_t<T>>(1 / (1 - p)), key, step, x, y});
}

template void dropout(CudaContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const float*, float*);
template void dropout(CudaContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const double*, double*);
template void dropout(CudaContext&, std::int64_t, double, const RandomKey&, const std::int64_t*,
                      const bfloat16*, bfloat16*);

}  // namespace shatter::kernels
