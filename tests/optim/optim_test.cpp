// Optimizers against their formulas by hand, schedules at their edges.
#include <shatter/optim/optimizer.h>

#include <cmath>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>
#include <shatter/layers/layers.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::optim;

namespace {

Tensor scalar(double value) {
  return Tensor::full({1}, value, DType::float64).set_requires_grad();
}
void set(const Tensor& w, double gradient) {
  w.set_grad(Tensor::full({1}, gradient, DType::float64));
}

}  // namespace

TEST_CASE("SGD with momentum and weight decay follows its formula") {
  const Tensor w = scalar(2);
  Sgd sgd({{{{"w", w}}, 0.5}}, {.schedule = constant(0.1), .momentum = 0.9});
  double x = 2, v = 0;
  for (const double gradient : {1.0, -3.0, 0.5}) {
    set(w, gradient);
    sgd.step();
    v = 0.9 * v + gradient + 0.5 * x;
    x -= 0.1 * v;
    CHECK(w.item() == Approx(x).epsilon(1e-14));
  }
  CHECK(sgd.steps() == 3);
  CHECK(sgd.state()[0].name == "momentum.w");
  CHECK(sgd.state()[0].tensor.item() == Approx(v).epsilon(1e-14));
}

TEST_CASE("Nesterov's momentum looks ahead") {
  const Tensor w = scalar(1);
  Sgd sgd(std::vector<NamedTensor>{{"w", w}},
          {.schedule = constant(0.1), .momentum = 0.5, .nesterov = true});
  set(w, 1);
  sgd.step();
  CHECK(w.item() == Approx(1 - 0.1 * 1.5));
  sgd.step();  // v = 1.5
  CHECK(w.item() == Approx(0.85 - 0.1 * (1 + 0.5 * 1.5)));
}

TEST_CASE("plain SGD keeps no state") {
  const Tensor w = scalar(1);
  Sgd sgd(std::vector<NamedTensor>{{"w", w}}, {.schedule = constant(0.1)});
  set(w, 2);
  sgd.step();
  CHECK(w.item() == Approx(0.8));
  CHECK(sgd.state().empty());
}

TEST_CASE("step changes no gradient and skips parameters without one") {
  const Tensor w = scalar(1), idle = scalar(5);
  Sgd sgd({{{{"w", w}, {"idle", idle}}, 0.1}}, {.schedule = constant(0.1), .momentum = 0.9});
  set(w, 2);
  sgd.step();
  sgd.step();
  CHECK(w.grad().item() == 2);
  CHECK(idle.item() == 5);
}

TEST_CASE("weight decay is per group") {
  const Tensor a = scalar(1), b = scalar(1);
  Sgd sgd({{{{"a", a}}, 1}, {{{"b", b}}, 0}}, {.schedule = constant(0.5)});
  set(a, 0);
  set(b, 0);
  sgd.step();
  CHECK(a.item() == 0.5);
  CHECK(b.item() == 1);
}

TEST_CASE("RMSProp follows TensorFlow's formula") {
  const Tensor w = scalar(1);
  RmsProp optimizer({{{{"w", w}}, 0.2}},
                    {.schedule = constant(0.01), .decay = 0.8, .momentum = 0.5, .epsilon = 0.1});
  double x = 1, s = 1, b = 0;
  for (const double gradient : {1.0, -2.0, 4.0}) {
    set(w, gradient);
    optimizer.step();
    const double g = gradient + 0.2 * x;
    s = 0.8 * s + 0.2 * g * g;
    b = 0.5 * b + 0.01 * g / std::sqrt(s + 0.1);
    x -= b;
    CHECK(w.item() == Approx(x).epsilon(1e-13));
  }
  CHECK(optimizer.state().size() == 2);
}

