// A left-looking blocked Cholesky: a block column takes its updates from all columns before it
// tile by tile, so that each tile is written once and stays in the cache, and no thread waits for
// another until the column is complete.
#include <shatter/experiments/linear_algebra/cholesky.h>

#include <Eigen/Dense>
#include <cmath>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <shatter/kernels/cpu/gemm.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

namespace {

constexpr std::int64_t tile_rows = 1024;  // of a block column, one task
constexpr std::int64_t small = 64;  // below it triangles are solved by Eigen, above by products

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;
using ConstMap = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;

/// While it lives, this thread takes subnormal numbers for 0. A narrow kernel's factor is full of
/// them; they lie far below its roundings, and make each operation many times as long.
class WithoutSubnormals {
 public:
#if defined(__x86_64__)
  WithoutSubnormals() : before_(_mm_getcsr()) {
    constexpr unsigned results_to_zero = 0x8000, operands_to_zero = 0x0040;
    _mm_setcsr(before_ | results_to_zero | operands_to_zero);
  }
  ~WithoutSubnormals() {
    _mm_setcsr(before_);
  }
#else
  WithoutSubnormals() {}
#endif
  WithoutSubnormals(const WithoutSubnormals&) = delete;
  WithoutSubnormals& operator=(const WithoutSubnormals&) = delete;

 private:
  [[maybe_unused]] unsigned before_ = 0;
};

/// c [m, n] -= a [m, k] b [n, k]^T.
void subtract_product(std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                      std::int64_t lda, const float* b, std::int64_t ldb, float* c,
                      std::int64_t ldc) {
  kernels::gemm(false, true, m, n, k, -1.f, a, lda, b, ldb, 1.f, c, ldc);
}

/// x [rows, width] = x L^-T for the triangle l [width, width].
void solve_rows(std::int64_t rows, std::int64_t width, const float* l, float* x) {
  for (std::int64_t j = 0; j < width; j += small) {
    const std::int64_t n = std::min(small, width - j);
    if (j > 0) subtract_product(rows, n, j, x, width, l + j * width, width, x + j, width);
    const ConstMap triangle(l + j * width + j, n, n, Eigen::OuterStride<>(width));
    Map right(x + j, rows, n, Eigen::OuterStride<>(width));
    triangle.transpose().triangularView<Eigen::Upper>().solveInPlace<Eigen::OnTheRight>(right);
  }
}

/// Factors the square a [width, width] in place; where it fails, the row, else -1.
std::int64_t factor_square(std::int64_t width, float* a, double& pivot) {
  for (std::int64_t j = 0; j < width; j += small) {
    const std::int64_t n = std::min(small, width - j), below = width - j - n;
    float* const square = a + j * width + j;
    if (j > 0)
      subtract_product(width - j, n, j, a + j * width, width, a + j * width, width, square, width);
    for (std::int64_t i = 0; i < n; ++i) {
      float* const row = square + i * width;
      for (std::int64_t k = 0; k <= i; ++k) {
        const float* const other = square + k * width;
        double sum = row[k];
        for (std::int64_t l = 0; l < k; ++l) sum -= double(row[l]) * double(other[l]);
        if (k < i) {
          row[k] = float(sum / double(other[k]));
        } else {
          pivot = sum;
          if (!(sum > 0)) return j + i;
          row[i] = float(std::sqrt(sum));
        }
      }
    }
    if (below > 0) {
      const ConstMap triangle(square, n, n, Eigen::OuterStride<>(width));
      Map right(square + n * width, below, n, Eigen::OuterStride<>(width));
      triangle.transpose().triangularView<Eigen::Upper>().solveInPlace<Eigen::OnTheRight>(right);
    }
  }
  return -1;
}

}  // namespace

Cholesky cholesky(CpuContext& context, PackedLower& a, const StopAfterColumn& stop) {
  const WithoutSubnormals guard;
  Cholesky result;
  result.min_pivot = std::numeric_limits<double>::infinity();
  for (std::int64_t j = 0; j < a.block_columns(); ++j) {
    const std::int64_t first = a.begin(j), width = a.width(j);
    context.parallel_for(a.n() - first, tile_rows, [&](std::int64_t begin, std::int64_t end) {
      const WithoutSubnormals guard_of_worker;
      for (std::int64_t k = 0; k < j; ++k)
        subtract_product(end - begin, width, a.width(k), a.row(first + begin, k), a.width(k),
                         a.row(first, k), a.width(k), a.row(first + begin, j), width);
    });
    float* const square = a.row(first, j);
    double pivot = 0;
    if (const std::int64_t row = factor_square(width, square, pivot); row >= 0) {
      result.failed = first + row;
      result.failed_pivot = pivot;
      return result;
    }
    for (std::int64_t i = 0; i < width; ++i)
      result.min_pivot =
          std::min(result.min_pivot, double(square[i * width + i]) * square[i * width + i]);
    context.parallel_for(a.n() - first - width, tile_rows,
                         [&](std::int64_t begin, std::int64_t end) {
                           const WithoutSubnormals guard_of_worker;
                           solve_rows(end - begin, width, square, a.row(first + width + begin, j));
                         });
    if (stop && stop(j + 1, a.block_columns())) {
      result.stopped = true;
      return result;
    }
  }
  return result;
}

void cholesky_solve(CpuContext& context, const PackedLower& l, std::int64_t columns, float* b) {
  const WithoutSubnormals guard;
  const auto triangle = [&](std::int64_t j) {
    return ConstMap(l.row(l.begin(j), j), l.width(j), l.width(j), Eigen::OuterStride<>(l.width(j)));
  };
  const auto part = [&](std::int64_t j) {
    return Map(b + l.begin(j) * columns, l.width(j), columns, Eigen::OuterStride<>(columns));
  };
  for (std::int64_t j = 0; j < l.block_columns(); ++j) {
    auto right = part(j);
    triangle(j).triangularView<Eigen::Lower>().solveInPlace(right);
    context.parallel_for(l.n() - l.end(j), tile_rows, [&](std::int64_t begin, std::int64_t end) {
      const WithoutSubnormals guard_of_worker;
      const std::int64_t row = l.end(j) + begin;
      kernels::gemm(false, false, end - begin, columns, l.width(j), -1.f, l.row(row, j), l.width(j),
                    b + l.begin(j) * columns, columns, 1.f, b + row * columns, columns);
    });
  }
  for (std::int64_t j = l.block_columns() - 1; j >= 0; --j) {
    // Each tile's share is kept apart and then subtracted in the order of the tiles.
    const std::int64_t rows = l.n() - l.end(j), tiles = (rows + tile_rows - 1) / tile_rows;
    const std::int64_t share = l.width(j) * columns;
    std::vector<float> shares(std::size_t(tiles * share));
    context.parallel_for(rows, tile_rows, [&](std::int64_t begin, std::int64_t end) {
      const WithoutSubnormals guard_of_worker;
      const std::int64_t row = l.end(j) + begin;
      kernels::gemm(true, false, l.width(j), columns, end - begin, 1.f, l.row(row, j), l.width(j),
                    b + row * columns, columns, 0.f, shares.data() + begin / tile_rows * share,
                    columns);
    });
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      for (std::int64_t i = 0; i < share; ++i)
        b[l.begin(j) * columns + i] -= shares[std::size_t(tile * share + i)];
    auto right = part(j);
    triangle(j).transpose().triangularView<Eigen::Upper>().solveInPlace(right);
  }
}

}  // namespace shatter::experiments
