// Matrix products: tiles of the result on the threads, oneDNN or Eigen inside a tile.
#include <array>
#include <map>

#include <Eigen/Core>

#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/work.h>

#include "gemm.h"
#include "multiversion.h"
#include "one_thread.h"
#include "onednn.h"
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

// op(a) op(b) by oneDNN. A thread keeps its primitives: making one costs as much as a small
// product.
void bfloat16_product(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n,
                      std::int64_t k, const bfloat16* a, std::int64_t lda, const bfloat16* b,
                      std::int64_t ldb, float* c, std::int64_t ldc) {
  using dnnl::memory;
  thread_local const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  thread_local std::map<std::array<std::int64_t, 8>, dnnl::matmul::primitive_desc> known;
  const auto matrix = [](std::int64_t rows, std::int64_t columns, bool transposed,
                         std::int64_t step, memory::data_type type) {
    return memory::desc({rows, columns}, type,
                        transposed ? memory::dims{1, step} : memory::dims{step, 1});
  };
  const OneThread one_thread;
  auto found = known.find({transpose_a, transpose_b, m, n, k, lda, ldb, ldc});
  if (found == known.end()) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto desc = onednn_descriptor<dnnl::matmul>(
        engine, attributes, matrix(m, k, transpose_a, lda, memory::data_type::bf16),
        matrix(k, n, transpose_b, ldb, memory::data_type::bf16),
        matrix(m, n, false, ldc, memory::data_type::f32));
    found =
        known
            .emplace(std::array<std::int64_t, 8>{transpose_a, transpose_b, m, n, k, lda, ldb, ldc},
                     desc)
            .first;
  }
  const dnnl::matmul::primitive_desc& desc = found->second;
  const Workspace<unsigned char> scratch(
      static_cast<std::int64_t>(desc.scratchpad_desc().get_size()));
  dnnl::stream stream(engine);
  dnnl::matmul(desc).execute(
      stream, {{DNNL_ARG_SRC, memory(desc.src_desc(), engine, const_cast<bfloat16*>(a))},
               {DNNL_ARG_WEIGHTS, memory(desc.weights_desc(), engine, const_cast<bfloat16*>(b))},
               {DNNL_ARG_DST, memory(desc.dst_desc(), engine, c)},
               {DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine, scratch.data())}});
  stream.wait();
}

// The rows of a matrix as float, packed.
void widen(std::int64_t rows, std::int64_t columns, const bfloat16* x, std::int64_t step,
           float* y) {
  multiversion([=] {
    for (std::int64_t row = 0; row < rows; ++row) {
      SHATTER_INDEPENDENT
      for (std::int64_t i = 0; i < columns; ++i) y[row * columns + i] = x[row * step + i];
    }
  });
}

}  // namespace

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const bfloat16* a, std::int64_t lda, const bfloat16* b, std::int64_t ldb,
          float beta, float* c, std::int64_t ldc) {
  if (!has_bfloat16_products()) {
    const Workspace<float> left(m * k), right(k * n);
    const std::int64_t a_step = transpose_a ? m : k, b_step = transpose_b ? k : n;
    widen(m * k / a_step, a_step, a, lda, left.data());
    widen(k * n / b_step, b_step, b, ldb, right.data());
    return gemm(transpose_a, transpose_b, m, n, k, alpha, left.data(), a_step, right.data(), b_step,
                beta, c, ldc);
  }
  if (m == 1 && transpose_a && lda != 1) {  // a column, which oneDNN 3.7 reads as if it were packed
    const Workspace<bfloat16> row(k);
    for (std::int64_t i = 0; i < k; ++i) row[i] = a[i * lda];
    return gemm(false, transpose_b, m, n, k, alpha, row.data(), k, b, ldb, beta, c, ldc);
  }
  try {
    if (alpha == 1 && beta == 0)
      return bfloat16_product(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, c, ldc);
    const Workspace<float> product(m * n);
    bfloat16_product(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, product.data(), n);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        float& value = c[i * ldc + j];
        value = alpha * product[i * n + j] + (beta == 0 ? 0 : beta * value);
      }
  } catch (const dnnl::error& error) {
    fail(ErrorKind::unexpected, "matmul: oneDNN failed: ", error.what(), " (m ", m, ", n ", n,
         ", k ", k, ", lda ", lda, ", ldb ", ldb, ", ldc ", ldc, ")");
  }
}

