// Every optimizer with the options of tests/golden/make_optimizers_golden.py, and what it trains
// there.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <shatter/core/ops.h>
#include <shatter/optim/optimizer.h>

#include "tests/support/formula.h"

namespace shatter::test {

using MakeOptimizer =
    std::function<std::unique_ptr<optim::Optimizer>(std::vector<optim::ParameterGroup>)>;

struct NamedOptimizer {
  std::string name;
  MakeOptimizer make;
};

template <class Optimizer, class Options>
NamedOptimizer named_optimizer(const std::string& name, Options options) {
  options.schedule = optim::exponential(0.05, 0.9, 10);
  return {name, [options](std::vector<optim::ParameterGroup> groups) {
            return std::make_unique<Optimizer>(std::move(groups), options);
          }};
}

inline std::vector<NamedOptimizer> named_optimizers() {
  using namespace optim;
  return {
      named_optimizer<Sgd>("sgd", SgdOptions{}),
      named_optimizer<Sgd>("momentum", SgdOptions{.schedule = {}, .momentum = 0.9}),
      named_optimizer<Sgd>("nesterov",
                           SgdOptions{.schedule = {}, .momentum = 0.9, .nesterov = true}),
      named_optimizer<RmsProp>("rmsprop", RmsPropOptions{}),
      named_optimizer<RmsProp>("rmsprop momentum", RmsPropOptions{.schedule = {}, .momentum = 0.8}),
      named_optimizer<Adam>("adam", AdamOptions{}),
      named_optimizer<AdamW>("adamw", AdamOptions{}),
      named_optimizer<Adam>(
          "adam with other betas",
          AdamOptions{.schedule = {}, .beta1 = 0.5, .beta2 = 0.8, .epsilon = 0.1})};
}

/// The script's two parameters in their groups, on a device.
struct OptimizedPair {
  Tensor a, b;

  explicit OptimizedPair(Device device = {}, DType dtype = DType::float64)
      : a(formula_numbers({3, 2}, 1).to(dtype).to(device)),
        b(formula_numbers({5}, 2).to(dtype).to(device)) {
    a.set_requires_grad();
    b.set_requires_grad();
  }

  std::vector<optim::ParameterGroup> groups() const {
    return {{.parameters = {{"a", a}}, .weight_decay = 0.01},
            {.parameters = {{"b", b}}, .rate_scale = 0.1}};
  }
  /// The gradients of step `step`.
  void set_gradients(std::int64_t step) const {
    for (const Tensor& w : {a, b}) {
      const auto seed = static_cast<std::uint32_t>(100 + 2 * step + (w.numel() == b.numel()));
      const Tensor formula = formula_numbers(w.shape(), seed).to(w.dtype()).to(w.device());
      w.set_grad(formula + 0.5 * w.detach());
    }
  }
  /// Steps first, first + 1, ..., last - 1.
  void train(optim::Optimizer& optimizer, std::int64_t first, std::int64_t last) const {
    for (std::int64_t step = first; step < last; ++step) {
      set_gradients(step);
      optimizer.step();
    }
  }
  /// Elements of both.
  std::vector<double> values() const { return values_of({{"a", a}, {"b", b}}); }
  /// Elements of all, as double.
  static std::vector<double> values_of(const std::vector<NamedTensor>& tensors) {
    std::vector<double> all;
    for (const NamedTensor& named : tensors) {
      const auto one = named.tensor.detach().to(DType::float64).values<double>();
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
};

}  // namespace shatter::test
