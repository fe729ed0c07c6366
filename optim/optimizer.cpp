// Optimizer state and updates.
#include <shatter/optim/optimizer.h>

#include <cmath>
#include <set>

#include <shatter/core/autograd.h>
#include <shatter/core/checks.h>
#include <shatter/core/dispatch.h>
#include <shatter/kernels/optimizer.h>

namespace shatter::optim {
namespace {

/// All tensors of one type on one device.
void check_alike(const std::string& name, const NamedTensor& parameter, const Tensor& first) {
  const Tensor& tensor = parameter.tensor;
  check(tensor.dtype() == first.dtype() && tensor.device() == first.device(), name, ": parameter ",
        parameter.name, " is ", tensor.str(), " on ", tensor.device().name(), ", others are ",
        first.str(), " on ", first.device().name());
}

void check_groups(const std::string& name, const std::vector<ParameterGroup>& groups) {
  std::set<std::string> names;
  std::set<const void*> memory;
  const Tensor* first = nullptr;
  for (const ParameterGroup& group : groups) {
    check(group.weight_decay >= 0, name, ": weight decay ", group.weight_decay);
    check(group.rate_scale >= 0 && std::isfinite(group.rate_scale), name, ": rate scale ",
          group.rate_scale);
    for (const NamedTensor& parameter : group.parameters) {
      const Tensor& tensor = parameter.tensor;
      check(tensor.requires_grad(), name, ": parameter ", parameter.name,
            " requires no gradient; initialize() the model, or give trainable_parameters(model) "
            "where some are frozen");
      check(names.insert(parameter.name).second && memory.insert(tensor.node().get()).second, name,
            ": parameter ", parameter.name, " is listed twice");
      if (!first) first = &tensor;
      check_alike(name, parameter, *first);
    }
  }
}

/// What a rule is applied to: packed tensors of one size.
struct Entry {
  Tensor w, dw;
  std::vector<Tensor> buffers{};
  double weight_decay = 0, rate_scale = 1;
};

/// Calls use(context, tensors), the entries as the kernels take them.
template <class Use>
void with_tensors(const std::string& name, Device device, const std::vector<Entry>& entries,
                  Use use) {
  const DType dtype = entries.empty() ? DType::float32 : entries.front().w.dtype();
  on(device, [&](auto& context) {
    with_floating(dtype, name.c_str(), [&]<class T>() {
      std::vector<kernels::UpdateTensor<T>> tensors;
      for (const Entry& entry : entries) {
        kernels::UpdateTensor<T> tensor{.w = entry.w.data<T>(),
                                        .dw = entry.dw.data<T>(),
                                        .n = entry.w.numel(),
                                        .weight_decay = entry.weight_decay,
                                        .rate_scale = entry.rate_scale};
        for (std::size_t k = 0; k < entry.buffers.size(); ++k)
          tensor.buffers[k] = entry.buffers[k].data<T>();
        tensors.push_back(tensor);
      }
      use(context, std::span<const kernels::UpdateTensor<T>>(tensors));
    });
  });
}

/// Applies a rule to every entry; where *stopped is not 0 nothing changes.
void apply_rule(const std::string& name, Device device, const std::vector<Entry>& entries,
                const kernels::UpdateRule& rule, const kernels::UpdateStep& step) {
  with_tensors(name, device, entries,
               [&](auto& context, auto tensors) { kernels::update(context, rule, tensors, step); });
  for (const Entry& entry : entries) entry.w.note_overwritten();
}

}  // namespace

Optimizer::Optimizer(std::string name, std::vector<ParameterGroup> groups, Schedule schedule)
    : name_(std::move(name)), groups_(std::move(groups)), schedule_(std::move(schedule)) {
  check(bool(schedule_), name_, ": no learning-rate schedule");
  check_groups(name_, groups_);
  const std::vector<NamedTensor> all = parameters();
  rate_ = Tensor::zeros({1}, DType::float64, all.empty() ? Device() : all.front().tensor.device());
}

void Optimizer::add_buffer(const std::string& buffer, double value) {
  std::vector<NamedTensor> buffers;
  for (const auto& [name, x] : parameters())
    buffers.push_back({buffer + "." + name, Tensor::full(x.shape(), value, x.dtype(), x.device())});
  buffers_.push_back(std::move(buffers));
}

void Optimizer::add_count() {
  count_ = Tensor::zeros({1}, DType::int64, rate_.device());
}

void Optimizer::step() {
  rate_.fill(learning_rate());
  update();
  ++steps_;
}

void Optimizer::apply(const kernels::UpdateRule& rule, const Tensor& stopped) {
  std::visit(
      [&]<class Rule>(const Rule&) {
        check(buffers_.size() == Rule::buffers, name_, ": ", buffers_.size(),
              " buffers for each parameter, its rule has ", Rule::buffers);
        check(count_ || !kernels::CountsUpdates<Rule>, name_, ": its rule needs add_count()");
      },
      rule);
  std::vector<Entry> entries;
  std::size_t place = 0;
  for (const ParameterGroup& group : groups_) {
    for (const auto& [parameter, w] : group.parameters) {
      const std::size_t i = place++;
      if (!w.grad()) continue;
      check(w.device() == rate_.device(), name_, ": parameter ", parameter, " is on ",
            w.device().name(), ", the optimizer was made on ", rate_.device().name());
      Entry entry{.w = w,
                  .dw = w.grad().packed(),
                  .weight_decay = group.weight_decay,
                  .rate_scale = group.rate_scale};
      for (const auto& buffers : buffers_) entry.buffers.push_back(buffers[i].tensor);
      entries.push_back(std::move(entry));
    }
  }
  apply_rule(name_, rate_.device(), entries, rule,
             {.rate = rate_.data<double>(),
              .stopped = ops::data_or_null<std::int32_t>(stopped),
              .count = ops::data_or_null<std::int64_t>(count_)});
}

void Optimizer::set_steps(std::int64_t steps) {
  steps_ = steps;
  if (count_) count_.fill(static_cast<double>(steps));
}

std::vector<NamedTensor> Optimizer::parameters() const {
  std::vector<NamedTensor> all;
  for (const ParameterGroup& group : groups_)
    all.insert(all.end(), group.parameters.begin(), group.parameters.end());
  return all;
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> state;
  for (const auto& buffers : buffers_) state.insert(state.end(), buffers.begin(), buffers.end());
  if (count_) state.push_back({"steps", count_});
  return state;
}

Sgd::Sgd(std::vector<ParameterGroup> groups, SgdOptions options)
    : Optimizer("Sgd", std::move(groups), std::move(options.schedule)),
      momentum_(options.momentum),
      nesterov_(options.nesterov) {
  check(momentum_ >= 0 && momentum_ < 1, "Sgd: momentum ", momentum_,
        ", expected 0 <= momentum < 1");
  check(!nesterov_ || momentum_ > 0, "Sgd: Nesterov needs a momentum");
  if (momentum_ > 0) add_buffer("momentum");
}

void Sgd::update(const Tensor& stopped) {
  if (momentum_ == 0)
    apply(kernels::SgdRule{}, stopped);
  else if (nesterov_)
    apply(kernels::NesterovRule{momentum_}, stopped);
  else
    apply(kernels::MomentumRule{momentum_}, stopped);
}

RmsProp::RmsProp(std::vector<ParameterGroup> groups, RmsPropOptions options)
    : Optimizer("RmsProp", std::move(groups), std::move(options.schedule)),
      decay_(options.decay),
      momentum_(options.momentum),
      epsilon_(options.epsilon) {
  check(decay_ >= 0 && decay_ < 1 && momentum_ >= 0 && momentum_ < 1 && epsilon_ > 0,
        "RmsProp: decay ", decay_, ", momentum ", momentum_, ", epsilon ", epsilon_,
        "; expected decay and momentum in [0, 1), epsilon > 0");
  add_buffer("mean_square", 1);
  if (momentum_ > 0) add_buffer("momentum");
}

void RmsProp::update(const Tensor& stopped) {
  const kernels::RmsPropRule plain{decay_, epsilon_};
  if (momentum_ == 0)
    apply(plain, stopped);
  else
    apply(kernels::RmsPropMomentumRule{plain, momentum_}, stopped);
}

Adam::Adam(std::string name, std::vector<ParameterGroup> groups, AdamOptions options,
           bool decoupled)
    : Optimizer(name, std::move(groups), std::move(options.schedule)),
      rule_{options.beta1, options.beta2, options.epsilon, decoupled} {
  check(rule_.beta1 >= 0 && rule_.beta1 < 1 && rule_.beta2 >= 0 && rule_.beta2 < 1 &&
            rule_.epsilon > 0,
        name, ": beta1 ", rule_.beta1, ", beta2 ", rule_.beta2, ", epsilon ", rule_.epsilon,
        "; expected betas in [0, 1), epsilon > 0");
  add_buffer("mean");
  add_buffer("mean_square");
  add_count();
}

void Adam::update(const Tensor& stopped) {
  apply(rule_, stopped);
}

Tensor clip_gradient_norm(const std::vector<NamedTensor>& parameters, double max_norm) {
  check(max_norm >= 0, "clip_gradient_norm: ", max_norm, ", expected a norm");
  std::vector<Entry> entries;
  for (const NamedTensor& parameter : parameters) {
    const Tensor& w = parameter.tensor;
    check_alike("clip_gradient_norm", parameter, parameters.front().tensor);
    if (!w.grad()) continue;
    if (!w.grad().is_packed()) w.set_grad(w.grad().packed());
    entries.push_back({.w = w.grad(), .dw = w.grad()});
  }
  const Device device = parameters.empty() ? Device() : parameters.front().tensor.device();
  const Tensor norm = Tensor::empty({1}, DType::float64, device);
  const Tensor factor = Tensor::empty({1}, DType::float64, device);
  with_tensors("clip_gradient_norm", device, entries, [&](auto& context, auto tensors) {
    kernels::gradient_norm(context, tensors, max_norm, norm.data<double>(), factor.data<double>());
  });
  apply_rule("clip_gradient_norm", device, entries, kernels::ScaleRule{},
             {.rate = factor.data<double>()});
  return norm;
}

ParameterAverage::ParameterAverage(std::vector<NamedTensor> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  check(decay >= 0 && decay < 1, "ParameterAverage: decay ", decay, ", expected 0 <= decay < 1");
  for (const NamedTensor& parameter : parameters_) {
    check_alike("ParameterAverage", parameter, parameters_.front().tensor);
    averages_.push_back({"average." + parameter.name, parameter.tensor.detach().clone()});
  }
}

void ParameterAverage::update(const Tensor& stopped) {
  if (parameters_.empty()) return;
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    check_alike("ParameterAverage", parameters_[i], averages_.front().tensor);
    entries.push_back({.w = averages_[i].tensor, .dw = parameters_[i].tensor.detach().packed()});
  }
  apply_rule("ParameterAverage", averages_.front().tensor.device(), entries,
             kernels::AverageRule{decay_}, {.stopped = ops::data_or_null<std::int32_t>(stopped)});
}

