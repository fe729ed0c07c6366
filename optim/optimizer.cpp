// Optimizer state and updates.
#include <shatter/optim/optimizer.h>

#include <set>

#include <shatter/core/autograd.h>
#include <shatter/core/checks.h>
#include <shatter/core/dispatch.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/optimizer.h>

namespace shatter::optim {
namespace {

void check_groups(const char* name, const std::vector<ParameterGroup>& groups,
                  const Schedule& schedule) {
  check(bool(schedule), name, ": no learning-rate schedule");
  std::set<std::string> names;
  std::set<const void*> memory;
  const Tensor* first = nullptr;
  for (const ParameterGroup& group : groups) {
    check(group.weight_decay >= 0, name, ": weight decay ", group.weight_decay);
    for (const auto& [parameter, tensor] : group.parameters) {
      check(tensor.requires_grad(), name, ": parameter ", parameter,
            " requires no gradient; initialize() the model, or give trainable_parameters(model) "
            "where some are frozen");
      check(names.insert(parameter).second && memory.insert(tensor.node().get()).second, name,
            ": parameter ", parameter, " is listed twice");
      if (!first) first = &tensor;
      check(tensor.dtype() == first->dtype() && tensor.device() == first->device(), name,
            ": parameter ", parameter, " is ", tensor.str(), " on ", tensor.device().name(),
            ", others are ", first->str(), " on ", first->device().name());
    }
  }
}

/// float64 [1] where the parameters are.
Tensor rate_like(const std::vector<ParameterGroup>& groups) {
  for (const ParameterGroup& group : groups) {
    for (const NamedTensor& parameter : group.parameters)
      return Tensor::zeros({1}, DType::float64, parameter.tensor.device());
  }
  return Tensor::zeros({1}, DType::float64);
}

/// A tensor like each parameter, named prefix.name.
std::vector<NamedTensor> state_like(const std::vector<ParameterGroup>& groups,
                                    const std::string& prefix, double value) {
  std::vector<NamedTensor> state;
  for (const ParameterGroup& group : groups) {
    for (const auto& [name, x] : group.parameters) {
      state.push_back({prefix + "." + name, Tensor::full(x.shape(), value, x.dtype(), x.device())});
    }
  }
  return state;
}

/// Every parameter with a gradient, as the kernels take them: update<T>(context, tensors). State i
/// belongs to parameter i; buffers follow the first `count` states. All must be where `rate` is, so
/// that a model moved since the optimizer was made is found out.
template <class Update>
void update_all(const char* name, const std::vector<ParameterGroup>& groups,
                const std::vector<NamedTensor>& state, const Tensor& rate, Update update) {
  std::vector<Tensor> gradients;  // keeps packed copies alive during the update
  const Tensor* first = nullptr;
  std::size_t count = 0;
  for (const ParameterGroup& group : groups) {
    count += group.parameters.size();
    if (!first && !group.parameters.empty()) first = &group.parameters.front().tensor;
  }
  if (!first) return;
  on(first->device(), [&](auto& context) {
    with_floating(first->dtype(), name, [&]<class T>() {
      std::vector<kernels::UpdateTensor<T>> tensors;
      std::size_t i = 0;
      for (const ParameterGroup& group : groups) {
        for (const auto& [parameter, w] : group.parameters) {
          const std::size_t place = i++;
          if (!w.grad()) continue;
          check(w.device() == rate.device(), name, ": parameter ", parameter, " is on ",
                w.device().name(), ", the optimizer was made on ", rate.device().name());
          gradients.push_back(w.grad().packed());
          w.note_overwritten();
          tensors.push_back(
              {.w = w.template data<T>(),
               .dw = gradients.back().template data<T>(),
               .state = place < state.size() ? state[place].tensor.template data<T>() : nullptr,
               .momentum_buffer = count + place < state.size()
                                      ? state[count + place].tensor.template data<T>()
                                      : nullptr,
               .n = w.numel(),
               .weight_decay = group.weight_decay});
        }
      }
      update(context, std::span<const kernels::UpdateTensor<T>>(tensors));
    });
  });
}

}  // namespace

Sgd::Sgd(std::vector<ParameterGroup> groups, SgdOptions options)
    : groups_(std::move(groups)), options_(std::move(options)) {
  check_groups("Sgd", groups_, options_.schedule);
  check(options_.momentum >= 0 && options_.momentum < 1, "Sgd: momentum ", options_.momentum,
        ", expected 0 <= momentum < 1");
  check(!options_.nesterov || options_.momentum > 0, "Sgd: Nesterov needs a momentum");
  if (options_.momentum > 0) state_ = state_like(groups_, "momentum", 0);
  rate_ = rate_like(groups_);
}

void Sgd::step() {
  rate_.fill(learning_rate());
  update();
  ++steps_;
}

void Sgd::update(const Tensor& stopped) {
  update_all("Sgd", groups_, state_, rate_, [&](auto& context, auto tensors) {
    kernels::sgd_update(context, tensors, rate_.data<double>(),
                        ops::data_or_null<std::int32_t>(stopped), options_.momentum,
                        options_.nesterov);
  });
}

std::vector<NamedTensor> Sgd::state() const {
  return state_;
}

RmsProp::RmsProp(std::vector<ParameterGroup> groups, RmsPropOptions options)
    : groups_(std::move(groups)), options_(std::move(options)) {
  check_groups("RmsProp", groups_, options_.schedule);
  check(options_.decay >= 0 && options_.decay < 1 && options_.momentum >= 0 &&
            options_.momentum < 1 && options_.epsilon > 0,
        "RmsProp: decay ", options_.decay, ", momentum ", options_.momentum, ", epsilon ",
        options_.epsilon, "; expected decay and momentum in [0, 1), epsilon > 0");
  state_ = state_like(groups_, "mean_square", 1);
  rate_ = rate_like(groups_);
  if (options_.momentum > 0) {
    for (NamedTensor& buffer : state_like(groups_, "momentum", 0)) state_.push_back(buffer);
  }
}

void RmsProp::step() {
  rate_.fill(learning_rate());
  update_all("RmsProp", groups_, state_, rate_, [&](auto& context, auto tensors) {
    kernels::rmsprop_update(context, tensors, rate_.data<double>(), nullptr, options_.decay,
                            options_.momentum, options_.epsilon);
  });
  ++steps_;
}

std::vector<NamedTensor> RmsProp::state() const {
  return state_;
}

ParameterAverage::ParameterAverage(std::vector<NamedTensor> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  check(decay >= 0 && decay < 1, "ParameterAverage: decay ", decay, ", expected 0 <= decay < 1");
  for (const auto& [name, x] : parameters_)
    averages_.push_back({"average." + name, x.detach().clone()});
}

void ParameterAverage::update() {
  const NoGrad guard;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& average = averages_[i].tensor;
    average.copy_from(average * decay_ + parameters_[i].tensor.detach() * (1 - decay_));
  }
}

void ParameterAverage::swap() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor kept = averages_[i].tensor.clone();
    averages_[i].tensor.copy_from(parameters_[i].tensor.detach());
    parameters_[i].tensor.copy_from(kept);
  }
}

std::vector<ParameterGroup> decay_weights(ModelRef model, double weight_decay) {
  std::vector<ParameterGroup> groups{{.weight_decay = weight_decay}, {}};
  for (const NamedTensor& named : named_parameters(model)) {
    groups[named.tensor.rank() >= 2 ? 0 : 1].parameters.push_back(named);
  }
  return groups;
}

}  // namespace shatter::optim
