// Optimizers behind one interface, clipping of gradients, and averaging of parameters. An optimizer
// is made where the parameters are: an update throws for a model moved since. An update never
// changes gradients.
#pragma once

#include <functional>
#include <memory>

#include <shatter/kernels/optimizer_rules.h>
#include <shatter/layers/module.h>
#include <shatter/optim/schedule.h>

namespace shatter::optim {

/// Parameters that share a weight decay, and a share of the rate.
struct ParameterGroup {
  std::vector<NamedTensor> parameters{};
  double weight_decay = 0;  ///< the penalty is (weight_decay / 2) |w|^2 for each
  double rate_scale = 1;    ///< the group's rate is the optimizer's times this
};

/// What all optimizers share. A derived class says in update() what happens to a parameter; its
/// buffers are made by the constructor.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One update from grad() of every parameter at the schedule's rate for steps(), which it then
  /// counts. A parameter without gradient is left alone.
  void step();
  /// The update alone: at the rate that rate() holds, steps() as it is. Where *stopped (int32 [1],
  /// may be undefined) is not 0 nothing changes. For captured steps: all that differs from one to
  /// the next is read from device memory, and the step moves the rate on itself.
  virtual void update(const Tensor& stopped = {}) = 0;

  /// float64 [1] on the parameters' device: the rate of the next update().
  const Tensor& rate() const { return rate_; }
  /// Steps done: by step(), or as set_steps() says where captured steps call update().
  std::int64_t steps() const { return steps_; }
  /// Also sets the count of updates in state(), where there is one.
  void set_steps(std::int64_t steps);
  double learning_rate() const { return schedule_(steps_); }
  double learning_rate_at(std::int64_t step) const { return schedule_(step); }

  /// "AdamW"
  const std::string& name() const { return name_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  /// Of all groups, in their order.
  std::vector<NamedTensor> parameters() const;
  /// What a checkpoint holds besides weights and steps(): "<buffer>.<name>" for every parameter,
  /// and "steps" (int64 [1]), the count of updates, where the rule depends on it.
  std::vector<NamedTensor> state() const;

 protected:
  /// Throws, naming `name`, for an empty schedule, a negative decay or share of the rate,
  /// parameters of several types or devices, or one listed twice.
  Optimizer(std::string name, std::vector<ParameterGroup> groups, Schedule schedule);
  /// A tensor of `value` like each parameter.
  void add_buffer(const std::string& buffer, double value = 0);
  /// The count of updates, for rules with corrections.
  void add_count();
  /// Applies the rule to every parameter with a gradient; buffers in the order they were added.
  /// Throws where the rule has other buffers.
  void apply(const kernels::UpdateRule& rule, const Tensor& stopped);

 private:
  std::string name_;
  std::vector<ParameterGroup> groups_;
  Schedule schedule_;
  std::vector<std::vector<NamedTensor>> buffers_;  ///< of each kind, one for each parameter
  Tensor rate_, count_;
  std::int64_t steps_ = 0;
};

struct SgdOptions {
  Schedule schedule;
  double momentum = 0;
  bool nesterov = false;
};

/// v = momentum * v + (g + weight_decay * w); w -= rate * v (Nesterov: rate * (g + weight_decay * w
/// + momentum * v)). The buffer is "momentum"; there is none without momentum.
class Sgd : public Optimizer {
 public:
  using Options = SgdOptions;
  /// Also throws for Nesterov without momentum.
  Sgd(std::vector<ParameterGroup> groups, SgdOptions options);
  Sgd(std::vector<NamedTensor> parameters, SgdOptions options)
      : Sgd(std::vector<ParameterGroup>{{std::move(parameters)}}, std::move(options)) {}
  void update(const Tensor& stopped = {}) override;

 private:
  double momentum_;
  bool nesterov_;
};

struct RmsPropOptions {
  Schedule schedule;
  double decay = 0.9, momentum = 0, epsilon = 1e-10;
};

/// TensorFlow's form: g += weight_decay * w; s = decay * s + (1 - decay) g^2; b = momentum * b +
/// rate * g / sqrt(s + epsilon); w -= b. s starts at 1. The buffers are "mean_square" and, with
/// momentum, "momentum".
class RmsProp : public Optimizer {
 public:
  using Options = RmsPropOptions;
  RmsProp(std::vector<ParameterGroup> groups, RmsPropOptions options);
  RmsProp(std::vector<NamedTensor> parameters, RmsPropOptions options)
      : RmsProp(std::vector<ParameterGroup>{{std::move(parameters)}}, std::move(options)) {}
  void update(const Tensor& stopped = {}) override;

