// Kernel systems on a GPU, panel by panel.
#include <shatter/experiments/theory/cuda/kernel_system.h>

#include <cmath>
#include <limits>
#include <utility>

#include <shatter/core/ops.h>
#include <shatter/kernels/cuda/cholesky.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/gaussian_kernel.h>
#include <shatter/kernels/matmul.h>

namespace shatter::experiments {

namespace {

CudaContext& context_of(const Tensor& tensor) {
  return cuda_context(tensor.device().index());
}

/// Calls body(begin, count) for the panels of `rows` rows; false when stopped.
template <class Body>
bool panels(std::int64_t rows, std::int64_t panel, const Stop& stop, const Body& body) {
  for (std::int64_t begin = 0; begin < rows; begin += panel) {
    if (stop && stop()) return false;
    body(begin, std::min(panel, rows - begin));
  }
  return true;
}

/// y [rows, columns] = K x, K's rows [count, n] of double being rows_of(begin, count).
template <class RowsOf>
bool multiply_rows(std::int64_t rows, std::int64_t panel, const RowsOf& rows_of, const Tensor& x,
                   double* y, const Stop& stop) {
  const Tensor all = Tensor::empty({rows, x.dim(1)}, DType::float64, x.device());
  if (!panels(rows, panel, stop, [&](std::int64_t begin, std::int64_t count) {
        all.slice_items(begin, count).copy_from(matmul(rows_of(begin, count), x));
      }))
    return false;
  context_of(all).copy_to_host(y, all.raw(), all.bytes());
  return true;
}

/// The diagonal of float32 [n, n].
std::vector<float> diagonal_of(const Tensor& a) {
  const std::int64_t n = a.dim(0);
  const Tensor diagonal = Tensor::empty({n}, DType::float32, a.device());
  kernels::copy_rows<float>(context_of(a), n, 1, a.data<float>(), n + 1, diagonal.data<float>(), 1);
  return diagonal.values<float>();
}

Tensor on_device(Device device, const double* values, const Shape& shape) {
  return Tensor::from(std::span(values, std::size_t(shape.numel())), shape, device);
}

/// A system whose square matrix is factored in float32 on the GPU.
template <class Base>
class SquareSystem : public Base {
 public:
  SquareSystem(Device device, std::int64_t n, std::int64_t panel)
      : device_(device), n_(n), panel_(panel) {}

  std::int64_t n() const override { return n_; }
  bool fill(double lambda, double jitter, const Stop& stop) override {
    if (!l_) l_ = Tensor::empty({n_, n_}, DType::float32, device_);
    if (!panels(n_, panel_, stop, [&](std::int64_t begin, std::int64_t count) {
          l_.slice_items(begin, count).copy_from(rows(begin, count));
        }))
      return false;
    std::vector<float> diagonal = diagonal_of(l_);
    const double largest = *std::max_element(diagonal.begin(), diagonal.end());
    for (float& value : diagonal) value = float(double(value) + lambda + jitter * largest);
    const Tensor there = Tensor::from(diagonal, {n_}, device_);
    kernels::copy_rows<float>(context_of(l_), n_, 1, there.data<float>(), 1, l_.data<float>(),
                              n_ + 1);
    return true;
  }
  Cholesky factor(const StopAfterColumn& stop) override {
    Cholesky outcome;
    outcome.failed = kernels::cholesky(context_of(l_), n_, l_.data<float>());
    if (outcome.failed >= 0) {
      outcome.failed_pivot = std::numeric_limits<double>::quiet_NaN();
      return outcome;
    }
    outcome.min_pivot = std::numeric_limits<double>::infinity();
    for (const float root : diagonal_of(l_))
      outcome.min_pivot = std::min(outcome.min_pivot, double(root) * double(root));
    outcome.stopped = stop && stop(1, 1);
    return outcome;
  }
  void apply_inverse(std::int64_t columns, float* b) override {
    std::vector<float> sides(std::size_t(n_ * columns));
    const auto at = [&](std::int64_t i, std::int64_t c) { return std::size_t(c * n_ + i); };
    for (std::int64_t i = 0; i < n_; ++i)
      for (std::int64_t c = 0; c < columns; ++c) sides[at(i, c)] = b[i * columns + c];
    const Tensor there = Tensor::from(sides, {columns, n_}, device_);
    kernels::cholesky_solve(context_of(l_), n_, columns, l_.data<float>(), there.data<float>());
    sides = there.values<float>();
    for (std::int64_t i = 0; i < n_; ++i)
      for (std::int64_t c = 0; c < columns; ++c) b[i * columns + c] = sides[at(i, c)];
  }
  bool multiply(std::int64_t columns, const double* x, double* y, const Stop& stop) override {
    return multiply_rows(
        n_, panel_, [this](std::int64_t begin, std::int64_t count) { return rows(begin, count); },
        on_device(device_, x, {n_, columns}), y, stop);
  }

