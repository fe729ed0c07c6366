// Spectra of Hessians against those of matrices made outright.
#include <shatter/core/hessian.h>

#include <algorithm>
#include <cmath>

#include <Eigen/Eigenvalues>

#include <shatter/core/autograd.h>
#include <shatter/core/indexing.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

#include "tests/support/catch.h"

using namespace shatter;

namespace {

Tensor drawn(const Shape& shape, std::uint64_t seed) {
  return random_normal({.seed = seed}, shape, 0, 1, DType::float64).set_requires_grad();
}

/// A net with one hidden layer and its loss.
struct Net {
  Tensor x = drawn({6, 3}, 1).detach(), w1 = drawn({4, 3}, 2), w2 = drawn({3, 4}, 3);
  Tensor labels = Tensor::from(std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}, {6});

  std::vector<Tensor> parameters() const { return {w1, w2}; }
  Tensor logits() const { return linear(tanh(linear(x, w1)), w2); }
  Tensor loss() const { return cross_entropy(logits(), labels); }
};

/// The Hessian column by column, by differences of gradients.
Eigen::MatrixXd hessian_by_differences(const Net& net) {
  const auto gradient = [&] {
    Eigen::VectorXd all(24);
    int at = 0;
    for (const Tensor& g : grad(net.loss(), net.parameters()))
      for (const double value : g.values<double>()) all[at++] = value;
    return all;
  };
  Eigen::MatrixXd h(24, 24);
  int column = 0;
  for (const Tensor& w : net.parameters())
    for (std::int64_t i = 0; i < w.numel(); ++i) {
      double& value = w.data<double>()[i];
      const double kept = value, step = 1e-5;
      value = kept + step;
      const Eigen::VectorXd above = gradient();
      value = kept - step;
      h.col(column++) = (above - gradient()) / (2 * step);
      value = kept;
    }
  return h;
}

}  // namespace

TEST_CASE("the ends of a Hessian's spectrum are those of the whole matrix") {
  const Net net;
  const Eigen::MatrixXd h = hessian_by_differences(net);
  const Eigen::VectorXd expected =
      Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>((h + h.transpose()) / 2).eigenvalues();
  const ExtremeEigenvalues found = extreme_eigenvalues([&] { return net.loss(); }, net.parameters(),
                                                       {.count = 3, .iterations = 24});
  for (int i = 0; i < 3; ++i) {
    CHECK(found.largest[std::size_t(i)] == Approx(expected[23 - i]).margin(1e-8));
    CHECK(found.smallest[std::size_t(i)] == Approx(expected[i]).margin(1e-8));
    CHECK(found.largest_residual[std::size_t(i)] < 1e-8);
  }
  // Fewer products: the bound says how far it is.
  const ExtremeEigenvalues early = extreme_eigenvalues([&] { return net.loss(); }, net.parameters(),
                                                       {.count = 1, .iterations = 5});
  CHECK(early.iterations == 5);
  CHECK(std::abs(early.largest[0] - expected[23]) <= early.largest_residual[0] + 1e-8);
  CHECK(early.largest_residual[0] > 1e-8);
  CHECK_FALSE(net.w1.grad().defined());
}

TEST_CASE("Lanczos ends where its basis spans all that the Hessian moves") {
  const Tensor w = drawn({10}, 4);
  const Tensor weights = Tensor::from(std::vector<double>{3, 3, 3, 3, 3, -1, -1, -1, -1, -1}, {10});
  const auto loss = [&] { return sum(weights * square(w)); };
  const ExtremeEigenvalues found = extreme_eigenvalues(loss, {w}, {.count = 1, .iterations = 10});
  CHECK(found.iterations == 2);
  CHECK(found.largest[0] == Approx(6));
  CHECK(found.smallest[0] == Approx(-2));
  CHECK_THROWS_WITH(extreme_eigenvalues(loss, {w}, {.count = 11, .iterations = 11}),
                    Contains("11 eigenvalues of 10"));
}

TEST_CASE("the norm of each example's gradient is that of its own loss") {
  const Net net;
  const Tensor each = -squeeze(gather(log_softmax(net.logits()), 1, unsqueeze(net.labels, 1)), 1);
  const std::vector<double> norms = example_gradient_norms(each, net.parameters());
  REQUIRE(norms.size() == 6);
  for (std::int64_t i = 0; i < 6; ++i) {
    const Tensor x = net.x.slice_items(i, 1);
    const Tensor one =
        cross_entropy(linear(tanh(linear(x, net.w1)), net.w2), net.labels.slice_items(i, 1));
    double total = 0;
    for (const Tensor& g : grad(one, net.parameters()))
      for (const double value : g.values<double>()) total += value * value;
    CHECK(norms[std::size_t(i)] == Approx(std::sqrt(total)));
  }
}
