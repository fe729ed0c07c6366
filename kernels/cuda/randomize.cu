// The randomization tests' corruptions on CUDA.
#include <algorithm>
#include <limits>
#include <vector>

#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/randomize_math.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

struct Plus {
  template <class A>
  __device__ A operator()(A a, A b) const {
    return a + b;
  }
};

__global__ void labels_of(std::uint64_t seed, double probability, std::uint32_t classes,
                          std::int64_t n, const std::int32_t* labels, std::int32_t* y) {
  const std::int64_t i = thread_index();
  if (i < n)
    y[i] = randomized_label(seed, probability, classes, static_cast<std::uint32_t>(i), labels[i]);
}

// One thread for each byte of y.
__global__ void move_bytes(PixelGeometry g, const std::int32_t* order, const std::uint8_t* x,
                           std::uint8_t* y) {
  const std::int64_t i = thread_index(), image_bytes = g.y_pixels * g.bytes;
  if (i >= g.n * image_bytes) return;
  const std::int64_t image = i / image_bytes, at = i % image_bytes;
  y[i] = x[(image * g.x_pixels + order[at / g.bytes]) * g.bytes + at % g.bytes];
}

// A block draws an image's swaps, one thread does them, and the block moves the pixels. order and
// swaps, [pixels] each, lie in shared memory, or in the block's part of `scratch` where it is
// given.
__global__ void permute_images(std::uint64_t seed, std::uint32_t first_image, PixelGeometry g,
                               std::uint32_t* scratch, const std::uint8_t* x, std::uint8_t* y) {
  const auto pixels = static_cast<std::uint32_t>(g.y_pixels);
  std::uint32_t* const order =
      scratch ? scratch + 2 * g.y_pixels * blockIdx.x : dynamic_shared<std::uint32_t>();
  std::uint32_t* const swaps = order + pixels;
  const std::int64_t image_bytes = g.y_pixels * g.bytes;
  for (std::int64_t image = blockIdx.x; image < g.n; image += gridDim.x) {
    const std::uint32_t number = first_image + static_cast<std::uint32_t>(image);
    for (std::uint32_t p = 2 * threadIdx.x; p < pixels; p += 2 * blockDim.x) {
      const SwapPair to = swap_pair(seed, number, p / 2);
      order[p] = p;
      swaps[p] = to.even;
      if (p + 1 < pixels) {
        order[p + 1] = p + 1;
        swaps[p + 1] = to.odd;
      }
    }
    __syncthreads();
    if (threadIdx.x == 0)
      for (std::uint32_t p = pixels; p-- > 1;) {
        const std::uint32_t other = order[swaps[p]];
        order[swaps[p]] = order[p];
        order[p] = other;
      }
    __syncthreads();
    for (std::int64_t at = threadIdx.x; at < image_bytes; at += blockDim.x)
      y[image * image_bytes + at] =
          x[image * image_bytes + std::int64_t{order[at / g.bytes]} * g.bytes + at % g.bytes];
    __syncthreads();  // before the next image's order
  }
}

// sums [2, c]: integers, so that their order does not count.
__global__ void sum_channels(std::int64_t pixels, std::int64_t c, const std::uint8_t* x,
                             unsigned long long* sums) {
  for (std::int64_t k = 0; k < c; ++k) {
    unsigned long long sum = 0, squares = 0;
    for (std::int64_t p = thread_index(); p < pixels; p += std::int64_t{gridDim.x} * blockDim.x) {
      const unsigned value = x[p * c + k];
      sum += value;
      squares += value * value;
    }
    sum = join_block(sum, 0ull, Plus{});
    squares = join_block(squares, 0ull, Plus{});
    if (threadIdx.x == 0) {
      atomicAdd(sums + k, sum);
      atomicAdd(sums + c + k, squares);
    }
  }
}

// Values left to the host, by their places in y.
struct OpenValues {
  unsigned long long* count;
  std::int64_t* places;
  unsigned long long capacity;
};

// One thread for each pair. moments [2, c]: means and deviations. A value left open becomes NaN.
__global__ void noise(std::uint64_t seed, std::uint32_t first_image, NoiseGeometry g,
                      const double* moments, double slack, OpenValues open, float* y) {
  const std::int64_t pairs = (g.values + 1) / 2, i = thread_index();
  if (i >= g.n * pairs) return;
  const std::int64_t image = i / pairs;
  const auto pair = static_cast<std::uint32_t>(i % pairs);
  const NormalPair z = noise_pair(seed, first_image + static_cast<std::uint32_t>(image), pair);
  for (std::uint32_t k = 2 * pair; k < 2 * pair + 2 && k < g.values; ++k) {
    const double mean = moments[k % g.c],
                 moved = moments[g.c + k % g.c] * (k % 2 ? z.second : z.first);
    const double value = mean + moved, near = slack * (std::abs(mean) + std::abs(moved));
    const std::int64_t at = image * g.values + k;
    const auto low = static_cast<float>(value - near), high = static_cast<float>(value + near);
    if (low == high) {
      y[at] = low;
    } else {
      y[at] = std::numeric_limits<float>::quiet_NaN();
      const unsigned long long place = atomicAdd(open.count, 1ull);
      if (place < open.capacity) open.places[place] = at;
    }
  }
}

__global__ void put_values(std::int64_t n, const std::int64_t* places, const float* values,
                           float* y) {
  const std::int64_t i = thread_index();
  if (i < n) y[places[i]] = values[i];
}