 protected:
  /// Rows begin, begin + 1, ... of K: float64 [count, n] on the GPU.
  virtual Tensor rows(std::int64_t begin, std::int64_t count) const = 0;
  Device device() const { return device_; }
  std::int64_t panel() const { return panel_; }

 private:
  Device device_;
  std::int64_t n_, panel_;
  Tensor l_;
};

/// Points on the GPU in double, and their squared norms.
struct Points {
  Tensor x, norms;
  Points(Device device, const Features& points)
      : x(Tensor::from(points.values, {points.n, points.d}, device).to(DType::float64)),
        norms(Tensor::empty({points.n}, DType::float64, device)) {
    kernels::row_squared_norms<double>(context_of(x), points.n, points.d, x.data<double>(),
                                       norms.data<double>());
  }
};

class CudaGaussianSystem : public SquareSystem<GaussianSystem> {
 public:
  CudaGaussianSystem(Device device, const Features& points, double gamma, std::int64_t panel)
      : SquareSystem(device, points.n, panel),
        sigma_(gaussian_sigma(points, gamma)),
        points_(device, points),
        ones_(Tensor::full({panel}, 1, DType::float64, device)) {}

  std::vector<double> predict(const Features& test, std::int64_t columns,
                              const std::vector<double>& alpha, const Stop& stop) override {
    check_prediction(test, n(), points_.x.dim(1), columns, alpha);
    const Points others(device(), test);
    std::vector<double> scores(std::size_t(test.n * columns));
    const bool finished = multiply_rows(
        test.n, panel(),
        [&](std::int64_t begin, std::int64_t count) { return kernel(others, begin, count); },
        on_device(device(), alpha.data(), {n(), columns}), scores.data(), stop);
    return finished ? scores : std::vector<double>();
  }

 protected:
  Tensor rows(std::int64_t begin, std::int64_t count) const override {
    const Tensor k = kernel(points_, begin, count);
    kernels::copy_rows<double>(context_of(k), count, 1, ones_.data<double>(), 1,
                               k.data<double>() + begin, n() + 1);
    return k;
  }

 private:
  /// K(others begin, begin + 1, ..., points).
  Tensor kernel(const Points& others, std::int64_t begin, std::int64_t count) const {
    const Tensor k = matmul(others.x.slice_items(begin, count), points_.x, false, true);
    kernels::gaussian_kernel<double>(context_of(k), {count, n(), sigma_},
                                     others.norms.data<double>() + begin,
                                     points_.norms.data<double>(), k.data<double>());
    return k;
  }

  double sigma_;
  Points points_;
  Tensor ones_;
};

/// Rows begin, begin + 1, ... and the first n columns of a float32 matrix, in double.
Tensor part_of(const Tensor& matrix, std::int64_t begin, std::int64_t count, std::int64_t n) {
  const Tensor part = Tensor::empty({count, n}, DType::float64, matrix.device());
  part.copy_from(matrix.slice_items(begin, count).slice_channels(0, n));
  return part;
}

class CudaStoredSystem : public SquareSystem<KernelSystem> {
 public:
  CudaStoredSystem(const Tensor& matrix, std::int64_t n, std::int64_t panel)
      : SquareSystem(matrix.device(), n, panel), matrix_(matrix) {}

 protected:
  Tensor rows(std::int64_t begin, std::int64_t count) const override {
    return part_of(matrix_, begin, count, n());
  }

 private:
  Tensor matrix_;
};

/// Turns TF32 off while it lives.
class FullFloat32 {
 public:
  explicit FullFloat32(CudaContext& context) : context_(context), before_(context.tf32()) {
    context.set_tf32(false);
  }
  ~FullFloat32() { context_.set_tf32(before_); }
  FullFloat32(const FullFloat32&) = delete;
  FullFloat32& operator=(const FullFloat32&) = delete;

 private:
  CudaContext& context_;
  bool before_;
};

/// convnet_features of images float32 [n, h, w, c] in [0, 1] on the GPU: [n, features].
Tensor features_of(const Tensor& images, const Tensor& filters, const RandomConvnet& net) {
  constexpr std::int64_t images_at_once = 256;
  const Pool2dOptions windows{.window = net.pool, .stride = net.stride};
  Tensor features;
  for (std::int64_t begin = 0; begin < images.dim(0); begin += images_at_once) {
    const std::int64_t count = std::min(images_at_once, images.dim(0) - begin);
    const Tensor z = conv2d(images.slice_items(begin, count), filters, {});
    const Tensor some = concat({avg_pool2d(relu(affine(z, 1, -net.bias)), windows),
                                avg_pool2d(relu(affine(z, -1, -net.bias)), windows)});
    const Tensor rows = some.reshape({count, -1});
    if (!features)
      features = Tensor::empty({images.dim(0), rows.dim(1)}, DType::float32, images.device());
    features.slice_items(begin, count).copy_from(rows);
  }
  return features;
}

/// The upper triangle becomes the mirror image of the lower.
void mirror(const Tensor& a, std::int64_t panel) {
  const std::int64_t n = a.dim(0);
  panels(n, panel, {}, [&](std::int64_t begin, std::int64_t count) {
    const std::int64_t end = begin + count;
    if (end == n) return;
    const Tensor below = a.slice_items(end, n - end).slice_channels(begin, count).packed();
    a.slice_items(begin, count).slice_channels(end, n - end).copy_from(permute(below, {1, 0}));
  });
}

class CudaConvnetSystem : public ConvnetSystem {
 public:
  CudaConvnetSystem(Tensor train, Tensor test, std::int64_t panel)
      : train_(std::move(train)), test_(std::move(test)), panel_(panel) {}