namespace {

// Extent of the tiles along a dimension of `size`, cut into about `parts`, multiples of 64.
std::int64_t tile_extent(std::int64_t size, std::int64_t parts) {
  return ceil_div(ceil_div(size, parts), 64) * 64;
}

/// c's rows [i, i + rows) and columns [j, j + columns).
struct Tile {
  std::int64_t i, j, rows, columns;
};

/// Calls multiply(tile) for each tile of c, on the threads.
template <class Multiply>
void for_tiles(CpuContext& context, const MatmulGeometry& g, Multiply multiply) {
  // Every tile packs its share of both operands, so tiles are few and near square: up to 16 of at
  // least 128 x 128, halving the longer side.
  std::int64_t tile_m = g.m, tile_n = g.n;
  for (std::int64_t parts = 1; parts < 16; parts *= 2) {
    if (tile_m >= tile_n && tile_m >= 256)
      tile_m = tile_extent(tile_m, 2);
    else if (tile_n >= 256)
      tile_n = tile_extent(tile_n, 2);
  }
  const std::int64_t columns = ceil_div(g.n, tile_n);
  context.parallel(ceil_div(g.m, tile_m) * columns, [&](std::int64_t tile) {
    const std::int64_t i = tile / columns * tile_m, j = tile % columns * tile_n;
    multiply(Tile{i, j, std::min(tile_m, g.m - i), std::min(tile_n, g.n - j)});
  });
}

/// A tile of alpha op(a) op(b) + beta c; its first element lies at c.
template <class T>
void multiply_tile(const MatmulGeometry& g, const Tile& tile, wide_t<T> alpha, const T* a,
                   const T* b, wide_t<T> beta, wide_t<T>* c, std::int64_t ldc) {
  gemm(g.transpose_a, g.transpose_b, tile.rows, tile.columns, g.k, alpha,
       a + (g.transpose_a ? tile.i : tile.i * g.lda), g.lda,
       b + (g.transpose_b ? tile.j * g.ldb : tile.j), g.ldb, beta, c, ldc);
}

/// The geometry with every leading dimension.
MatmulGeometry with_steps(MatmulGeometry g) {
  if (!g.lda) g.lda = g.transpose_a ? g.m : g.k;
  if (!g.ldb) g.ldb = g.transpose_b ? g.k : g.n;
  if (!g.ldc) g.ldc = g.n;
  return g;
}

// c = beta c, which is 0 where beta is.
template <class W, class C>
void scale(const MatmulGeometry& g, W beta, C* c) {
  for (std::int64_t i = 0; i < g.m; ++i)
    for (std::int64_t j = 0; j < g.n; ++j) {
      C& value = c[i * g.ldc + j];
      value = static_cast<C>(beta == W(0) ? W(0) : beta * value);
    }
}

// c is of the type that products are summed in.
template <class T>
void multiply(CpuContext& context, const MatmulGeometry& packed, wide_t<T> alpha, const T* a,
              const T* b, wide_t<T> beta, wide_t<T>* c) {
  const MatmulGeometry g = with_steps(packed);
  if (g.m <= 0 || g.n <= 0) return;
  const ProfileScope scope(context, "matmul", matmul_work<T, wide_t<T>>(g, beta != 0));
  if (g.k <= 0) return scale(g, beta, c);
  for_tiles(context, g, [&](const Tile& tile) {
    multiply_tile(g, tile, alpha, a, b, beta, c + tile.i * g.ldc + tile.j, g.ldc);
  });
}

}  // namespace

