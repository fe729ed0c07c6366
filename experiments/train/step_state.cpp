// The kernels of a step's bookkeeping, given their memory.
#include <shatter/experiments/train/step_state.h>

#include <span>

#include <shatter/core/checks.h>

namespace shatter::experiments {

StepState::StepState(Device device, std::int64_t images, const std::vector<double>& learning_rates,
                     const std::vector<std::uint8_t>& is_true)
    : values_(device),
      position_(values_.tensor(&Values::position)),
      step_(values_.tensor(&Values::step)),
      stopped_(values_.tensor(&Values::stopped)),
      order_(Tensor::empty({images}, DType::int64, device)),
      rates_(Tensor::from(std::span<const double>(learning_rates),
                          {std::int64_t(learning_rates.size())}, device)) {
  if (!is_true.empty())
    is_true_ = Tensor::from(std::span<const std::uint8_t>(is_true), {images}, device);
}

void StepState::set(std::int64_t epoch, std::int64_t first, std::int64_t step,
                    const kernels::StepCounts& counts) {
  values_.set({.position = {.first = first, .epoch = epoch}, .step = step, .counts = counts});
}

void StepState::set_order(const std::vector<std::int64_t>& order) {
  order_.copy_from(Tensor::from(std::span<const std::int64_t>(order), order_.shape()));
}

void StepState::check_loss(const Tensor& loss) const {
  ops::run("check_loss", loss, [&]<class T>(auto& context) {
    kernels::check_loss<T>(context, loss.data<T>(), stopped_.data<std::int32_t>());
  });
}

void StepState::finish_step(const Tensor& outputs, const Tensor& labels, const Tensor& loss,
                            const Tensor& rate, bool classes) const {
  Values* const values = values_.ptr();
  const kernels::StepPointers pointers{.position = &values->position,
                                       .step = &values->step,
                                       .learning_rate = rate.data<double>(),
                                       .learning_rates = rates_.data<double>(),
                                       .rates = rates_.numel(),
                                       .stopped = &values->stopped};
  ops::run("finish_step", loss, [&]<class T>(auto& context) {
    kernels::finish_step<T>(context, pointers, labels.dim(0), classes ? outputs.dim(1) : 0,
                            classes ? outputs.data<T>() : nullptr,
                            classes ? labels.data<std::int32_t>() : nullptr, loss.data<T>(),
                            order_.data<std::int64_t>(), ops::data_or_null<std::uint8_t>(is_true_),
                            &values->counts, values->losses, ring);
  });
}

std::vector<double> StepState::Values::losses_from(std::int64_t first) const {
  std::vector<double> result;
  for (std::int64_t i = first; i < step; ++i) result.push_back(losses[i % ring]);
  return result;
}

}  // namespace shatter::experiments
