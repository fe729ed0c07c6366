// Kernel matrices by what a solver asks of them: their entries, tile by tile. Nobody stores the
// square.
#pragma once

#include <functional>

#include <shatter/experiments/linear_algebra/features.h>
#include <shatter/experiments/linear_algebra/packed_matrix.h>
#include <shatter/kernels/context.h>

namespace shatter::experiments {

/// Asked between parts of long work; true: leave.
using Stop = std::function<bool()>;

/// A symmetric positive semidefinite matrix K [n, n].
class KernelMatrix {
 public:
  static constexpr std::int64_t tile_size = PackedLower::default_block;

  virtual ~KernelMatrix() = default;
  virtual std::int64_t n() const = 0;
  /// out [size of tile i, size of tile j] = the entries of row tile i >= column tile j, on the
  /// calling thread. Tile i holds the rows [i * tile_size, (i + 1) * tile_size), cut at n().
  virtual void tile(CpuContext& context, std::int64_t i, std::int64_t j, double* out) const = 0;

  std::int64_t tiles() const { return (n() + tile_size - 1) / tile_size; }
  std::int64_t tile_begin(std::int64_t i) const { return i * tile_size; }
  std::int64_t tile_end(std::int64_t i) const { return std::min(n(), (i + 1) * tile_size); }
};

/// Writes block column j of K, each entry rounded once to float. `packed` has k.n() rows in blocks
/// of tile_size.
void fill(CpuContext& context, const KernelMatrix& k, PackedLower& packed, std::int64_t j);

/// y [n, columns] = K x [n, columns] in double; each tile is asked for once and used for both
/// triangles. The same bits on any number of threads. False: stopped, y is unfinished.
bool multiply(CpuContext& context, const KernelMatrix& k, std::int64_t columns, const double* x,
              double* y, const Stop& stop = {});

/// The sigma of exp(-gamma |x - y|^2) = exp(-|x - y|^2 / (2 sigma^2)). Throws (usage) unless gamma
/// > 0 and there are points.
double gaussian_sigma(const Features& points, double gamma);

/// Throws (usage) unless `test` has rows like the points' and alpha is [points, columns].
void check_prediction(const Features& test, std::int64_t n, std::int64_t d, std::int64_t columns,
                      const std::vector<double>& alpha);

/// K[i, j] = exp(-gamma |x_i - x_j|^2) of the rows of `points`, which must outlive it. Entries are
/// double's, computed anew whenever asked for.
class GaussianKernel : public KernelMatrix {
 public:
  /// Throws (usage) unless gamma > 0 and there are points.
  GaussianKernel(const Features& points, double gamma);

  std::int64_t n() const override { return points_.n; }
  void tile(CpuContext& context, std::int64_t i, std::int64_t j, double* out) const override;

  /// y [m, columns] = K(test, points) x [n, columns]. Empty when stopped.
  std::vector<double> predict(CpuContext& context, const Features& test, std::int64_t columns,
                              const std::vector<double>& x, const Stop& stop = {}) const;

 private:
  const Features& points_;
  double sigma_;
  std::vector<double> norms_;
};

/// The first n rows and columns of a stored matrix, whose block is tile_size and which must outlive
/// it.
class StoredKernel : public KernelMatrix {
 public:
  StoredKernel(const PackedLower& stored, std::int64_t n);

  std::int64_t n() const override { return n_; }
  void tile(CpuContext& context, std::int64_t i, std::int64_t j, double* out) const override;

 private:
  const PackedLower& stored_;
  std::int64_t n_;
};

}  // namespace shatter::experiments
