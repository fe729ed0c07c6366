// Kernel matrices tile by tile.
#include <shatter/experiments/linear_algebra/kernel_matrix.h>

#include <cmath>

#include <shatter/experiments/linear_algebra/products.h>
#include <shatter/kernels/cpu/gemm.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/gaussian_kernel.h>

namespace shatter::experiments {

void fill(CpuContext& context, const KernelMatrix& k, PackedLower& packed, std::int64_t j) {
  check(packed.n() == k.n() && packed.block() == KernelMatrix::tile_size, "fill: a matrix of ",
        packed.n(), " rows in blocks of ", packed.block(), " for a kernel of ", k.n());
  context.parallel(k.tiles() - j, [&](std::int64_t task) {
    const std::int64_t i = j + task, elements = (k.tile_end(i) - k.tile_begin(i)) * packed.width(j);
    thread_local std::vector<double> tile;
    tile.resize(std::size_t(elements));
    k.tile(context, i, j, tile.data());
    std::transform(tile.begin(), tile.end(), packed.row(k.tile_begin(i), j),
                   [](double value) { return float(value); });
  });
}

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

double gaussian_sigma(const Features& points, double gamma) {
  check(gamma > 0 && std::isfinite(gamma), "GaussianKernel: gamma ", gamma,
        "; give a number above 0");
  check(points.n > 0 && points.d > 0, "GaussianKernel: no points");
  return std::sqrt(0.5 / gamma);
}

void check_prediction(const Features& test, std::int64_t n, std::int64_t d, std::int64_t columns,
                      const std::vector<double>& alpha) {
  check(test.d == d, "predict: test rows of ", test.d, " numbers, training rows of ", d);
  check(std::int64_t(alpha.size()) == n * columns, "predict: ", alpha.size(), " coefficients for ",
        n, " points and ", columns, " outputs");
}

GaussianKernel::GaussianKernel(const Features& points, double gamma)
    : points_(points), sigma_(gaussian_sigma(points, gamma)) {
  norms_.resize(std::size_t(points.n));
  double_squared_norms(points.n, points.d, points.values.data(), norms_.data());
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
  check_prediction(test, n(), points_.d, columns, x);
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
