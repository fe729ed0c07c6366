// Matrix products in emulation, where there is no cuBLAS: tiles through shared memory, operands
// rounded to TF32 where the context allows it.
#include <bit>
#include <type_traits>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/cuda/mma.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

constexpr int tile = 16;

// A stored matrix as op() sees it: element (i, j) lies at i * down + j * right.
struct View {
  std::int64_t down, right;
};

// An operand as it is multiplied.
template <class T>
__device__ wide_t<T> operand(T value, bool tf32) {
  if constexpr (std::is_same_v<T, float>)
    if (tf32) return std::bit_cast<float>(to_tf32(value));
  return wide_t<T>(value);
}

// c [m, n] = alpha * a b + beta * c, summed in wide_t<T>, k rising. One thread for each element.
template <class T, class Result>
__global__ void product(std::int64_t m, std::int64_t n, std::int64_t k, View view_a, View view_b,
                        std::int64_t ldc, bool tf32, wide_t<T> alpha, const T* a, const T* b,
                        wide_t<T> beta, Result* c) {
  __shared__ wide_t<T> tile_a[tile][tile], tile_b[tile][tile];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const std::int64_t row = std::int64_t{blockIdx.x} * tile + y;
  const std::int64_t column = std::int64_t{blockIdx.y} * tile + x;
  wide_t<T> sum = 0;
  for (std::int64_t first = 0; first < k; first += tile) {
    tile_a[y][x] = row < m && first + x < k
                       ? operand(a[row * view_a.down + (first + x) * view_a.right], tf32)
                       : 0;
    tile_b[y][x] = first + y < k && column < n
                       ? operand(b[(first + y) * view_b.down + column * view_b.right], tf32)
                       : 0;
    __syncthreads();
    for (int l = 0; l < tile; ++l) sum += tile_a[y][l] * tile_b[l][x];
    __syncthreads();
  }
  if (row >= m || column >= n) return;
  Result& result = c[row * ldc + column];
  wide_t<T> value = alpha * sum;
  if (beta != 0) value += beta * wide_t<T>(result);
  result = Result(value);
}

template <class T, class Result>
void multiply(CudaContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a,
              const T* b, wide_t<T> beta, Result* c) {
  if (g.m <= 0 || g.n <= 0) return;
  const ProfileScope scope(context, "matmul", matmul_work<T, Result>(g, beta != 0));
  const auto view = [](bool transposed, std::int64_t ld, std::int64_t rows,
                       std::int64_t columns) -> View {
    if (transposed) return {1, ld ? ld : rows};
    return {ld ? ld : columns, 1};
  };
  const auto tiles = [](std::int64_t n) { return static_cast<unsigned>((n + tile - 1) / tile); };
  launch(context, "matmul", {dim3(tiles(g.m), tiles(g.n)), dim3(tile, tile)}, product<T, Result>,
         g.m, g.n, g.k, view(g.transpose_a, g.lda, g.m, g.k), view(g.transpose_b, g.ldb, g.k, g.n),
         g.ldc ? g.ldc : g.n, context.tf32(), alpha, a, b, beta, c);
}

}  // namespace

template <class T>
void matmul(CudaContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a, const T* b,
            wide_t<T> beta, T* c) {
  multiply<T, T>(context, g, alpha, a, b, beta, c);
}

void matmul(CudaContext& context, const MatmulGeometry& g, float alpha, const bfloat16* a,
            const bfloat16* b, float beta, float* c) {
  multiply<bfloat16, float>(context, g, alpha, a, b, beta, c);
}

template void matmul(CudaContext&, const MatmulGeometry&, float, const float*, const float*, float,
                     float*);
template void matmul(CudaContext&, const MatmulGeometry&, double, const double*, const double*,
                     double, double*);
template void matmul(CudaContext&, const MatmulGeometry&, float, const bfloat16*, const bfloat16*,
                     float, bfloat16*);

}  // namespace shatter::kernels