  std::unique_ptr<KernelSystem> first(std::int64_t n) override {
    return std::make_unique<CudaStoredSystem>(train_, n, panel_);
  }
  std::vector<double> predict_rest(std::int64_t n, std::int64_t columns,
                                   const std::vector<double>& alpha) override {
    return scores(train_.slice_items(n, train_.dim(0) - n), n, columns, alpha);
  }
  std::vector<double> predict_test(std::int64_t columns,
                                   const std::vector<double>& alpha) override {
    return scores(test_, test_.dim(1), columns, alpha);
  }

 private:
  std::vector<double> scores(const Tensor& products, std::int64_t n, std::int64_t columns,
                             const std::vector<double>& alpha) const {
    check(std::int64_t(alpha.size()) == n * columns, "conv-net: ", alpha.size(),
          " coefficients for ", n, " points and ", columns, " outputs");
    std::vector<double> all(std::size_t(products.dim(0) * columns));
    multiply_rows(
        products.dim(0), panel_,
        [&](std::int64_t begin, std::int64_t count) { return part_of(products, begin, count, n); },
        on_device(products.device(), alpha.data(), {n, columns}), all.data(), {});
    return all;
  }

  Tensor train_, test_;  ///< [n, n], [m, n]
  std::int64_t panel_;
};

Tensor images_on(Device device, const data::Dataset& dataset) {
  const Features all = pixels(dataset);
  return Tensor::from(all.values, dataset.images.shape(), device);
}

}  // namespace

std::unique_ptr<GaussianSystem> cuda_gaussian_system(Device device, const Features& points,
                                                     double gamma, std::int64_t panel) {
  return std::make_unique<CudaGaussianSystem>(device, points, gamma, panel);
}

std::unique_ptr<ConvnetSystem> cuda_convnet_system(Device device, const data::Dataset& train,
                                                   const data::Dataset& test,
                                                   const RandomConvnet& net,
                                                   const std::function<bool(double)>& each,
                                                   std::int64_t panel) {
  CudaContext& context = cuda_context(device.index());
  const FullFloat32 full(context);
  const std::vector<float> drawn = random_filters(train, net);
  const Tensor train_images = images_on(device, train), test_images = images_on(device, test);
  const Tensor filters =
      Tensor::from(drawn, {net.filters, net.patch, net.patch, train_images.dim(3)}, device);
  const std::int64_t n = train.size(), m = test.size();
  const Tensor gram = Tensor::zeros({n, n}, DType::float32, device);
  const Tensor products = Tensor::zeros({m, n}, DType::float32, device);
  for (std::int64_t first = 0; first < net.filters; first += net.filter_block) {
    if (each && each(double(first) / double(net.filters))) return nullptr;
    const Tensor block =
        filters.slice_items(first, std::min(net.filter_block, net.filters - first));
    const Tensor a = features_of(train_images, block, net);
    const Tensor b = features_of(test_images, block, net);
    const std::int64_t d = a.dim(1);
    const auto add = [&](std::int64_t rows, std::int64_t columns, const float* left, float* sum) {
      kernels::matmul<float>(context,
                             {.m = rows, .n = columns, .k = d, .transpose_b = true, .ldc = n}, 1,
                             left, a.data<float>(), 1, sum);
    };
    panels(n, panel, {}, [&](std::int64_t begin, std::int64_t count) {
      add(count, begin + count, a.data<float>() + begin * d, gram.data<float>() + begin * n);
    });
    add(m, n, b.data<float>(), products.data<float>());
  }
  mirror(gram, panel);
  double diagonal = 0;
  for (const float value : diagonal_of(gram)) diagonal += double(value);
  const double scale = diagonal / double(n);
  check(scale > 0, "random conv-net: all features are 0");
  for (const Tensor& part : {gram, products})
    kernels::affine<float>(context, part.numel(), float(1 / scale), 0, part.data<float>(),
                           part.data<float>());
  return std::make_unique<CudaConvnetSystem>(gram, products, panel);
}

}  // namespace shatter::experiments
