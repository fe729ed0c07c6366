// Systems on the CPU, and the choice of the device.
#include <shatter/experiments/theory/kernel_system.h>

#include <shatter/core/dispatch.h>
#include <shatter/experiments/theory/cuda/kernel_system.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

namespace {

class PackedSystem : public KernelSystem {
 public:
  PackedSystem(CpuContext& context, const KernelMatrix& k)
      : context_(context), k_(k), l_(k.n(), KernelMatrix::tile_size) {}

  std::int64_t n() const override { return k_.n(); }
  bool fill(double lambda, double jitter, const Stop& stop) override {
    double largest = 0;
    for (std::int64_t j = 0; j < l_.block_columns(); ++j) {
      if (stop && stop()) return false;
      experiments::fill(context_, k_, l_, j);
      for (std::int64_t i = l_.begin(j); i < l_.end(j); ++i)
        largest = std::max(largest, double(l_.at(i, i)));
    }
    for (std::int64_t i = 0; i < l_.n(); ++i)
      l_.at(i, i) = float(double(l_.at(i, i)) + lambda + jitter * largest);
    return true;
  }
  Cholesky factor(const StopAfterColumn& stop) override { return cholesky(context_, l_, stop); }
  void apply_inverse(std::int64_t columns, float* b) override {
    cholesky_solve(context_, l_, columns, b);
  }
  bool multiply(std::int64_t columns, const double* x, double* y, const Stop& stop) override {
    return experiments::multiply(context_, k_, columns, x, y, stop);
  }

 private:
  CpuContext& context_;
  const KernelMatrix& k_;
  PackedLower l_;
};

/// Forwards to the system of a kernel it owns.
class CpuGaussianSystem : public GaussianSystem {
 public:
  CpuGaussianSystem(const Features& points, double gamma)
      : kernel_(points, gamma), system_(cpu_context(), kernel_) {}

  std::int64_t n() const override { return kernel_.n(); }
  bool fill(double lambda, double jitter, const Stop& stop) override {
    return system_.fill(lambda, jitter, stop);
  }
  Cholesky factor(const StopAfterColumn& stop) override { return system_.factor(stop); }
  void apply_inverse(std::int64_t columns, float* b) override { system_.apply_inverse(columns, b); }
  bool multiply(std::int64_t columns, const double* x, double* y, const Stop& stop) override {
    return system_.multiply(columns, x, y, stop);
  }
  std::vector<double> predict(const Features& test, std::int64_t columns,
                              const std::vector<double>& alpha, const Stop& stop) override {
    return kernel_.predict(cpu_context(), test, columns, alpha, stop);
  }

 private:
  GaussianKernel kernel_;
  PackedSystem system_;
};

class CpuConvnetSystem : public ConvnetSystem {
 public:
  explicit CpuConvnetSystem(ConvnetGram gram) : gram_(std::move(gram)) {}

  std::unique_ptr<KernelSystem> first(std::int64_t n) override {
    kernels_.push_back(std::make_unique<StoredKernel>(gram_.train, n));
    return packed_system(cpu_context(), *kernels_.back());
  }
  std::vector<double> predict_rest(std::int64_t n, std::int64_t columns,
                                   const std::vector<double>& alpha) override {
    return scores(gram_.train.n() - n, n, columns, alpha,
                  [&](std::int64_t i, std::int64_t k) { return gram_.train.at(n + i, k); });
  }
  std::vector<double> predict_test(std::int64_t columns,
                                   const std::vector<double>& alpha) override {
    const std::int64_t n = gram_.train.n(), m = std::int64_t(gram_.test.size()) / n;
    return scores(m, n, columns, alpha, [&](std::int64_t i, std::int64_t k) {
      return gram_.test[std::size_t(i * n + k)];
    });
  }

 private:
  template <class Product>
  static std::vector<double> scores(std::int64_t rows, std::int64_t n, std::int64_t columns,
                                    const std::vector<double>& alpha, const Product& product) {
    check(std::int64_t(alpha.size()) == n * columns, "conv-net: ", alpha.size(),
          " coefficients for ", n, " points and ", columns, " outputs");
    std::vector<double> all(std::size_t(rows * columns));
    cpu_context().parallel(rows, [&](std::int64_t i) {
      double* const score = all.data() + i * columns;
      for (std::int64_t k = 0; k < n; ++k) {
        const double weight = double(product(i, k));
        for (std::int64_t c = 0; c < columns; ++c)
          score[c] += weight * alpha[std::size_t(k * columns + c)];
      }
    });
    return all;
  }

  ConvnetGram gram_;
  std::vector<std::unique_ptr<StoredKernel>> kernels_;
};

}  // namespace

std::unique_ptr<KernelSystem> packed_system(CpuContext& context, const KernelMatrix& k) {
  return std::make_unique<PackedSystem>(context, k);
}

std::unique_ptr<GaussianSystem> gaussian_system(Device device, const Features& points,
                                                double gamma) {
  if constexpr (built_with_cuda)
    if (device.is_cuda()) return cuda_gaussian_system(device, points, gamma);
  return std::make_unique<CpuGaussianSystem>(points, gamma);
}

std::unique_ptr<ConvnetSystem> convnet_system(Device device, const data::Dataset& train,
                                              const data::Dataset& test, const RandomConvnet& net,
                                              const std::function<bool(double)>& each) {
  if constexpr (built_with_cuda)
    if (device.is_cuda()) return cuda_convnet_system(device, train, test, net, each);
  auto gram = convnet_gram(cpu_context(), train, test, net, each);
  if (!gram) return nullptr;
  return std::make_unique<CpuConvnetSystem>(std::move(*gram));
}

}  // namespace shatter::experiments
