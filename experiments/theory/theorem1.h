// Finite-sample expressivity, section 4 and appendix C of Zhang et al. (ICLR 2017): a two-layer
// ReLU network with 2n + d weights takes any values at n distinct points of R^d.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <shatter/data/dataset.h>
#include <shatter/layers/module.h>

namespace shatter::experiments {

/// c(z) = sum_j w_j max(<a, z> - b_j, 0), the network of Theorem 1: z [m, d] -> [m].
class TwoLayerNet {
 public:
  /// a [d], b [n], w [n], of one floating type.
  TwoLayerNet(Tensor a, Tensor b, Tensor w);
  Tensor operator()(const Tensor& z) const;
  void visit(Visitor& visitor);

  Tensor a, b, w;
};

/// The same function of depth `blocks` + 1 (Corollary 1): hidden layer j holds the j-th block of
/// kinks and passes on <a, z> and the sum of the earlier blocks, each as two units, its positive
/// and its negative part. Simpler than the printed construction, which multiplexes local fits by
/// approximate indicators: kinks in increasing order never act on points before them, so sums of
/// blocks need no indicator.
class DeepNet {
 public:
  DeepNet(const TwoLayerNet& net, int blocks);
  Tensor operator()(const Tensor& z) const;
  void visit(Visitor& visitor);

  int depth() const { return static_cast<int>(b.size()) + 1; }
  /// The most units of a hidden layer: n / blocks, rounded up, and at most four.
  std::int64_t width() const;

  Tensor a;
  std::vector<Tensor> b, w;  ///< one of each for every block
};

/// Points of R^d, given in batches so that they need not all be in memory.
struct PointSet {
  std::int64_t n = 0, d = 0;
  /// Points begin .. begin + count, float64 [count, d].
  std::function<Tensor(std::int64_t begin, std::int64_t count)> batch;
};
/// Images as points: pixels / 255 of uint8 images, float pixels as they are.
PointSet points_of(const data::Dataset& images);
/// points [n, d], float64.
PointSet points_of(const Tensor& points);

/// Throws (data), naming the two, where equal images have different labels: no function fits them.
/// Returns the places of images that are not a repetition of an earlier one.
std::vector<std::int64_t> distinct_images(const data::Dataset& images);

/// A model's values at all points, float64, computed in the model's type `batch` points at a time.
/// Empty when `stopped` says so between batches.
std::optional<std::vector<double>> values_at(const std::function<Tensor(const Tensor&)>& model,
                                             const PointSet& points, DType dtype = DType::float64,
                                             std::int64_t batch = 64,
                                             const std::function<bool(double)>& stopped = {});

/// The triangular system of the proof: A_ij = max(x_i - b_j, 0) with b_1 < x_1 < b_2 < x_2 < ...
/// Its products with inverses take O(n), by the slope left of each point.
class KinkSystem {
 public:
  /// b_i = x_{i-1} + epsilon (x_i - x_{i-1}), epsilon in (0, 1); b_1 lies the mean gap below x_1.
  /// Throws (usage) unless x increases by more than rounding can blur.
  KinkSystem(std::vector<double> x, double epsilon);

  std::int64_t size() const { return static_cast<std::int64_t>(x_.size()); }
  const std::vector<double>& x() const { return x_; }
  const std::vector<double>& b() const { return b_; }
  /// A_ij.
  double entry(std::int64_t i, std::int64_t j) const;
  /// min_i (x_i - b_i): by Lemma 1 the smallest eigenvalue.
  double smallest_diagonal() const;

  /// A^-1 y.
  std::vector<double> solve(const std::vector<double>& y) const;
  /// A^-T v.
  std::vector<double> solve_transposed(const std::vector<double>& v) const;
  /// By power iteration on A^-1: the eigenvalue of least modulus, not read from the diagonal.
  double smallest_eigenvalue(std::uint64_t seed) const;
  /// By power iteration on (A A^T)^-1; approached from above.
  double smallest_singular_value(std::uint64_t seed) const;

 private:
  std::vector<double> x_, b_;
};

struct Interpolation {
  TwoLayerNet net;
  KinkSystem system;        ///< of the sorted projections
  double smallest_gap = 0;  ///< between neighbouring projections
};
struct InterpolationOptions {
  double epsilon = 0.1;
  int directions =
      16;  ///< normal directions a drawn; the one with the largest smallest gap is kept
  std::uint64_t seed = 1;
};
/// The proof of Theorem 1 as an algorithm. Throws (data) when in every direction two points
/// coincide; empty when stopped.
std::optional<Interpolation> interpolate(const PointSet& points, const std::vector<double>& y,
                                         const InterpolationOptions& options,
                                         const std::function<bool(double)>& stopped = {});

double euclidean_norm(const std::vector<double>& v);

}  // namespace shatter::experiments
