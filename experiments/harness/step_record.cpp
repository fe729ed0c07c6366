// The tensors behind a step's bookkeeping.
#include <shatter/experiments/harness/step_record.h>

#include <array>
#include <bit>
#include <span>

#include <shatter/core/checks.h>

namespace shatter::experiments {
namespace {

using kernels::StepCounts;

constexpr std::size_t count_words = sizeof(StepCounts) / sizeof(std::int64_t);
using CountWords = std::array<std::int64_t, count_words>;

template <class T, std::size_t n>
Tensor tensor(const std::array<T, n>& values) {
  return Tensor::from(std::span<const T>(values), {std::int64_t(n)});
}

}  // namespace

StepRecord::StepRecord(Device device, std::int64_t images,
                       const std::vector<double>& learning_rates,
                       const std::vector<std::uint8_t>& is_true, std::int64_t ring)
    : order_(Tensor::empty({images}, DType::int64, device)),
      position_(Tensor::zeros({2}, DType::int64, device)),
      step_(Tensor::zeros({1}, DType::int64, device)),
      stopped_(Tensor::zeros({1}, DType::int32, device)),
      counts_(Tensor::zeros({std::int64_t(count_words)}, DType::int64, device)),
      losses_(Tensor::zeros({ring}, DType::float64, device)),
      rates_(Tensor::from(std::span<const double>(learning_rates),
                          {std::int64_t(learning_rates.size())}, device)) {
  if (!is_true.empty())
    is_true_ = Tensor::from(std::span<const std::uint8_t>(is_true), {images}, device);
}

void StepRecord::set(std::int64_t epoch, std::int64_t first, std::int64_t step,
                     const StepCounts& counts) {
  position_.copy_from(tensor(std::array{first, epoch}));
  step_.fill(double(step));
  stopped_.fill(0);
  counts_.copy_from(tensor(std::bit_cast<CountWords>(counts)));
}

void StepRecord::set_order(const std::vector<std::int64_t>& order) {
  order_.copy_from(Tensor::from(std::span<const std::int64_t>(order), order_.shape()));
}

void StepRecord::check_loss(const Tensor& loss) const {
  ops::run("check_loss", loss, [&]<class T>(auto& context) {
    kernels::check_loss<T>(context, loss.data<T>(), stopped_.data<std::int32_t>());
  });
}

void StepRecord::finish_step(const Tensor& logits, const Tensor& labels, const Tensor& loss,
                             const Tensor& rate) const {
  const kernels::StepState state{
      .position = reinterpret_cast<kernels::BatchPosition*>(position_.data<std::int64_t>()),
      .step = step_.data<std::int64_t>(),
      .learning_rate = rate.data<double>(),
      .learning_rates = rates_.data<double>(),
      .rates = rates_.numel(),
      .stopped = stopped_.data<std::int32_t>()};
  ops::run("finish_step", logits, [&]<class T>(auto& context) {
    kernels::finish_step<T>(context, state, logits.dim(0), logits.dim(1), logits.data<T>(),
                            labels.data<std::int32_t>(), loss.data<T>(),
                            order_.data<std::int64_t>(), ops::data_or_null<std::uint8_t>(is_true_),
                            reinterpret_cast<StepCounts*>(counts_.data<std::int64_t>()),
                            losses_.data<double>(), losses_.numel());
  });
}

StepRecord::Reading StepRecord::read() const {
  CountWords words;
  const std::vector<std::int64_t> values = counts_.values<std::int64_t>();
  std::copy(values.begin(), values.end(), words.begin());
  return {.counts = std::bit_cast<StepCounts>(words),
          .step = step_.values<std::int64_t>()[0],
          .stopped = stopped_.values<std::int32_t>()[0] != 0};
}

std::vector<double> StepRecord::losses(std::int64_t first, std::int64_t last) const {
  const std::vector<double> ring = losses_.values<double>();
  std::vector<double> losses;
  for (std::int64_t step = first; step < last; ++step)
    losses.push_back(ring[std::size_t(step) % ring.size()]);
  return losses;
}

}  // namespace shatter::experiments
