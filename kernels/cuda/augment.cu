// Augmentation on CUDA: one block makes one image, from stored bytes to network input.
#include <shatter/kernels/augment_math.h>
#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// One image and its place in the batch, as the threads of its block see it.
template <class Source>
struct Image {
  AugmentGeometry g;
  Placement placement;
  std::uint32_t number;
  const Source* x;
  float* y;
  std::int64_t pitch;

  __device__ std::int64_t pixels() const { return g.crop_h * g.crop_w; }
  __device__ std::int64_t values() const { return pixels() * g.c; }

  // Calls use(i, j, y's pixel) for this thread's pixels: always the same ones.
  template <class Use>
  __device__ void for_pixels(Use use) const {
    for (std::int64_t p = threadIdx.x; p < pixels(); p += blockDim.x)
      use(p / g.crop_w, p % g.crop_w, y + p * pitch);
  }
  // Calls use(value of y) for this thread's values.
  template <class Use>
  __device__ void for_values(Use use) const {
    for_pixels([&](std::int64_t, std::int64_t, float* pixel) {
      for (std::int64_t c = 0; c < g.c; ++c) use(pixel[c]);
    });
  }
  __device__ void zero_tail() const {
    for_pixels([&](std::int64_t, std::int64_t, float* pixel) {
      for (std::int64_t c = g.c; c < pitch; ++c) pixel[c] = 0;
    });
  }
};

struct Plus {
  template <class A>
  __device__ A operator()(A a, A b) const {
    return a + b;
  }
};

template <class A>
__device__ A sum_block(A value) {
  return join_block(value, A(0), Plus{});
}

template <class Source>
__device__ Image<Source> image_of(const AugmentGeometry& g, std::uint64_t seed,
                                  const BatchPosition* position, const std::int64_t* index,
                                  const Source* x, float* y) {
  const std::int64_t i = blockIdx.x, number = index[position->first + i];
  const std::int64_t pitch = g.y_pitch ? g.y_pitch : g.c;
  const auto draws = static_cast<std::uint32_t>(number);
  return {g,
          place(g, seed, static_cast<std::uint32_t>(position->epoch), draws),
          draws,
          x + number * g.h * g.w * g.c,
          y + i * g.crop_h * g.crop_w * pitch,
          pitch};
}

// Crop, flip and whitening of bytes: exact sums, then a table of 256 results.
__global__ void augment_bytes(AugmentGeometry g, std::uint64_t seed, const BatchPosition* position,
                              const std::int64_t* index, const std::uint8_t* x, float* y) {
  __shared__ float table[256];
  const auto image = image_of(g, seed, position, index, x, y);
  ByteWhitening whitening = ByteWhitening::none(g.scale);
  if (g.whiten) {
    unsigned long long sum = 0, squares = 0;
    image.for_pixels([&](std::int64_t i, std::int64_t j, float*) {
      const std::uint8_t* const from = image.x + image.placement.source(g, i, j);
      for (std::int64_t c = 0; c < g.c; ++c) {
        const unsigned value = from[c];
        sum += value;
        squares += value * value;
      }
    });
    sum = sum_block(sum);
    squares = sum_block(squares);
    whitening =
        ByteWhitening::of(g.scale, static_cast<std::uint64_t>(image.values()), sum, squares);
  }
  for (unsigned i = threadIdx.x; i < 256; i += blockDim.x)
    table[i] = whitening(static_cast<std::uint8_t>(i));
  __syncthreads();
  image.for_pixels([&](std::int64_t i, std::int64_t j, float* to) {
    const std::uint8_t* const from = image.x + image.placement.source(g, i, j);
    for (std::int64_t c = 0; c < g.c; ++c) to[c] = table[from[c]];
  });
  image.zero_tail();
}

template <class Source>
__device__ void sample(const Image<Source>& image) {
  const AugmentGeometry& g = image.g;
  image.for_pixels([&](std::int64_t i, std::int64_t j, float* to) {
    if (g.rotation != 0) {
      const Sample place(g, image.placement, i, j);
      for (std::int64_t c = 0; c < g.c; ++c) to[c] = place.value(g, image.x, c);
    } else {
      const bool inside = image.placement.inside(g, i, j);
      const Source* const from = image.x + image.placement.source(g, i, j);
      for (std::int64_t c = 0; c < g.c; ++c)
        to[c] = inside ? static_cast<float>(static_cast<double>(from[c]) * g.scale) : 0.0f;
    }
  });
}