TEST_CASE("optimizers refuse what cannot be trained") {
  const Tensor w = scalar(1);
  const SgdOptions options{.schedule = constant(0.1), .momentum = 0.9};
  CHECK_THROWS_WITH(Sgd(std::vector<NamedTensor>{{"w", w}, {"w2", w}}, options),
                    Contains("w2") && Contains("twice"));
  CHECK_THROWS_WITH(Sgd(std::vector<NamedTensor>{{"w", Tensor::zeros({1})}}, options),
                    Contains("requires no gradient"));
  CHECK_THROWS_WITH(Sgd(std::vector<NamedTensor>{{"w", w}}, {.schedule = {}}),
                    Contains("schedule"));
  CHECK_THROWS_WITH(
      Sgd(std::vector<NamedTensor>{{"w", w}}, {.schedule = constant(1), .nesterov = true}),
      Contains("Nesterov"));
  CHECK_THROWS_WITH(
      Sgd(std::vector<NamedTensor>{{"w", w}}, {.schedule = constant(1), .momentum = 1}),
      Contains("momentum 1"));
  CHECK_THROWS_WITH(Sgd({{{{"w", w}}, -1}}, options), Contains("weight decay -1"));
  CHECK_THROWS_WITH(Sgd({{{{"w", w}}, 0, -2}}, options), Contains("rate scale -2"));
  CHECK_THROWS_WITH(Sgd({{{{"w", w}}}, {{{"v", Tensor::zeros({1}).set_requires_grad()}}}}, options),
                    Contains("parameter v is float32 [1]") && Contains("others are float64"));
  CHECK_THROWS_WITH(Adam({{{{"w", w}}}}, {.schedule = constant(1), .beta2 = 1}),
                    Contains("Adam: ") && Contains("beta2 1"));
  CHECK_THROWS_WITH(AdamW({{{{"w", w}}}}, {.schedule = constant(1), .epsilon = 0}),
                    Contains("AdamW: ") && Contains("epsilon 0"));
  CHECK_THROWS_WITH(RmsProp({{{{"w", w}}}}, {.schedule = constant(1), .decay = 1}),
                    Contains("decay 1"));
}

TEST_CASE("schedules give the rate of each step") {
  const Schedule staircase = exponential(0.1, 0.95, 391);
  CHECK(staircase(0) == 0.1);
  CHECK(staircase(390) == 0.1);
  CHECK(staircase(391) == Approx(0.095));
  CHECK(staircase(100 * 391) == Approx(0.1 * std::pow(0.95, 100)));
  const Schedule steps = optim::step(1, 0.1, {10, 20});
  CHECK(steps(9) == 1);
  CHECK(steps(10) == Approx(0.1));
  CHECK(steps(20) == Approx(0.01));
  const Schedule line = linear(2, 100, 1);
  CHECK(line(0) == 2);
  CHECK(line(25) == 1.75);
  CHECK(line(100) == 1);
  CHECK(line(1000) == 1);
  const Schedule half = cosine(2, 100, 1);
  CHECK(half(0) == 2);
  CHECK(half(50) == Approx(1.5));
  CHECK(half(1000) == 1);
  const Schedule warm = warm_up(3, constant(4));
  CHECK(warm(0) == 1);
  CHECK(warm(2) == 3);
  CHECK(warm(3) == 4);
  CHECK(warm_up(2, staircase)(2) == 0.1);
  CHECK_THROWS_AS(exponential(1, 1, 0), Error);
  CHECK_THROWS_AS(linear(1, 0), Error);
  CHECK_THROWS_AS(cosine(1, 0), Error);
  CHECK_THROWS_AS(optim::step(1, 1, {5, 2}), Error);
}

TEST_CASE("the average of parameters follows its formula and swaps back") {
  const Tensor w = scalar(1);
  ParameterAverage average({{"w", w}}, 0.75);
  w.fill(3);
  average.update();
  CHECK(average.state()[0].tensor.item() == Approx(1.5));
  average.swap();
  CHECK(w.item() == Approx(1.5));
  average.swap();
  CHECK(w.item() == 3);
  CHECK(w.requires_grad());
}

TEST_CASE("an average that is stopped stays, and an average has one type") {
  const Tensor w = scalar(1), v = scalar(-1);
  ParameterAverage average({{"w", w}, {"v", v}}, 0.5);
  w.fill(3);
  average.update(Tensor::full({1}, 1, DType::int32));
  CHECK(average.state()[0].tensor.item() == 1);
  average.update(Tensor::full({1}, 0, DType::int32));
  CHECK(average.state()[0].tensor.item() == 2);
  CHECK(average.state()[1].name == "average.v");
  CHECK(average.state()[1].tensor.item() == -1);
  CHECK_THROWS_WITH(ParameterAverage({{"w", w}, {"x", Tensor::zeros({1})}}, 0.5),
                    Contains("parameter x is float32"));
}