void ParameterAverage::swap() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor kept = averages_[i].tensor.clone();
    averages_[i].tensor.copy_from(parameters_[i].tensor.detach());
    parameters_[i].tensor.copy_from(kept);
  }
}

std::vector<ParameterGroup> decay_weights(const std::vector<NamedTensor>& parameters,
                                          double weight_decay) {
  std::vector<ParameterGroup> groups{{.weight_decay = weight_decay}, {}};
  for (const NamedTensor& named : parameters) {
    groups[named.tensor.rank() >= 2 ? 0 : 1].parameters.push_back(named);
  }
  return groups;
}

std::vector<ParameterGroup> decay_weights(ModelRef model, double weight_decay) {
  return decay_weights(named_parameters(model), weight_decay);
}

const std::vector<KnownOptimizer>& known_optimizers() {
  using Groups = std::vector<ParameterGroup>;
  using Made = std::unique_ptr<Optimizer>;
  static const std::vector<KnownOptimizer> known{
      {"sgd", true,
       [](Groups groups, Schedule rate, double momentum) -> Made {
         return std::make_unique<Sgd>(
             std::move(groups), SgdOptions{.schedule = std::move(rate), .momentum = momentum});
       }},
      {"rmsprop", true,
       [](Groups groups, Schedule rate, double momentum) -> Made {
         return std::make_unique<RmsProp>(
             std::move(groups), RmsPropOptions{.schedule = std::move(rate), .momentum = momentum});
       }},
      {"adam", false,
       [](Groups groups, Schedule rate, double) -> Made {
         return std::make_unique<Adam>(std::move(groups), AdamOptions{.schedule = std::move(rate)});
       }},
      {"adamw", false, [](Groups groups, Schedule rate, double) -> Made {
         return std::make_unique<AdamW>(std::move(groups),
                                        AdamOptions{.schedule = std::move(rate)});
       }}};
  return known;
}

const KnownOptimizer& known_optimizer(const std::string& name) {
  std::string names;
  for (const KnownOptimizer& known : known_optimizers()) {
    if (known.name == name) return known;
    names += (names.empty() ? "" : ", ") + known.name;
  }
  fail(ErrorKind::usage, "unknown optimizer \"", name, "\", expected one of ", names);
}

}  // namespace shatter::optim
