// A double product of float rows: panels widened while they are packed, 8 x 16 results in
// registers.
#include <shatter/experiments/linear_algebra/products.h>

#include <algorithm>
#include <vector>

#include <shatter/kernels/cpu/multiversion.h>

namespace shatter::experiments {

namespace {

constexpr std::int64_t panel_rows = 8, panel_columns = 16, depth = 256;

typedef double Lanes __attribute__((vector_size(64)));

/// packed[panel][l][lane] = x[panel * lanes + lane, first + l]; rows past the end are zero.
template <std::int64_t lanes>
void pack(std::int64_t rows, std::int64_t d, std::int64_t first, std::int64_t count, const float* x,
          double* packed) {
  for (std::int64_t panel = 0; panel < rows; panel += lanes, packed += lanes * count)
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const bool inside = panel + lane < rows;
      const float* const row = x + (panel + lane) * d + first;
      for (std::int64_t l = 0; l < count; ++l)
        packed[l * lanes + lane] = inside ? double(row[l]) : 0;
    }
}

/// The products of one panel of a and one of b over `count` elements; sums [8][16].
inline void multiply_panels(std::int64_t count, const double* a, const double* b, double* sums) {
  Lanes left[panel_rows] = {}, right[panel_rows] = {};
  for (std::int64_t l = 0; l < count; ++l) {
    Lanes low, high;
    __builtin_memcpy(&low, b + l * panel_columns, sizeof low);
    __builtin_memcpy(&high, b + l * panel_columns + 8, sizeof high);
#pragma GCC unroll 8  // keeps the sums in registers
    for (int i = 0; i < panel_rows; ++i) {
      left[i] += a[l * panel_rows + i] * low;
      right[i] += a[l * panel_rows + i] * high;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < panel_rows; ++i) {
    __builtin_memcpy(sums + i * panel_columns, &left[i], sizeof left[i]);
    __builtin_memcpy(sums + i * panel_columns + 8, &right[i], sizeof right[i]);
  }
}

}  // namespace

void double_products(std::int64_t m, std::int64_t n, std::int64_t d, const float* a, const float* b,
                     double* out) {
  const auto padded = [](std::int64_t rows, std::int64_t lanes) {
    return (rows + lanes - 1) / lanes * lanes;
  };
  thread_local std::vector<double> packed_a, packed_b;
  packed_a.resize(std::size_t(padded(m, panel_rows) * depth));
  packed_b.resize(std::size_t(padded(n, panel_columns) * depth));
  std::fill(out, out + m * n, 0);
  for (std::int64_t first = 0; first < d; first += depth) {
    const std::int64_t count = std::min(depth, d - first);
    pack<panel_rows>(m, d, first, count, a, packed_a.data());
    pack<panel_columns>(n, d, first, count, b, packed_b.data());
    kernels::multiversion([=, left = packed_a.data(), right = packed_b.data()] {
      double sums[panel_rows * panel_columns];
      for (std::int64_t j = 0; j < n; j += panel_columns)
        for (std::int64_t i = 0; i < m; i += panel_rows) {
          multiply_panels(count, left + i * count, right + j * count, sums);
          const std::int64_t rows = std::min(panel_rows, m - i);
          const std::int64_t columns = std::min(panel_columns, n - j);
          for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t c = 0; c < columns; ++c)
              out[(i + r) * n + j + c] += sums[r * panel_columns + c];
        }
    });
  }
}

void double_squared_norms(std::int64_t rows, std::int64_t d, const float* x, double* norms) {
  for (std::int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (std::int64_t l = 0; l < d; ++l) sum += double(x[i * d + l]) * double(x[i * d + l]);
    norms[i] = sum;
  }
}

}  // namespace shatter::experiments