template <class Source>
__device__ void recolor(const Image<Source>& image, const Recoloring& colors) {
  const AugmentGeometry& g = image.g;
  if (g.brightness != 0) image.for_values([&](float& value) { value += colors.brightness; });
  if (g.contrast != 0)
    for (std::int64_t c = 0; c < g.c; ++c) {
      double sum = 0;
      image.for_pixels([&](std::int64_t, std::int64_t, const float* pixel) { sum += pixel[c]; });
      const auto mean = static_cast<float>(sum_block(sum) / static_cast<double>(image.pixels()));
      image.for_pixels([&](std::int64_t, std::int64_t, float* pixel) {
        pixel[c] = (pixel[c] - mean) * colors.contrast + mean;
      });
    }
  if (g.saturation != 0 || g.hue != 0)
    image.for_pixels(
        [&](std::int64_t, std::int64_t, float* pixel) { turn_colors(g, colors, pixel); });
}

template <class Source>
__device__ void add_noise(const Image<Source>& image, const RandomKey& key) {
  const AugmentGeometry& g = image.g;
  image.for_pixels([&](std::int64_t i, std::int64_t j, float* pixel) {
    for (std::int64_t c = 0; c < g.c; ++c) {
      const std::int64_t value = (i * g.crop_w + j) * g.c + c;
      const NormalPair pair =
          normal_pair(random_words(key, image.number, static_cast<std::uint32_t>(value / 2)));
      pixel[c] += static_cast<float>(g.noise * (value % 2 ? pair.second : pair.first));
    }
  });
}

template <class Source>
__device__ void whiten(const Image<Source>& image) {
  const auto n = static_cast<double>(image.values());
  double sum = 0, squares = 0;
  image.for_values([&](float& value) { sum += value; });
  const double mean = sum_block(sum) / n;
  image.for_values([&](float& value) { squares += (value - mean) * (value - mean); });
  const double deviation = std::sqrt(sum_block(squares) / n),
               least = deviation_floor(image.values());
  image.for_values([&](float& value) {
    value = static_cast<float>((value - mean) / (deviation > least ? deviation : least));
  });
}

// Every thread keeps to its own pixels of y from first to last; only sums cross threads.
template <class Source>
__global__ void augment_general(AugmentGeometry g, std::uint64_t seed,
                                const BatchPosition* position, const std::int64_t* index,
                                const Source* x, float* y) {
  const auto image = image_of(g, seed, position, index, x, y);
  const auto epoch = static_cast<std::uint32_t>(position->epoch);
  sample(image);
  recolor(image, Recoloring::draw(g, random_words({seed, Stream::color, epoch}, image.number)));
  if (g.noise != 0) add_noise(image, {seed, Stream::noise, epoch});
  if (g.whiten) whiten(image);
  image.zero_tail();
}

template <class T>
__global__ void gather(const BatchPosition* position, std::int64_t elements, std::int64_t width,
                       const std::int64_t* index, const T* x, T* y) {
  const std::int64_t i = thread_index();
  if (i < elements) y[i] = x[index[position->first + i / width] * width + i % width];
}

}  // namespace

template <class Source>
void augment(CudaContext& context, const AugmentGeometry& g, std::uint64_t seed,
             const BatchPosition* position, std::int64_t batch, const std::int64_t* index,
             const Source* x, float* y) {
  const ProfileScope scope(context, "augment", augment_work<Source>(g, batch));
  check_augment(g);
  if (g.crop_h * g.crop_w * (g.y_pitch ? g.y_pitch : g.c) == 0) return;
  const LaunchShape shape{dim3(static_cast<unsigned>(batch)), dim3(threads_per_block)};
  if constexpr (std::is_same_v<Source, std::uint8_t>) {
    if (is_plain(g)) {
      launch(context, "augment", shape, augment_bytes, g, seed, position, index, x, y);
      return;
    }
  }
  launch(context, "augment", shape, augment_general<Source>, g, seed, position, index, x, y);
}

template <class T>
void gather_items(CudaContext& context, const BatchPosition* position, std::int64_t batch,
                  std::int64_t width, const std::int64_t* index, const T* x, T* y) {
  const ProfileScope scope(context, "gather_items", gather_items_work<T>(batch, width));
  const std::int64_t elements = batch * width;
  if (elements <= 0) return;
  launch(context, "gather_items", one_thread_each(elements), gather<T>, position, elements, width,
         index, x, y);
}

template void augment(CudaContext&, const AugmentGeometry&, std::uint64_t, const BatchPosition*,
                      std::int64_t, const std::int64_t*, const std::uint8_t*, float*);
template void augment(CudaContext&, const AugmentGeometry&, std::uint64_t, const BatchPosition*,
                      std::int64_t, const std::int64_t*, const float*, float*);
template void gather_items(CudaContext&, const BatchPosition*, std::int64_t, std::int64_t,
                           const std::int64_t*, const std::int32_t*, std::int32_t*);
template void gather_items(CudaContext&, const BatchPosition*, std::int64_t, std::int64_t,
                           const std::int64_t*, const float*, float*);
template void gather_items(CudaContext&, const BatchPosition*, std::int64_t, std::int64_t,
                           const std::int64_t*, const double*, double*);

}  // namespace shatter::kernels
