// Losses against their formulas in double, and their first and second derivatives.
#include <shatter/core/losses.h>

#include <cmath>

#include <shatter/core/autograd.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

#include "tests/support/catch.h"

using namespace shatter;

namespace {

Tensor normal(const Shape& shape, std::uint64_t seed) {
  return random_normal({.seed = seed}, shape, 0, 2, DType::float64);
}

/// The gradient, and that of the gradient.
void check_derivatives(const std::function<Tensor(const Tensor&)>& loss, const Tensor& x) {
  x.set_requires_grad();
  CHECK(gradcheck([&](const auto& in) { return loss(in[0]); }, {x}));
  CHECK(gradgradcheck([&](const auto& in) { return loss(in[0]); }, {x}));
}

const Tensor labels = Tensor::from<std::int32_t>({2, 0, 1, 2}, {4});

}  // namespace

TEST_CASE("huber_loss is square near zero and linear beyond") {
  const Tensor x = normal({3, 4}, 1), y = normal({3, 4}, 2);
  const auto a = x.values<double>(), b = y.values<double>();
  double expected = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    const double e = std::abs(a[i] - b[i]);
    expected += (e <= 1.5 ? e * e / 2 : 1.5 * (e - 0.75)) / 12;
  }
  CHECK(huber_loss(x, y, 1.5).item() == Approx(expected));
  check_derivatives([&](const Tensor& v) { return huber_loss(v, y, 1.5); }, x);
  CHECK_THROWS_WITH(huber_loss(x, y, 0), Contains("delta is 0"));
  CHECK_THROWS_WITH(huber_loss(x, normal({4}, 1)), Contains("[4]"));
}

TEST_CASE("binary_cross_entropy_with_logits holds for logits of any size, zero too") {
  const Tensor x = normal({6}, 3), t = random_uniform({.seed = 4}, {6}, 0, 1, DType::float64);
  const auto a = x.values<double>(), b = t.values<double>();
  double expected = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    const double p = 1 / (1 + std::exp(-a[i]));
    expected -= (b[i] * std::log(p) + (1 - b[i]) * std::log(1 - p)) / 6;
  }
  CHECK(binary_cross_entropy_with_logits(x, t).item() == Approx(expected));
  check_derivatives([&](const Tensor& v) { return binary_cross_entropy_with_logits(v, t); }, x);
  const Tensor far = Tensor::from<double>({1000, -1000, 0}, {3});
  const Tensor wrong = Tensor::from<double>({0, 1, 0.25}, {3});
  far.set_requires_grad();
  const Tensor loss = binary_cross_entropy_with_logits(far, wrong);
  CHECK(loss.item() == Approx((2000 + std::log(2.0)) / 3));
  backward(loss);
  const auto slope = far.grad().values<double>();
  CHECK(slope[0] == Approx(1.0 / 3));
  CHECK(slope[1] == Approx(-1.0 / 3));
  CHECK(slope[2] == Approx(0.25 / 3));
}

TEST_CASE("hinge_loss sums the margins of the other classes") {
  const Tensor x = normal({4, 3}, 5);
  const auto a = x.values<double>();
  const std::size_t own[] = {2, 0, 1, 2};
  double expected = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      if (c != own[i]) expected += std::max(0.0, 1 - a[3 * i + own[i]] + a[3 * i + c]) / 3 / 4;
    }
  }
  CHECK(hinge_loss(x, labels).item() == Approx(expected));
  check_derivatives([&](const Tensor& v) { return hinge_loss(v, labels); }, x);
}

TEST_CASE("cross_entropy takes class weights and passes over ignored labels") {
  const Tensor x = normal({4, 3}, 6);
  const Tensor weights = Tensor::from<double>({0.5, 2, 3}, {3});
  const CrossEntropyOptions options{
      .class_weights = weights, .ignore_index = 1, .label_smoothing = 0.2};
  const auto p = log_softmax(x).values<double>();
  // Examples 0, 1 and 3 are kept: labels 2, 0, 2.
  double expected = 0;
  const std::pair<std::size_t, std::size_t> kept[] = {{0, 2}, {1, 0}, {3, 2}};
  const double w[] = {0.5, 2, 3};
  for (const auto& [i, own] : kept) {
    expected -= 0.8 * w[own] * p[3 * i + own] / 6.5;
    for (std::size_t c = 0; c < 3; ++c) expected -= 0.2 / 3 * w[c] * p[3 * i + c] / 6.5;
  }
  CHECK(cross_entropy(x, labels, options).item() == Approx(expected));
  CHECK(cross_entropy(x, labels, CrossEntropyOptions{}).item() ==
        Approx(cross_entropy(x, labels).item()));
  check_derivatives([&](const Tensor& v) { return cross_entropy(v, labels, options); }, x);
  const Tensor all = Tensor::full({4}, -100, DType::int32);
  CHECK_THROWS_WITH(cross_entropy(x, all, {.ignore_index = -100}), Contains("no example counts"));
  CHECK_THROWS_WITH(cross_entropy(x, all, {.ignore_index = 1}), Contains("label -100"));
}
