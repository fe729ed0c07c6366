// Kernel matrices tile by tile.
#include "kernel_matrix.h"

#include <cmath>

#include <shatter/experiments/theory/products.h>
#include <shatter/kernels/cpu/gemm.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/gaussian_kernel.h>

namespace shatter::experiments {

bool multiply(CpuContext& context, const KernelMatrix& k, std::int64_t columns, const double* x,
              double* y, const Stop& stop) {
  std::fill(y, y + k.n() * columns, 0);
  const std::int64_t share = KernelMatrix::tile_size * columns;
  std::vector<double> mirrored(std::size_t(k.tiles() * share));
  for (std::int64_t j = 0; j < k.tiles(); ++j) {
    if (stop && stop()) return false;
    const std::int64_t width = k.tile_end(j) - k.tile_begin(j);
    // A task owns the rows of its tile; what the tile's mirror image adds to the rows of j waits
    // for all and is added in order.
    context.parallel(k.tiles() - j, [&](std::int64_t task) {
      const std::int64_t i = j + task, height = k.tile_end(i) - k.tile_begin(i);
      thread_local std::vector<double> tile;
      tile.resize(std::size_t(height * width));
      k.tile(context, i, j, tile.data());
      kernels::gemm(false, false, height, columns, width, 1., tile.data(), width,
                    x + k.tile_begin(j) * columns, columns, 1., y + k.tile_begin(i) * columns,
                    columns);
      if (i > j)
        kernels::gemm(true, false, width, columns, height, 1., tile.data(), width,
                      x + k.tile_begin(i) * columns, columns, 0., mirrored.data() + i * share,
                      columns);
    });
    for (std::int64_t i = j + 1; i < k.tiles(); ++i)
      for (std::int64_t e = 0; e < width * columns; ++e)
        y[k.tile_begin(j) * columns + e] += mirrored[std::size_t(i * share + e)];
  }
  return true;
}

GaussianKernel::GaussianKernel(const Features& points, double gamma)
    : points_(points), sigma_(std::sqrt(0.5 / gamma)) {
  check(gamma > 0 && std::isfinite(gamma), "GaussianKernel: gamma ", gamma,
        "; give a number above 0");
  check(points.n > 0 && points.d > 0, "GaussianKernel: no points");
  norms_.resize(std::size_t(points.n));
  double_squared_norms(points.n, points.d, points.values.data(), norms_.data());
  float_norms_.assign(norms_.begin(), norms_.end());
}

void GaussianKernel::fill(CpuContext& context, PackedLower& k, std::int64_t j) const {
  const std::int64_t first = k.begin(j), width = k.width(j), d = points_.d;
  // The square on the diagonal is a tile of its own: only there are rows and columns the same.
  context.parallel_for(k.n() - first, width, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t row = first + begin;
    float* const tile = k.row(row, j);
    kernels::gemm(false, true, end - begin, width, d, 1.f, points_.row(row), d, points_.row(first),
                  d, 0.f, tile, width);
    kernels::gaussian_kernel(context, {end - begin, width, sigma_, begin == 0},
                             float_norms_.data() + row, float_norms_.data() + first, tile);
  });
}

void GaussianKernel::tile(CpuContext& context, std::int64_t i, std::int64_t j, double* out) const {
  const std::int64_t row = tile_begin(i), column = tile_begin(j);
  const std::int64_t m = tile_end(i) - row, width = tile_end(j) - column;
  double_products(m, width, points_.d, points_.row(row), points_.row(column), out);
  kernels::gaussian_kernel(context, {m, width, sigma_, i == j}, norms_.data() + row,
                           norms_.data() + column, out);
}

std::vector<double> GaussianKernel::predict(CpuContext& context, const Features& test,
                                            std::int64_t columns, const std::vector<double>& x,
                                            const Stop& stop) const {
  check(test.d == points_.d, "predict: test rows of ", test.d, " numbers, training rows of ",
        points_.d);
  check(std::int64_t(x.size()) == n() * columns, "predict: ", x.size(), " coefficients for ", n(),
        " points and ", columns, " outputs");
  std::vector<double> norms(std::size_t(test.n)), y(std::size_t(test.n * columns));
  double_squared_norms(test.n, test.d, test.values.data(), norms.data());
  for (std::int64_t j = 0; j < tiles(); ++j) {
    if (stop && stop()) return {};
    const std::int64_t first = tile_begin(j), width = tile_end(j) - first;
    context.parallel_for(test.n, tile_size, [&](std::int64_t begin, std::int64_t end) {
      thread_local std::vector<double> tile;
      tile.resize(std::size_t((end - begin) * width));
      double_products(end - begin, width, test.d, test.row(begin), points_.row(first), tile.data());
      kernels::gaussian_kernel(context, {end - begin, width, sigma_}, norms.data() + begin,
                               norms_.data() + first, tile.data());
      kernels::gemm(false, false, end - begin, columns, width, 1., tile.data(), width,
                    x.data() + first * columns, columns, 1., y.data() + begin * columns, columns);
    });
  }
  return y;
}

StoredKernel::StoredKernel(const PackedLower& stored, std::int64_t n) : stored_(stored), n_(n) {
  check(stored.block() == tile_size, "StoredKernel: blocks of ", stored.block(), ", not ",
        tile_size);
  check(n >= 1 && n <= stored.n(), "StoredKernel: the first ", n, " of ", stored.n(), " rows");
}

void StoredKernel::fill(CpuContext& context, PackedLower& k, std::int64_t j) const {
  context.parallel_for(n_ - k.begin(j), tile_size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = k.begin(j) + begin; i < k.begin(j) + end; ++i)
      std::copy_n(stored_.row(i, j), k.width(j), k.row(i, j));
  });
}

void StoredKernel::tile(CpuContext&, std::int64_t i, std::int64_t j, double* out) const {
  const std::int64_t height = tile_end(i) - tile_begin(i), width = tile_end(j) - tile_begin(j);
  for (std::int64_t r = 0; r < height; ++r)
    for (std::int64_t c = 0; c < width; ++c) {
      const bool below = i > j || c <= r;
      out[r * width + c] = below ? stored_.at(tile_begin(i) + r, tile_begin(j) + c)
                                 : stored_.at(tile_begin(j) + c, tile_begin(i) + r);
    }
}

}  // namespace shatter::experiments
