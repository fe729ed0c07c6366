// The bookkeeping of training steps.
#include <algorithm>
#include <cmath>

#include <shatter/kernels/functions.h>
#include <shatter/kernels/step.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {

template <class T>
void check_loss(CpuContext& context, const T* mean_loss, std::int32_t* stopped) {
  const ProfileScope scope(context, "check_loss", elementwise_work<T>(1, 0, 1));
  if (!std::isfinite(*mean_loss)) *stopped = 1;
}

template <class T>
void finish_step(CpuContext& context, const StepPointers& state, std::int64_t batch,
                 std::int64_t classes, const T* logits, const std::int32_t* labels,
                 const T* mean_loss, const std::int64_t* order, const std::uint8_t* is_true,
                 StepCounts* counts, double* losses, std::int64_t ring) {
  const ProfileScope scope(context, "finish_step", finish_step_work<T>(batch, classes));
  if (*state.stopped) return;
  const auto loss = static_cast<double>(*mean_loss);
  counts->loss += loss * static_cast<double>(batch);
  if (classes == 0) counts->seen += batch;
  for (std::int64_t i = 0; classes > 0 && i < batch; ++i) {
    const T* const row = logits + i * classes;
    std::int32_t best = 0;
    for (std::int64_t c = 1; c < classes; ++c)
      if (Exceeds{}(row[c], row[best])) best = static_cast<std::int32_t>(c);
    const bool correct = best == labels[i];
    counts->correct += correct, ++counts->seen;
    if (!is_true) continue;
    if (is_true[order[state.position->first + i]])
      counts->clean_correct += correct, ++counts->clean_seen;
    else
      counts->corrupted_correct += correct, ++counts->corrupted_seen;
  }
  losses[*state.step % ring] = loss;
  ++*state.step;
  state.position->first += batch;
  *state.learning_rate = state.learning_rates[std::min(*state.step, state.rates - 1)];
}

template void check_loss(CpuContext&, const float*, std::int32_t*);
template void check_loss(CpuContext&, const double*, std::int32_t*);
template void finish_step(CpuContext&, const StepPointers&, std::int64_t, std::int64_t,
                          const float*, const std::int32_t*, const float*, const std::int64_t*,
                          const std::uint8_t*, StepCounts*, double*, std::int64_t);
template void finish_step(CpuContext&, const StepPointers&, std::int64_t, std::int64_t,
                          const double*, const std::int32_t*, const double*, const std::int64_t*,
                          const std::uint8_t*, StepCounts*, double*, std::int64_t);

}  // namespace shatter::kernels
