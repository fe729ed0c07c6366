// A matrix product on tensor cores whose operands are read where they lie, in images and filters.
// docs/kernels.md explains the tiles and the pipeline.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include <shatter/kernels/cuda/divisor.h>
#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/cuda/mma.h>

namespace shatter::kernels::implicit_gemm {

inline constexpr int block_threads = 128;  // 2 x 2 warps
inline constexpr int stages = 4;
inline constexpr int chunk_bytes = 16;     // of one asynchronous copy
inline constexpr int chunks_per_step = 4;  // along k
template <class T>
inline constexpr int chunk_size = chunk_bytes / int(sizeof(T));
template <class T>
inline constexpr int step_depth = chunks_per_step* chunk_size<T>;

// The operands. Each is a matrix whose elements lie next to each other along its columns, in chunks
// at least; row(i) and column(j) do the index arithmetic once for many elements, and at() gives the
// element's place, or null for a zero.

template <class T>
struct Matrix {
  const T* data;
  std::int64_t step;  // from row to row
  int rows, columns;

  struct Row {
    std::int64_t offset;
  };
  struct Column {
    int index;
  };
  __device__ Row row(int i) const { return {i < rows ? i * step : -1}; }
  __device__ Column column(int j) const { return {j < columns ? j : -1}; }
  __device__ const T* at(const Row& row, const Column& column) const {
    return row.offset >= 0 && column.index >= 0 ? data + (row.offset + column.index) : nullptr;
  }
};

// The windows of an image: a row for each place of the window, a column for each tap and channel.
// Place (n, i, j) and tap (r, s) meet at pixel (n, first_h + i * stride_h + r * direction, ...).
template <class T>
struct Windowed {
  const T* data;
  std::int64_t step;  // from pixel to pixel
  int height, width;
  int rows, columns;
  Divisor places, places_w, taps_w, channels;  // per image, per image row, per window row, per tap
  int first_h, first_w, stride_h, stride_w, direction;

  struct Row {
    std::int64_t offset;
    int h, w;
  };
  struct Column {
    std::int64_t offset;
    int h, w;
  };
  static constexpr int outside = -(1 << 30);  // whatever is added

  __device__ Row row(int index) const {
    if (index >= rows) return {0, outside, outside};
    const int n = places.quotient(index), place = index - n * places.value();
    const int i = places_w.quotient(place), j = place - i * places_w.value();
    const int h = first_h + i * stride_h, w = first_w + j * stride_w;
    return {((std::int64_t{n} * height + h) * width + w) * step, h, w};
  }
  __device__ Column column(int index) const {
    if (index >= columns) return {0, outside, outside};
    const int tap = channels.quotient(index), channel = index - tap * channels.value();
    const int r = taps_w.quotient(tap), s = tap - r * taps_w.value();
    const int h = r * direction, w = s * direction;
    return {(std::int64_t{h} * width + w) * step + channel, h, w};
  }
  __device__ const T* at(const Row& row, const Column& column) const {
    const int h = row.h + column.h, w = row.w + column.w;
    const bool inside = h >= 0 && h < height && w >= 0 && w < width;
    return inside ? data + (row.offset + column.offset) : nullptr;
  }
};

// Filters KRSC with a row for each tap and filter, a column for each input channel. Tap (i, j) is
// (first_r + i * stride_h, first_s + j * stride_w) of the filter.
template <class T>
struct FilterTaps {
  const T* data;
  int rows, columns;  // columns: input channels
  Divisor taps_w, count;
  int r, s;  // extent of a filter
  int first_r, first_s, stride_h, stride_w;

