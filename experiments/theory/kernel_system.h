// The linear system of a kernel matrix where it is solved: on the CPU's threads, or on a GPU.
#pragma once

#include <shatter/core/device.h>
#include <shatter/experiments/linear_algebra/cholesky.h>
#include <shatter/experiments/linear_algebra/kernel_matrix.h>
#include <shatter/experiments/theory/random_convnet.h>

namespace shatter::experiments {

/// What solve() asks of K [n, n]. Vectors are the host's.
class KernelSystem {
 public:
  virtual ~KernelSystem() = default;
  virtual std::int64_t n() const = 0;
  /// K + (lambda + jitter * the largest element of its diagonal) I in float32, to be factored.
  /// False: stopped.
  virtual bool fill(double lambda, double jitter, const Stop& stop) = 0;
  /// Factors what fill() left.
  virtual Cholesky factor(const StopAfterColumn& stop) = 0;
  /// b [n, columns] = (L L^T)^-1 b by that factor.
  virtual void apply_inverse(std::int64_t columns, float* b) = 0;
  /// y [n, columns] = K x in double. False: stopped, y is unfinished.
  virtual bool multiply(std::int64_t columns, const double* x, double* y, const Stop& stop) = 0;
};

/// The system on the threads of `context`, in half the square's memory. `k` must outlive it.
std::unique_ptr<KernelSystem> packed_system(CpuContext& context, const KernelMatrix& k);

/// Of K[i, j] = exp(-gamma |x_i - x_j|^2), with predictions at other points.
class GaussianSystem : public KernelSystem {
 public:
  /// K(test, points) alpha: [test.n, columns] for alpha [n, columns]. Empty when stopped.
  virtual std::vector<double> predict(const Features& test, std::int64_t columns,
                                      const std::vector<double>& alpha, const Stop& stop) = 0;
};

/// On cpu_context() or on a GPU; the points must outlive it. Throws (usage) as GaussianKernel does.
std::unique_ptr<GaussianSystem> gaussian_system(Device device, const Features& points,
                                                double gamma);

/// The Gram matrices of a random conv-net's features (ConvnetGram) on a device.
class ConvnetSystem {
 public:
  virtual ~ConvnetSystem() = default;
  /// Of the first n training images; this must outlive it.
  virtual std::unique_ptr<KernelSystem> first(std::int64_t n) = 0;
  /// Training images n, n + 1, ... by the first n: [others, columns] for alpha [n, columns].
  virtual std::vector<double> predict_rest(std::int64_t n, std::int64_t columns,
                                           const std::vector<double>& alpha) = 0;
  /// The test images by all training images: [m, columns].
  virtual std::vector<double> predict_test(std::int64_t columns,
                                           const std::vector<double>& alpha) = 0;
};

/// Null when stopped; `each` as in convnet_gram.
std::unique_ptr<ConvnetSystem> convnet_system(Device device, const data::Dataset& train,
                                              const data::Dataset& test, const RandomConvnet& net,
                                              const std::function<bool(double)>& each = {});

}  // namespace shatter::experiments
