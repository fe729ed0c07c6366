// Optimizers: SGD with momentum, RMSProp, and averaging of parameters. They are made where the
// parameters are: an update throws for a model moved since. step() never changes gradients.
#pragma once

#include <shatter/layers/module.h>
#include <shatter/optim/schedule.h>

namespace shatter::optim {

/// Parameters that share a weight decay. The penalty is (weight_decay / 2) |w|^2 for each.
struct ParameterGroup {
  std::vector<NamedTensor> parameters{};
  double weight_decay = 0;
};

struct SgdOptions {
  Schedule schedule;
  double momentum = 0;
  bool nesterov = false;
};

/// v = momentum * v + (g + weight_decay * w); w -= rate * v (Nesterov: rate * (g + momentum * v)).
class Sgd {
 public:
  /// Throws for an empty schedule, Nesterov without momentum, or a parameter listed twice.
  Sgd(std::vector<ParameterGroup> groups, SgdOptions options);
  Sgd(std::vector<NamedTensor> parameters, SgdOptions options)
      : Sgd(std::vector<ParameterGroup>{{std::move(parameters), 0}}, std::move(options)) {}

  /// One update from grad() of every parameter at the schedule's rate for steps(); a parameter
  /// without gradient is left alone.
  void step();
  /// The update alone: at the rate that rate() holds, steps() as it is. Where *stopped (int32 [1],
  /// may be undefined) is not 0 nothing changes. For captured steps, which move the rate on
  /// themselves.
  void update(const Tensor& stopped = {});
  /// float64 [1] on the parameters' device: the rate of the next update().
  const Tensor& rate() const { return rate_; }
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  double learning_rate() const { return options_.schedule(steps_); }
  /// "momentum.<name>" for every parameter: what a checkpoint holds besides weights and steps().
  std::vector<NamedTensor> state() const;

 private:
  std::vector<ParameterGroup> groups_;
  SgdOptions options_;
  std::vector<NamedTensor> state_;
  Tensor rate_;
  std::int64_t steps_ = 0;
};

struct RmsPropOptions {
  Schedule schedule;
  double decay = 0.9, momentum = 0, epsilon = 1e-10;
};

/// TensorFlow's form: s = decay s + (1 - decay) g^2; b = momentum b + rate g / sqrt(s + epsilon);
/// w -= b. s starts at 1.
class RmsProp {
 public:
  RmsProp(std::vector<ParameterGroup> groups, RmsPropOptions options);
  void step();
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }
  double learning_rate() const { return options_.schedule(steps_); }
  std::vector<NamedTensor> state() const;

 private:
  std::vector<ParameterGroup> groups_;
  RmsPropOptions options_;
  std::vector<NamedTensor> state_;
  Tensor rate_;
  std::int64_t steps_ = 0;
};

/// An exponential moving average of parameters: average = decay * average + (1 - decay) * w.
class ParameterAverage {
 public:
  ParameterAverage(std::vector<NamedTensor> parameters, double decay);
  void update();
  /// Exchanges the parameters with their averages: call again to undo.
  void swap();
  std::vector<NamedTensor> state() const { return averages_; }

 private:
  std::vector<NamedTensor> parameters_, averages_;
  double decay_;
};

/// Splits a model's parameters: weights (rank 2 or more) with the decay, the rest without.
std::vector<ParameterGroup> decay_weights(ModelRef model, double weight_decay);

}  // namespace shatter::optim
