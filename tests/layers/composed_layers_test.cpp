// Layers composed of ops, against their formulas in double; clones.
#include <cmath>

#include <shatter/core/autograd.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/random.h>
#include <shatter/layers/layers.h>

#include "tests/support/catch.h"

using namespace shatter;

namespace {

Tensor image(const Shape& shape, std::uint64_t seed = 1) {
  return random_normal({.seed = seed}, shape, 1, 2, DType::float64);
}

/// Parameters drawn at random, so that each has its part in the output.
template <class Layer>
Layer drawn(Layer layer) {
  initialize(layer, {.dtype = DType::float64});
  for (const Tensor& tensor : parameters(layer)) tensor.copy_from(image(tensor.shape(), 5));
  return layer;
}

template <class Layer>
void check_gradients(const Layer& layer, const Tensor& x) {
  Layer model = layer;
  std::vector<Tensor> inputs = parameters(model);
  inputs.push_back(x.set_requires_grad());
  const GradcheckReport report =
      gradcheck([&](const auto& in) { return model(in.back()); }, inputs, {.max_entries = 12});
  INFO(report.where);
  CHECK(report);
}

/// The mean and the deviation of the values at the given places.
std::pair<double, double> moments(const std::vector<double>& x,
                                  const std::vector<std::size_t>& at) {
  double mean = 0, variance = 0;
  for (const std::size_t i : at) mean += x[i] / double(at.size());
  for (const std::size_t i : at) variance += (x[i] - mean) * (x[i] - mean) / double(at.size());
  return {mean, std::sqrt(variance + 1e-5)};
}

}  // namespace

TEST_CASE("activations are layers") {
  const Tensor x = image({2, 3});
  const auto in = x.values<double>();
  Sequential model(Tanh{}, Sigmoid{}, Silu{});
  const auto out = model(x).values<double>();
  for (std::size_t i = 0; i < 6; ++i) {
    const double s = 1 / (1 + std::exp(-std::tanh(in[i])));
    CHECK(out[i] == Approx(s / (1 + std::exp(-s))));
  }
  CHECK(summarize(model, {2, 3}).rows[3].info.type == "SiLU");
}

TEST_CASE("LayerNorm normalises the last dimension") {
  const auto layer = drawn(LayerNorm({.features = 4}));
  const Tensor x = image({2, 3, 4});
  const auto in = x.values<double>(), out = layer(x).values<double>(),
             w = layer.weight.template values<double>(), b = layer.bias.template values<double>();
  for (std::size_t row = 0; row < 6; ++row) {
    const std::size_t r = 4 * row;
    const auto [mean, deviation] = moments(in, {r, r + 1, r + 2, r + 3});
    for (std::size_t c = 0; c < 4; ++c) {
      CHECK(out[r + c] == Approx((in[r + c] - mean) / deviation * w[c] + b[c]));
    }
  }
  check_gradients(layer, x);
  CHECK_THROWS_WITH(layer(image({2, 3})), Contains("[..., 4]"));
}

TEST_CASE("GroupNorm normalises groups of channels, image by image") {
  const auto layer = drawn(GroupNorm({.groups = 2, .channels = 6}));
  const Tensor x = image({2, 2, 3, 6});
  const auto in = x.values<double>(), out = layer(x).values<double>(),
             w = layer.weight.template values<double>(), b = layer.bias.template values<double>();
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t group = 0; group < 2; ++group) {
      std::vector<std::size_t> at;
      for (std::size_t pixel = 0; pixel < 6; ++pixel) {
        for (std::size_t c = 0; c < 3; ++c) at.push_back((n * 6 + pixel) * 6 + group * 3 + c);
      }
      const auto [mean, deviation] = moments(in, at);
      for (const std::size_t i : at) {
        CHECK(out[i] == Approx((in[i] - mean) / deviation * w[i % 6] + b[i % 6]));
      }
    }
  }
  check_gradients(layer, x);
  CHECK_THROWS_WITH(GroupNorm({.groups = 4, .channels = 6}), Contains("6 channels in 4 groups"));
}