 private:
  double decay_, momentum_, epsilon_;
};

struct AdamOptions {
  Schedule schedule;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

/// g += weight_decay * w; m = beta1 * m + (1 - beta1) g; s = beta2 * s + (1 - beta2) g^2;
/// w -= rate * m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon), t = 1 in the first update.
/// t counts the optimizer's updates, also for a parameter that had no gradient in some of them. The
/// buffers are "mean" and "mean_square".
class Adam : public Optimizer {
 public:
  using Options = AdamOptions;
  Adam(std::vector<ParameterGroup> groups, AdamOptions options)
      : Adam("Adam", std::move(groups), std::move(options), false) {}
  Adam(std::vector<NamedTensor> parameters, AdamOptions options)
      : Adam(std::vector<ParameterGroup>{{std::move(parameters)}}, std::move(options)) {}
  void update(const Tensor& stopped = {}) override;

 protected:
  Adam(std::string name, std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled);

 private:
  kernels::AdamRule rule_;
};

/// Adam with its decay decoupled from the gradient: w -= rate * weight_decay * w before the update.
class AdamW : public Adam {
 public:
  AdamW(std::vector<ParameterGroup> groups, AdamOptions options)
      : Adam("AdamW", std::move(groups), std::move(options), true) {}
  AdamW(std::vector<NamedTensor> parameters, AdamOptions options)
      : AdamW(std::vector<ParameterGroup>{{std::move(parameters)}}, std::move(options)) {}
};

/// Scales the gradients in place so that the 2-norm of all of them together is at most max_norm, up
/// to rounding. Gives the norm before, float64 [1] where they are; the host waits for nothing. A
/// norm that is not finite makes every gradient NaN. Parameters without gradient count as 0.
Tensor clip_gradient_norm(const std::vector<NamedTensor>& parameters, double max_norm);

/// An exponential moving average of parameters: average = decay * average + (1 - decay) * w. It
/// starts at the parameters as they are, and so has no bias to correct.
class ParameterAverage {
 public:
  ParameterAverage(std::vector<NamedTensor> parameters, double decay);
  /// May be captured. Where *stopped (int32 [1], may be undefined) is not 0 nothing changes.
  void update(const Tensor& stopped = {});
  /// Exchanges the parameters with their averages: call again to undo.
  void swap();
  /// "average.<name>" for every parameter: what a checkpoint holds.
  std::vector<NamedTensor> state() const { return averages_; }

 private:
  std::vector<NamedTensor> parameters_, averages_;
  double decay_;
};

/// Splits parameters, of a model all: weights (rank 2 or more) with the decay, the rest without.
std::vector<ParameterGroup> decay_weights(const std::vector<NamedTensor>& parameters,
                                          double weight_decay);
std::vector<ParameterGroup> decay_weights(ModelRef model, double weight_decay);

/// An optimizer that programs ask for by name, at its usual settings.
struct KnownOptimizer {
  std::string name;
  bool has_momentum = false;
  std::function<std::unique_ptr<Optimizer>(std::vector<ParameterGroup> groups, Schedule schedule,
                                           double momentum)>
      make = {};
};
/// "sgd", "rmsprop", "adam", "adamw".
const std::vector<KnownOptimizer>& known_optimizers();
/// Throws (usage) for a name that is none of these.
const KnownOptimizer& known_optimizer(const std::string& name);

/// Makes the optimizer of a model, for whoever moves the model to a device first.
using MakeOptimizer = std::function<std::unique_ptr<Optimizer>(ModelRef)>;

/// make<AdamW>({.schedule = constant(1e-3)}, 0.05): of the model's trainable parameters, with the
/// weight decay on those of rank 2 or more.
template <class Rule>
MakeOptimizer make(typename Rule::Options options, double weight_decay = 0) {
  return [options, weight_decay](ModelRef model) {
    return std::make_unique<Rule>(decay_weights(trainable_parameters(model), weight_decay),
                                  options);
  };
}

}  // namespace shatter::optim
