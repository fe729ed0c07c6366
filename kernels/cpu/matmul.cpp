// Matrix products: tiles of the result on the threads, oneDNN or Eigen inside a tile.
#include <dnnl.h>

#include <Eigen/Core>

#include <shatter/kernels/error.h>
#include <shatter/kernels/matmul.h>

#include "gemm.h"
#include "multiversion.h"
#include "one_thread.h"
#include "workspace.h"

namespace shatter::kernels {

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
          float beta, float* c, std::int64_t ldc) {
  const OneThread one_thread;
  const dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k,
                                          alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != dnnl_success)
    fail(ErrorKind::unexpected, "matmul: dnnl_sgemm failed with status ", int(status), " (m ", m,
         ", n ", n, ", k ", k, ", lda ", lda, ", ldb ", ldb, ", ldc ", ldc, ")");
}

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          double alpha, const double* a, std::int64_t lda, const double* b, std::int64_t ldb,
          double beta, double* c, std::int64_t ldc) {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  using Input = Eigen::Map<const Matrix, 0, Stride>;
  Eigen::Map<Matrix, 0, Stride> result(c, m, n, Stride(ldc));
  if (beta == 0)
    result.setZero();
  else if (beta != 1)
    result *= beta;
  const auto add = [&](const auto& left, const auto& right) {
    result.noalias() += alpha * left * right;
  };
  const Input left = transpose_a ? Input(a, k, m, Stride(lda)) : Input(a, m, k, Stride(lda));
  const Input right = transpose_b ? Input(b, n, k, Stride(ldb)) : Input(b, k, n, Stride(ldb));
  if (transpose_a && transpose_b)
    add(left.transpose(), right.transpose());
  else if (transpose_a)
    add(left.transpose(), right);
  else if (transpose_b)
    add(left, right.transpose());
  else
    add(left, right);
}

namespace {

// Extent of the tiles along a dimension of `size`, cut into about `parts`, multiples of 64.
std::int64_t tile_extent(std::int64_t size, std::int64_t parts) {
  return ceil_div(ceil_div(size, parts), 64) * 64;
}

}  // namespace

template <class T>
void matmul(CpuContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a, const T* b,
            wide_t<T> beta, T* c) {
  if (g.m <= 0 || g.n <= 0) return;
  const std::int64_t lda = g.lda ? g.lda : g.transpose_a ? g.m : g.k;
  const std::int64_t ldb = g.ldb ? g.ldb : g.transpose_b ? g.k : g.n;
  const std::int64_t ldc = g.ldc ? g.ldc : g.n;
  if (g.k <= 0) {
    for (std::int64_t i = 0; i < g.m; ++i)
      for (std::int64_t j = 0; j < g.n; ++j) {
        T& value = c[i * ldc + j];
        value = beta == T(0) ? T(0) : beta * value;
      }
    return;
  }
  // Every tile packs its share of both operands, so tiles are few and near square: up to 16 of at
  // least 128 x 128, halving the longer side.
  std::int64_t tile_m = g.m, tile_n = g.n;
  for (std::int64_t parts = 1; parts < 16; parts *= 2) {
    if (tile_m >= tile_n && tile_m >= 256)
      tile_m = tile_extent(tile_m, 2);
    else if (tile_n >= 256)
      tile_n = tile_extent(tile_n, 2);
    else if (tile_m >= 256)
      tile_m = tile_extent(tile_m, 2);
  }
  const std::int64_t columns = ceil_div(g.n, tile_n);
  context.parallel(ceil_div(g.m, tile_m) * columns, [&](std::int64_t tile) {
    const std::int64_t i = tile / columns * tile_m, j = tile % columns * tile_n;
    gemm(g.transpose_a, g.transpose_b, std::min(tile_m, g.m - i), std::min(tile_n, g.n - j), g.k,
         alpha, a + (g.transpose_a ? i : i * lda), lda, b + (g.transpose_b ? j * ldb : j), ldb,
         beta, c + i * ldc + j, ldc);
  });
}

template <class T>
void add_bias(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              const wide_t<T>* bias, T* y) {
  context.parallel_for(rows, rows_per_chunk(columns), [=](std::int64_t begin, std::int64_t end) {
    multiversion([=] {
      for (std::int64_t row = begin; row < end; ++row) {
        SHATTER_INDEPENDENT
        for (std::int64_t i = 0; i < columns; ++i)
          y[row * columns + i] = x[row * columns + i] + bias[i];
      }
    });
  });
}

template void matmul(CpuContext&, const MatmulGeometry&, float, const float*, const float*, float,
                     float*);
template void matmul(CpuContext&, const MatmulGeometry&, double, const double*, const double*,
                     double, double*);
template void add_bias(CpuContext&, std::int64_t, std::int64_t, const float*, const float*, float*);
template void add_bias(CpuContext&, std::int64_t, std::int64_t, const double*, const double*,
                       double*);

}  // namespace shatter::kernels