  struct Row {
    std::int64_t offset;
  };
  struct Column {
    int index;
  };
  __device__ Row row(int index) const {
    if (index >= rows) return {-1};
    const int tap = count.quotient(index), k = index - tap * count.value();
    const int i = taps_w.quotient(tap), j = tap - i * taps_w.value();
    const int place = (k * r + first_r + i * stride_h) * s + first_s + j * stride_w;
    return {std::int64_t{place} * columns};
  }
  __device__ Column column(int j) const { return {j < columns ? j : -1}; }
  __device__ const T* at(const Row& row, const Column& column) const {
    return row.offset >= 0 && column.index >= 0 ? data + (row.offset + column.index) : nullptr;
  }
};

// The part of an operand that a block needs in one step: `extent` indices of m or n by step_depth
// of k, in shared memory. If k runs along the operand's columns, a row of the tile is one index's
// 64 bytes, its chunks permuted so that eight rows' equal chunks lie in different banks; if k runs
// along the rows, a row of the tile is one k's, with padding that does the same.
template <class T, int extent_, bool k_along_rows_>
struct Tile {
  static constexpr int extent = extent_;
  static constexpr bool k_along_rows = k_along_rows_;
  static constexpr int rows = k_along_rows ? step_depth<T> : extent;
  static constexpr unsigned row_chunks = k_along_rows ? extent / chunk_size<T> : chunks_per_step;
  static constexpr int row_bytes =
      int(row_chunks) * chunk_bytes + (k_along_rows ? int(sizeof(T)) / 2 * chunk_bytes : 0);
  static constexpr int bytes = rows * row_bytes;
  static constexpr unsigned chunks = rows * row_chunks;
  static constexpr unsigned chunks_per_thread = (chunks + block_threads - 1) / block_threads;

  __device__ static int place(int row, int chunk) {
    return row * row_bytes + (k_along_rows ? chunk : chunk ^ (row >> 1 & 3)) * chunk_bytes;
  }
};

// What one thread brings of an operand to each step.
template <class T, class Tile, class Operand, bool vectors>
class Loader {
 public:
  __device__ Loader(const Operand& operand, int first) : operand_(operand), first_(first) {
    if constexpr (vectors) {
#pragma unroll
      for (unsigned i = 0; i < Tile::chunks_per_thread; ++i) {
        if constexpr (Tile::k_along_rows)
          fixed_[i] = operand.column(first + chunk(i) * chunk_size<T>);
        else
          fixed_[i] = operand.row(first + row(i));
      }
    }
  }

  // Starts filling `tile` with k and those after it.
  __device__ void load(char* tile, int k) const {
#pragma unroll
    for (unsigned i = 0; i < Tile::chunks_per_thread; ++i) {
      if (Tile::chunks % block_threads != 0 && index(i) >= Tile::chunks) continue;
      char* const to = tile + Tile::place(row(i), chunk(i));
      if constexpr (vectors) {
        const T* from;
        if constexpr (Tile::k_along_rows)
          from = operand_.at(operand_.row(k + row(i)), fixed_[i]);
        else
          from = operand_.at(fixed_[i], operand_.column(k + chunk(i) * chunk_size<T>));
        copy_async(to, from ? from : operand_.data, from ? chunk_bytes : 0);
      } else {
        T values[chunk_size<T>];
#pragma unroll
        for (int j = 0; j < chunk_size<T>; ++j) {
          const int along = chunk(i) * chunk_size<T> + j;
          const T* const from =
              Tile::k_along_rows
                  ? operand_.at(operand_.row(k + row(i)), operand_.column(first_ + along))
                  : operand_.at(operand_.row(first_ + row(i)), operand_.column(k + along));
          values[j] = from ? *from : T(0);
        }
        memcpy(to, values, sizeof values);
      }
    }
  }

 private:
  __device__ static unsigned index(unsigned i) {
    return threadIdx.x + i * block_threads;
  }
  __device__ static int row(unsigned i) {
    return static_cast<int>(index(i) / Tile::row_chunks);
  }
  __device__ static int chunk(unsigned i) {
    return static_cast<int>(index(i) % Tile::row_chunks);
  }