TEST_CASE("an optimizer of one's own needs a constructor and its update") {
  // Signs of the gradient, by ops, without a rule of the library.
  class SignDescent : public Optimizer {
   public:
    SignDescent(std::vector<NamedTensor> parameters, Schedule schedule)
        : Optimizer("SignDescent", {{std::move(parameters)}}, std::move(schedule)) {}
    void update(const Tensor&) override {
      const NoGrad guard;
      for (const NamedTensor& named : parameters())
        named.tensor.copy_from(named.tensor -
                               sign(named.tensor.grad()) * rate().to(named.tensor.dtype()));
    }
  };
  const Tensor w = scalar(1);
  SignDescent optimizer({{"w", w}}, exponential(0.5, 0.5, 1));
  for (const double gradient : {7.0, -0.1}) {
    set(w, gradient);
    optimizer.step();
  }
  CHECK(w.item() == 1 - 0.5 + 0.25);
  CHECK(optimizer.steps() == 2);
  CHECK(optimizer.learning_rate() == 0.125);
}

TEST_CASE("clip_gradient_norm scales all gradients by one factor, and only where it must") {
  const Tensor a = Tensor::zeros({2}, DType::float32).set_requires_grad();
  const Tensor b = Tensor::zeros({2, 1}, DType::float32).set_requires_grad();
  const Tensor idle = Tensor::zeros({3}, DType::float32).set_requires_grad();
  const std::vector<NamedTensor> all{{"a", a}, {"b", b}, {"idle", idle}};
  const auto set_all = [&](float first) {
    a.set_grad(Tensor::from(std::vector<float>{first, 4}, {2}));
    b.set_grad(Tensor::from(std::vector<float>{-4, 8}, {2, 1}));
  };
  using Floats = std::vector<float>;
  set_all(2);  // the norm is 10
  const Tensor norm = clip_gradient_norm(all, 10);
  CHECK(norm.shape() == Shape{1});
  CHECK(norm.item() == 10);
  CHECK(a.grad().values<float>() == Floats{2, 4});
  const Tensor handle = a.grad();
  CHECK(clip_gradient_norm(all, 2.5).item() == 10);
  CHECK(a.grad().values<float>() == Floats{0.5, 1});
  CHECK(handle.values<float>() == Floats{0.5, 1});
  CHECK(b.grad().values<float>() == Floats{-1, 2});
  CHECK(!idle.grad());
  CHECK(clip_gradient_norm(all, 2.5).item() == 2.5);

  for (const float wrong : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    set_all(wrong);
    CHECK(!std::isfinite(clip_gradient_norm(all, 1).item()));
    for (const Tensor& w : {a, b})
      for (const float value : w.grad().values<float>()) CHECK(std::isnan(value));
  }
  set_all(3e38F);  // squares that float does not hold
  CHECK(clip_gradient_norm(all, 1).item() == Approx(3e38));
  CHECK(a.grad().values<float>()[0] == Approx(1));

  CHECK(clip_gradient_norm({}, 1).item() == 0);
  CHECK(clip_gradient_norm({{"idle", idle}}, 1).item() == 0);
  CHECK_THROWS_WITH(clip_gradient_norm(all, -1), Contains("-1, expected a norm"));
}

TEST_CASE("decay_weights spares biases and batch norm") {
  Sequential model(Conv2d({.in = 1, .out = 1, .padding = same}), BatchNorm2d({.channels = 1}));
  initialize(model);
  const auto groups = decay_weights(model, 0.1);
  CHECK(groups[0].weight_decay == 0.1);
  CHECK(groups[0].parameters.size() == 1);
  CHECK(groups[1].weight_decay == 0);
  CHECK(groups[1].parameters.size() == 3);
}

TEST_CASE("SGD finds the least-squares solution of a linear layer") {
  Sequential model(Linear({.in = 1, .out = 1}));
  initialize(model, {.seed = 1, .dtype = DType::float64});
  Sgd sgd(named_parameters(model), {.schedule = constant(0.1), .momentum = 0.9});
  const Tensor x = Tensor::from(std::vector<double>{0, 1, 2, 3}, {4, 1});
  const Tensor y = Tensor::from(std::vector<double>{1, 3, 5, 7}, {4, 1});
  for (int i = 0; i < 500; ++i) {
    zero_grad(model);
    backward(mean_squared_error(model(x), y));
    sgd.step();
  }
  CHECK(parameters(model)[0].item() == Approx(2).epsilon(1e-6));
  CHECK(parameters(model)[1].item() == Approx(1).epsilon(1e-6));
}

TEST_CASE(
    "a step between forward and backward is an error where the gradient needs the old values") {
  const Tensor w = scalar(2);
  Sgd sgd({{{{"w", w}}}}, {.schedule = constant(0.1)});
  backward(sum(w));
  const Tensor loss = sum(square(w));
  sgd.step();
  CHECK_THROWS_WITH(backward(loss), Contains("square") && Contains("optimizer's step"));
}