template <class T>
void matmul(CpuContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a, const T* b,
            wide_t<T> beta, T* c) {
  multiply(context, g, alpha, a, b, beta, c);
}

template <>
void matmul(CpuContext& context, const MatmulGeometry& packed, float alpha, const bfloat16* a,
            const bfloat16* b, float beta, bfloat16* c) {
  const MatmulGeometry g = with_steps(packed);
  if (g.m <= 0 || g.n <= 0) return;
  const ProfileScope scope(context, "matmul", matmul_work<bfloat16>(g, beta != 0));
  if (g.k <= 0) return scale(g, beta, c);
  for_tiles(context, g, [&](const Tile& tile) {
    const Workspace<float> product(tile.rows * tile.columns);
    multiply_tile(g, tile, alpha, a, b, 0.f, product.data(), tile.columns);
    multiversion([=, &g, product = product.data()] {
      for (std::int64_t row = 0; row < tile.rows; ++row) {
        bfloat16* const out = c + (tile.i + row) * g.ldc + tile.j;
        SHATTER_INDEPENDENT
        for (std::int64_t l = 0; l < tile.columns; ++l) {
          const float old = beta == 0 ? 0 : beta * out[l];
          out[l] = static_cast<bfloat16>(product[row * tile.columns + l] + old);
        }
      }
    });
  });
}

void matmul(CpuContext& context, const MatmulGeometry& g, float alpha, const bfloat16* a,
            const bfloat16* b, float beta, float* c) {
  multiply(context, g, alpha, a, b, beta, c);
}

template <class T>
void linear_forward(CpuContext& context, const LinearGeometry& linear, const T* x, const T* w,
                    const wide_t<T>* bias, T* y) {
  using Wide = wide_t<T>;
  const MatmulGeometry g =
      with_steps({.m = linear.n, .n = linear.out, .k = linear.in, .transpose_b = true});
  if (g.m <= 0 || g.n <= 0) return;
  const ProfileScope scope(context, "linear_forward", linear_work<T>(linear));
  for_tiles(context, g, [&](const Tile& tile) {
    T* const out = y + tile.i * g.ldc + tile.j;
    constexpr bool in_place = std::is_same_v<T, Wide>;
    const Workspace<Wide> space(in_place ? 0 : tile.rows * tile.columns);
    Wide* product = space.data();
    std::int64_t step = tile.columns;
    if constexpr (in_place) {
      product = out;
      step = g.ldc;
    }
    if (g.k > 0)
      multiply_tile(g, tile, Wide(1), x, w, Wide(0), product, step);
    else
      for (std::int64_t row = 0; row < tile.rows; ++row)
        std::fill_n(product + row * step, tile.columns, Wide(0));
    if (in_place && !bias && !linear.relu) return;
    const Wide* const shift = bias ? bias + tile.j : nullptr;
    multiversion(
        [=, rows = tile.rows, columns = tile.columns, out_step = g.ldc, relu = linear.relu] {
          for (std::int64_t row = 0; row < rows; ++row) {
            const Wide* const from = product + row * step;
            T* const to = out + row * out_step;
            SHATTER_INDEPENDENT
            for (std::int64_t l = 0; l < columns; ++l) {
              const Wide z = shift ? from[l] + shift[l] : from[l];
              to[l] = static_cast<T>(relu ? Relu{}(z) : z);
            }
          }
        });
  });
}

template void matmul(CpuContext&, const MatmulGeometry&, float, const float*, const float*, float,
                     float*);
template void matmul(CpuContext&, const MatmulGeometry&, double, const double*, const double*,
                     double, double*);
template void linear_forward(CpuContext&, const LinearGeometry&, const float*, const float*,
                             const float*, float*);
template void linear_forward(CpuContext&, const LinearGeometry&, const double*, const double*,
                             const double*, double*);
template void linear_forward(CpuContext&, const LinearGeometry&, const bfloat16*, const bfloat16*,
                             const float*, bfloat16*);

}  // namespace shatter::kernels