  using Fixed =
      std::conditional_t<Tile::k_along_rows, typename Operand::Column, typename Operand::Row>;
  const Operand& operand_;
  int first_;
  Fixed fixed_[vectors ? Tile::chunks_per_thread : 1];
};

// The operands of a warp's products from their tiles; `first` is the index of m or n, `k` the
// number of the product within the step: each takes two chunks of k.

template <class T>
__device__ void round_operands(unsigned* fragment, int count) {
  if constexpr (std::is_same_v<T, float>)
    for (int i = 0; i < count; ++i) fragment[i] = to_tf32(std::bit_cast<float>(fragment[i]));
}

template <class T, class Tile>
__device__ void load_a(unsigned (&a)[4], const char* tile, int first, int k, int lane) {
  if constexpr (!Tile::k_along_rows) {
    load_matrices(a, tile + Tile::place(first + lane % 16, 2 * k + lane / 16));
  } else if constexpr (sizeof(T) == 2) {
    load_matrices_transposed(
        a, tile + Tile::place(16 * k + lane % 8 + lane / 16 * 8, first / 8 + lane / 8 % 2));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      a[i] = *reinterpret_cast<const unsigned*>(tile +
                                                (8 * k + lane % 4 + i / 2 * 4) * Tile::row_bytes +
                                                (first + lane / 4 + i % 2 * 8) * 4);
  }
  round_operands<T>(a, 4);
}

// For `count` (1 or 2) products next to each other along n.
template <class T, class Tile, int count>
__device__ void load_b(unsigned (&b)[2 * count], const char* tile, int first, int k, int lane) {
  if constexpr (!Tile::k_along_rows) {
    load_matrices(b, tile + Tile::place(first + lane % 8 + (count == 2 ? lane / 16 * 8 : 0),
                                        2 * k + lane / 8 % 2));
  } else if constexpr (sizeof(T) == 2) {
    load_matrices_transposed(
        b, tile + Tile::place(16 * k + lane % 16, first / 8 + (count == 2 ? lane / 16 : 0)));
  } else {
#pragma unroll
    for (int i = 0; i < 2 * count; ++i)
      b[i] = *reinterpret_cast<const unsigned*>(tile +
                                                (8 * k + lane % 4 + i % 2 * 4) * Tile::row_bytes +
                                                (first + lane / 4 + i / 2 * 8) * 4);
  }
  round_operands<T>(b, 2 * count);
}

template <class T>
__device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], const unsigned* b) {
  const unsigned pair[2] = {b[0], b[1]};
  if constexpr (std::is_same_v<T, float>)
    mma_tf32(c, a, pair);
  else
    mma_bfloat16(c, a, pair);
}

// Where the sums go.

template <class T>
__device__ void store_pair(T* at, float first, float second) {
  if constexpr (std::is_same_v<T, float>)
    *reinterpret_cast<float2*>(at) = {first, second};
  else
    *reinterpret_cast<unsigned*>(at) = bfloat16(first).bits | unsigned{bfloat16(second).bits} << 16;
}

// Rows are places (n, i, j) of an image, at pixel (n, first_h + i * stride_h, ...); columns
// channels.
template <class T>
struct PixelOutput {
  T* y;
  std::int64_t step;
  const float* bias;  // may be null
  float* parts;       // null: y itself; else [splits, pixels, channels]
  int channels;
  bool pairs;  // whether every even channel of y lies at a multiple of two elements
  int height, width;
  Divisor places, places_w;
  int first_h, first_w, stride_h, stride_w;
  std::int64_t pixels;

  __device__ std::int64_t row(int index) const {
    const int n = places.quotient(index), place = index - n * places.value();
    const int i = places_w.quotient(place), j = place - i * places_w.value();
    return (std::int64_t{n} * height + first_h + i * stride_h) * width + first_w + j * stride_w;
  }
  __device__ void put(std::int64_t pixel, int channel, int split, float first, float second) const {
    if (parts) {
      float* const at = parts + (split * pixels + pixel) * channels + channel;
      at[0] = first;
      if (channel + 1 < channels) at[1] = second;
      return;
    }
    if (bias) {
      first += bias[channel];
      if (channel + 1 < channels) second += bias[channel + 1];
    }
    T* const at = y + pixel * step + channel;
    if (pairs) return store_pair(at, first, second);
    at[0] = T(first);
    if (channel + 1 < channels) at[1] = T(second);
  }
};

// Rows are (r, s, c) of the filters, columns k.
struct FilterOutput {
  float* dw;
  int filters, filter_size;

  __device__ int row(int index) const { return index; }
  __device__ void put(int place, int k, int split, float first, float second) const {
    float* const at = dw + (std::int64_t{split} * filters + k) * filter_size + place;
    at[0] = first;
    if (k + 1 < filters) at[filter_size] = second;
  }
};

// c [m, n] = a [m, k] b [n, k]'.
template <class A, bool a_k_along_rows_, class B, bool b_k_along_rows_, class Output_>
struct Product {
  static constexpr bool a_k_along_rows = a_k_along_rows_, b_k_along_rows = b_k_along_rows_;
  using Output = Output_;
  A a;
  B b;
  Output output;
  int m, n, k;
};

