// The tensors behind a step's bookkeeping.
#include <shatter/experiments/train/step_record.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <span>

#include <shatter/core/checks.h>

namespace shatter::experiments {
namespace {

using kernels::StepCounts;

/// What set() writes: in front of the losses, as 64-bit words.
struct Head {
  std::int64_t first = 0, epoch = 0, step = 0;
  std::int32_t stopped = 0, unused = 0;
  StepCounts counts;
};
constexpr std::int64_t word = sizeof(std::int64_t);
constexpr std::int64_t head_words = sizeof(Head) / word, count_words = sizeof(StepCounts) / word;
constexpr std::int64_t position_at = offsetof(Head, first) / word;
constexpr std::int64_t step_at = offsetof(Head, step) / word;
constexpr std::int64_t stopped_at = offsetof(Head, stopped) / word;
constexpr std::int64_t counts_at = offsetof(Head, counts) / word;
using HeadWords = std::array<std::int64_t, std::size_t(head_words)>;

}  // namespace

StepRecord::StepRecord(Device device, std::int64_t images,
                       const std::vector<double>& learning_rates,
                       const std::vector<std::uint8_t>& is_true, std::int64_t ring)
    : all_(Tensor::zeros({head_words + ring}, DType::int64, device)),
      position_(all_.slice_items(position_at, 2)),
      step_(all_.slice_items(step_at, 1)),
      stopped_(all_.slice_items(stopped_at, 1).reinterpret(DType::int32).slice_items(0, 1)),
      counts_(all_.slice_items(counts_at, count_words)),
      losses_(all_.slice_items(head_words, ring).reinterpret(DType::float64)),
      order_(Tensor::empty({images}, DType::int64, device)),
      rates_(Tensor::from(std::span<const double>(learning_rates),
                          {std::int64_t(learning_rates.size())}, device)) {
  if (!is_true.empty())
    is_true_ = Tensor::from(std::span<const std::uint8_t>(is_true), {images}, device);
}

void StepRecord::set(std::int64_t epoch, std::int64_t first, std::int64_t step,
                     const StepCounts& counts) {
  const auto words = std::bit_cast<HeadWords>(
      Head{.first = first, .epoch = epoch, .step = step, .counts = counts});
  all_.slice_items(0, head_words)
      .copy_from(Tensor::from(std::span<const std::int64_t>(words), {head_words}));
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
  const std::vector<std::int64_t> values = all_.values<std::int64_t>();
  HeadWords words;
  std::copy_n(values.begin(), words.size(), words.begin());
  const Head head = std::bit_cast<Head>(words);
  Reading reading{
      .counts = head.counts, .step = head.step, .stopped = head.stopped != 0, .ring = {}};
  for (std::size_t i = words.size(); i < values.size(); ++i)
    reading.ring.push_back(std::bit_cast<double>(values[i]));
  return reading;
}

std::vector<double> StepRecord::Reading::losses_from(std::int64_t first) const {
  std::vector<double> losses;
  for (std::int64_t i = first; i < step; ++i) losses.push_back(ring[std::size_t(i) % ring.size()]);
  return losses;
}

}  // namespace shatter::experiments
