// Lanczos' iteration on the Hessian, and gradients example by example.
#include <shatter/core/hessian.h>

#include <algorithm>
#include <cmath>

#include <Eigen/Eigenvalues>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter {
namespace {

/// One tensor for each parameter, as one vector.
using Vector = std::vector<Tensor>;

double dot(const Vector& a, const Vector& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += sum(multiply(a[i], b[i])).item();
  return total;
}
/// a + factor * b.
Vector plus(const Vector& a, double factor, const Vector& b) {
  Vector result;
  for (std::size_t i = 0; i < a.size(); ++i) result.push_back(add(a[i], affine(b[i], factor, 0)));
  return result;
}
Vector scaled(const Vector& a, double factor) {
  Vector result;
  for (const Tensor& x : a) result.push_back(affine(x, factor, 0));
  return result;
}

}  // namespace

ExtremeEigenvalues extreme_eigenvalues(const std::function<Tensor()>& loss,
                                       const std::vector<Tensor>& parameters,
                                       const LanczosOptions& options) {
  std::int64_t size = 0;
  for (const Tensor& x : parameters) size += x.numel();
  check(size > 0 && options.count >= 1 && options.count <= size &&
            options.iterations >= options.count,
        "extreme_eigenvalues: ", options.count, " eigenvalues of ", size, " parameters in ",
        options.iterations, " iterations");
  Vector v;
  RandomKey key = options.key;
  for (const Tensor& x : parameters) {
    v.push_back(random_normal(key, x.shape(), 0, 1, x.dtype(), x.device()));
    ++key.seed;
  }
  const NoGrad guard;
  v = scaled(v, 1 / std::sqrt(dot(v, v)));
  const auto most = int(std::min<std::int64_t>(size, options.iterations));
  std::vector<Vector> basis;
  std::vector<double> diagonal, beside;
  for (int step = 0; step < most; ++step) {
    basis.push_back(v);
    Vector w;
    {
      const EnableGrad recorded;
      w = hessian_vector_product(loss(), parameters, v);
    }
    diagonal.push_back(dot(v, w));
    // Twice: once leaves a rounding error of the size of what was taken away.
    for (int pass = 0; pass < 2; ++pass)
      for (const Vector& u : basis) w = plus(w, -dot(u, w), u);
    const double norm = std::sqrt(dot(w, w));
    check(std::isfinite(norm), "extreme_eigenvalues: the Hessian times a vector is not finite");
    beside.push_back(norm);
    // What is left of a vector that the basis already spans is rounding.
    const double scale =
        std::abs(*std::max_element(diagonal.begin(), diagonal.end(),
                                   [](double a, double b) { return std::abs(a) < std::abs(b); }));
    const double epsilon = parameters.front().dtype() == DType::float64 ? 1e-13 : 1e-6;
    if (norm <= epsilon * scale || step + 1 == most) break;
    v = scaled(w, 1 / norm);
  }

  const auto steps = Eigen::Index(diagonal.size());
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
  solver.computeFromTridiagonal(
      Eigen::Map<const Eigen::VectorXd>(diagonal.data(), steps),
      Eigen::Map<const Eigen::VectorXd>(beside.data(), std::max<Eigen::Index>(0, steps - 1)));
  ExtremeEigenvalues result;
  result.iterations = int(steps);
  for (Eigen::Index i = 0; i < std::min<Eigen::Index>(options.count, steps); ++i) {
    const auto residual = [&](Eigen::Index k) {
      return std::abs(beside.back() * solver.eigenvectors()(steps - 1, k));
    };
    result.largest.push_back(solver.eigenvalues()[steps - 1 - i]);
    result.largest_residual.push_back(residual(steps - 1 - i));
    result.smallest.push_back(solver.eigenvalues()[i]);
    result.smallest_residual.push_back(residual(i));
  }
  return result;
}

std::vector<double> example_gradient_norms(const Tensor& losses,
                                           const std::vector<Tensor>& parameters) {
  check(losses.defined() && losses.rank() == 1, "example_gradient_norms: losses are ", losses.str(),
        ", expected [n]");
  std::vector<double> norms;
  for (std::int64_t i = 0; i < losses.dim(0); ++i) {
    const Vector gradients = grad(losses.slice_items(i, 1), parameters);
    const NoGrad guard;
    norms.push_back(std::sqrt(dot(gradients, gradients)));
  }
  return norms;
}

}  // namespace shatter