// Products of one launch: the z-th layer of blocks takes part z / count of product z % count.
template <class Product, int most>
struct Products {
  Product product[most];
  int count, parts;
};

template <class T, int tile_m, int tile_n, bool vectors, class Product, int most>
__global__ void __launch_bounds__(block_threads)
    multiply_tiles(const __grid_constant__ Products<Product, most> products) {
  using TileA = Tile<T, tile_m, Product::a_k_along_rows>;
  using TileB = Tile<T, tile_n, Product::b_k_along_rows>;
  constexpr int warp_m = tile_m / 2, warp_n = tile_n / 2;
  constexpr int products_m = warp_m / 16, products_n = warp_n / 8;
  static_assert(warp_m % 16 == 0 && warp_n % 8 == 0);

  const Product& product = products.product[static_cast<int>(blockIdx.z) % products.count];
  const int part = static_cast<int>(blockIdx.z) / products.count;
  const int columns = (product.n + tile_n - 1) / tile_n;
  const int first_m = static_cast<int>(blockIdx.x) / columns * tile_m;
  const int first_n = static_cast<int>(blockIdx.x) % columns * tile_n;
  if (first_m >= product.m) return;
  const int all_steps = (product.k + step_depth<T> - 1) / step_depth<T>;
  const int begin = static_cast<int>(std::int64_t{all_steps} * part / products.parts);
  const int steps = static_cast<int>(std::int64_t{all_steps} * (part + 1) / products.parts) - begin;

  char* const tiles_a = dynamic_shared<char>();
  char* const tiles_b = tiles_a + stages * TileA::bytes;
  const Loader<T, TileA, decltype(product.a), vectors> loader_a(product.a, first_m);
  const Loader<T, TileB, decltype(product.b), vectors> loader_b(product.b, first_n);
  const auto load = [&](int step) {
    if (step < steps) {
      loader_a.load(tiles_a + step % stages * TileA::bytes, (begin + step) * step_depth<T>);
      loader_b.load(tiles_b + step % stages * TileB::bytes, (begin + step) * step_depth<T>);
    }
    copy_async_commit();
  };

  const int lane = static_cast<int>(threadIdx.x) % warpSize;
  const int warp = static_cast<int>(threadIdx.x) / warpSize;
  const int warp_first_m = warp / 2 * warp_m, warp_first_n = warp % 2 * warp_n;
  float c[products_m][products_n][4] = {};

#pragma unroll
  for (int step = 0; step < stages - 1; ++step) load(step);
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<stages - 2>();
    __syncthreads();
    load(step + stages - 1);  // into the tiles of the step before, which all have left
    __syncwarp();             // whose lanes may have parted there, and multiply together
    const char* const tile_a = tiles_a + step % stages * TileA::bytes;
    const char* const tile_b = tiles_b + step % stages * TileB::bytes;
#pragma unroll
    for (int k = 0; k < chunks_per_step / 2; ++k) {
      unsigned a[products_m][4];
#pragma unroll
      for (int i = 0; i < products_m; ++i)
        load_a<T, TileA>(a[i], tile_a, warp_first_m + 16 * i, k, lane);
#pragma unroll
      for (int j = 0; j < products_n; j += 2) {
        constexpr int odd = products_n % 2;
        unsigned b[4];
        if (odd && j == products_n - 1) {
          unsigned single[2];
          load_b<T, TileB, 1>(single, tile_b, warp_first_n + 8 * j, k, lane);
          b[0] = single[0], b[1] = single[1];
        } else {
          load_b<T, TileB, 2>(b, tile_b, warp_first_n + 8 * j, k, lane);
        }
#pragma unroll
        for (int i = 0; i < products_m; ++i) {
          multiply_add<T>(c[i][j], a[i], b);
          if (j + 1 < products_n) multiply_add<T>(c[i][j + 1], a[i], b + 2);
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < products_m; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int m = first_m + warp_first_m + 16 * i + 8 * half + lane / 4;
      if (m >= product.m) continue;
      const auto row = product.output.row(m);
#pragma unroll
      for (int j = 0; j < products_n; ++j) {
        const int n = first_n + warp_first_n + 8 * j + lane % 4 * 2;
        if (n < product.n)
          product.output.put(row, n, part, c[i][j][2 * half], c[i][j][2 * half + 1]);
      }
    }
}

}  // namespace shatter::kernels::implicit_gemm