template <class T>
void send(CudaContext& context, const std::vector<T>& from, T* to) {
  context.copy_from_host(to, from.data(), from.size() * sizeof(T));
}
template <class T>
std::vector<T> fetch(CudaContext& context, const T* from, std::int64_t n) {
  std::vector<T> values(static_cast<std::size_t>(n));
  context.copy_to_host(values.data(), from, values.size() * sizeof(T));
  return values;
}

}  // namespace

void randomize_labels(CudaContext& context, std::uint64_t seed, double probability,
                      std::uint32_t classes, std::int64_t n, const std::int32_t* labels,
                      std::int32_t* y) {
  const ProfileScope scope(context, "randomize_labels", randomize_labels_work(n));
  launch(context, "randomize_labels", one_thread_each(n), labels_of, seed, probability, classes, n,
         labels, y);
}

void move_pixels(CudaContext& context, const PixelGeometry& g, const std::int32_t* order,
                 const std::uint8_t* x, std::uint8_t* y) {
  const ProfileScope scope(context, "move_pixels", pixels_work(g));
  launch(context, "move_pixels", one_thread_each(g.n * g.y_pixels * g.bytes), move_bytes, g, order,
         x, y);
}

void permute_pixels(CudaContext& context, std::uint64_t seed, std::uint32_t first_image,
                    const PixelGeometry& g, const std::uint8_t* x, std::uint8_t* y) {
  const ProfileScope scope(context, "permute_pixels", pixels_work(g));
  constexpr std::int64_t most_shared = 48 * 1024, most_blocks = 4096;
  if (g.y_pixels * g.bytes == 0) return;
  const std::int64_t blocks = std::min(g.n, most_blocks);
  const std::int64_t bytes = 2 * g.y_pixels * static_cast<std::int64_t>(sizeof(std::uint32_t));
  const bool shared = bytes <= most_shared;
  const CudaWorkspace<std::uint32_t> scratch(context, shared ? 1 : 2 * g.y_pixels * blocks);
  launch(context, "permute_pixels",
         {dim3(static_cast<unsigned>(blocks)), dim3(threads_per_block),
          static_cast<std::size_t>(shared ? bytes : 0)},
         permute_images, seed, first_image, g, shared ? nullptr : scratch.data(), x, y);
}

void channel_sums(CudaContext& context, std::int64_t pixels, std::int64_t c, const std::uint8_t* x,
                  std::uint64_t* sums, std::uint64_t* squares) {
  const ProfileScope scope(context, "channel_sums", channel_sums_work(pixels, c));
  const CudaWorkspace<unsigned long long> both(context, 2 * c);
  send(context, std::vector<unsigned long long>(static_cast<std::size_t>(2 * c)), both.data());
  const std::int64_t blocks = std::min<std::int64_t>((pixels + 1023) / 1024, 1024);
  launch(context, "channel_sums", {dim3(static_cast<unsigned>(blocks)), dim3(threads_per_block)},
         sum_channels, pixels, c, x, both.data());
  const std::vector<unsigned long long> values = fetch(context, both.data(), 2 * c);
  std::copy_n(values.begin(), c, sums);
  std::copy_n(values.begin() + c, c, squares);
}

void fill_noise(CudaContext& context, std::uint64_t seed, std::uint32_t first_image,
                const NoiseGeometry& g, const double* mean, const double* deviation, float* y,
                double slack) {
  const ProfileScope scope(context, "fill_noise", noise_work(g));
  const std::int64_t values = g.n * g.values;
  if (values == 0) return;
  std::vector<double> moments(mean, mean + g.c);
  moments.insert(moments.end(), deviation, deviation + g.c);
  const CudaWorkspace<double> moments_there(context, 2 * std::int64_t{g.c});
  send(context, moments, moments_there.data());
  // One in some millions is left open; room for a thousand times as many.
  const std::int64_t capacity = std::min(values, values / 4096 + 1024);
  const CudaWorkspace<std::int64_t> places(context, capacity);
  const CudaWorkspace<unsigned long long> count(context, 1);
  send(context, std::vector<unsigned long long>{0}, count.data());
  launch(context, "fill_noise", one_thread_each(g.n * ((g.values + 1) / 2)), noise, seed,
         first_image, g, moments_there.data(), slack,
         OpenValues{count.data(), places.data(), static_cast<unsigned long long>(capacity)}, y);

  const auto open = static_cast<std::int64_t>(fetch(context, count.data(), 1)[0]);
  if (open == 0) return;
  const auto on_host = [&](std::int64_t first, std::int64_t n) {
    std::vector<float> images(static_cast<std::size_t>(n * g.values));
    fill_noise(cpu_context(), seed, first_image + static_cast<std::uint32_t>(first),
               {.n = n, .values = g.values, .c = g.c}, mean, deviation, images.data());
    return images;
  };
  if (open > capacity) return send(context, on_host(0, g.n), y);
  std::vector<float> filled;
  for (const std::int64_t at : fetch(context, places.data(), open))
    filled.push_back(on_host(at / g.values, 1)[static_cast<std::size_t>(at % g.values)]);
  const CudaWorkspace<float> filled_there(context, open);
  send(context, filled, filled_there.data());
  launch(context, "fill_noise", one_thread_each(open), put_values, open, places.data(),
         filled_there.data(), y);
}

}  // namespace shatter::kernels