TEST_CASE("Embedding picks rows") {
  auto layer = drawn(Embedding({.count = 5, .size = 3}));
  const Tensor places = Tensor::from<std::int64_t>({4, 0, 4, 2}, {2, 2});
  const Tensor y = layer(places);
  CHECK(y.shape() == Shape{2, 2, 3});
  const auto table = layer.weight.values<double>(), out = y.values<double>();
  const std::size_t rows[] = {4, 0, 4, 2};
  for (std::size_t i = 0; i < 12; ++i) CHECK(out[i] == table[rows[i / 3] * 3 + i % 3]);
  backward(sum(y));
  const auto slope = layer.weight.grad().values<double>();
  CHECK(slope[0] == 1);
  CHECK(slope[3] == 0);
  CHECK(slope[12] == 2);
}

TEST_CASE("Residual adds its input, or a shortcut of it") {
  const auto body = drawn(Linear({.in = 3, .out = 3})), other = drawn(Linear({.in = 3, .out = 3}));
  const Tensor x = image({2, 3});
  CHECK(Residual(body)(x).values<double>() == (body(x) + x).values<double>());
  Residual both(body, other);
  CHECK(both(x).values<double>() == (body(x) + other(x)).values<double>());
  CHECK(named_parameters(both)[2].name == "shortcut.weight");
  CHECK(summarize(both, {2, 3}).multiply_adds == 18);
  check_gradients(both, x);
  CHECK_THROWS_WITH(Residual(drawn(Linear({.in = 3, .out = 1})))(x), Contains("[2, 1]"));
  Sequential nested(Residual(Sequential(Tanh{}, Linear({.in = 4, .out = 4}))));
  CHECK_THROWS_WITH(nested(Tensor::zeros({1, 3})), Contains("layer 0.body.1: linear"));
}

TEST_CASE("a clone shares nothing, a copy does") {
  Sequential model(Linear({.in = 2, .out = 2}), Residual(Sequential(Linear({.in = 2, .out = 2}))),
                   Branches(BatchNorm2d({.channels = 2}), Tanh{}));
  initialize(model, {.seed = 1});
  freeze(model[0]);
  const Sequential copy = model;
  Sequential twin = clone(model);
  const auto before = named_state(model);
  const auto after = named_state(twin);
  REQUIRE(before.size() == after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(after[i].name == before[i].name);
    CHECK(after[i].tensor.values<float>() == before[i].tensor.values<float>());
    CHECK(after[i].tensor.raw() != before[i].tensor.raw());
    CHECK(after[i].tensor.requires_grad() == before[i].tensor.requires_grad());
    after[i].tensor.fill(7);
    CHECK(before[i].tensor.values<float>()[0] != 7);
  }
  set_training(twin, false);
  const Tensor x = Tensor::full({3, 2}, 1);
  CHECK(copy(x).values<float>() != twin(x).values<float>());
  Sequential again = model;
  CHECK(parameters(again)[0].raw() == parameters(model)[0].raw());

  // What was one tensor stays one.
  const Module shared = Linear({.in = 2, .out = 2});
  struct Tied {
    Module a, b;
    void visit(Visitor& v) {
      v.child("a", a);
      v.child("b", b);
    }
  };
  Tied tied = clone(Tied{shared, shared});
  CHECK(parameters(tied)[0].shares_storage(parameters(tied)[2]));
  CHECK_FALSE(parameters(tied)[0].shares_storage(parameters(shared)[0]));
}

TEST_CASE("PyTorch's defaults by name") {
  const BatchNorm2d norm(BatchNorm2d::Options::pytorch(3));
  CHECK(norm.options.epsilon == 1e-5);
  CHECK(norm.options.decay == 0.9);
  CHECK(norm.options.unbiased_running_variance);
  CHECK(init::pytorch(16).scale == 0.25);
}
