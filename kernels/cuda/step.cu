// The bookkeeping of training steps on CUDA: one block, as there is little to do.
#include <cmath>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/step.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T>
__global__ void check(const T* mean_loss, std::int32_t* stopped) {
  if (!std::isfinite(*mean_loss)) *stopped = 1;
}

template <class T>
__global__ void finish(StepPointers state, std::int64_t batch, std::int64_t classes,
                       const T* logits, const std::int32_t* labels, const T* mean_loss,
                       const std::int64_t* order, const std::uint8_t* is_true, StepCounts* counts,
                       double* losses, std::int64_t ring) {
  if (*state.stopped) return;
  __shared__ int correct, clean, clean_correct;
  if (threadIdx.x == 0) correct = clean = clean_correct = 0;
  __syncthreads();
  for (std::int64_t i = threadIdx.x; classes > 0 && i < batch; i += blockDim.x) {
    const T* const row = logits + i * classes;
    std::int32_t best = 0;
    for (std::int64_t c = 1; c < classes; ++c)
      if (Exceeds{}(row[c], row[best])) best = static_cast<std::int32_t>(c);
    const bool right = best == labels[i];
    const bool has_true_label = is_true && is_true[order[state.position->first + i]];
    if (right) atomicAdd(&correct, 1);
    if (has_true_label) atomicAdd(&clean, 1);
    if (has_true_label && right) atomicAdd(&clean_correct, 1);
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  const auto loss = static_cast<double>(*mean_loss);
  counts->loss += loss * static_cast<double>(batch);
  counts->correct += correct;
  counts->seen += batch;
  if (classes > 0 && is_true) {
    counts->clean_correct += clean_correct;
    counts->clean_seen += clean;
    counts->corrupted_correct += correct - clean_correct;
    counts->corrupted_seen += batch - clean;
  }
  losses[*state.step % ring] = loss;
  const std::int64_t step = ++*state.step;
  state.position->first += batch;
  *state.learning_rate = state.learning_rates[step < state.rates ? step : state.rates - 1];
}

}  // namespace

template <class T>
void check_loss(CudaContext& context, const T* mean_loss, std::int32_t* stopped) {
  const ProfileScope scope(context, "check_loss", elementwise_work<T>(1, 0, 1));
  launch(context, "check_loss", {dim3(1), dim3(1)}, check<T>, mean_loss, stopped);
}

template <class T>
void finish_step(CudaContext& context, const StepPointers& state, std::int64_t batch,
                 std::int64_t classes, const T* logits, const std::int32_t* labels,
                 const T* mean_loss, const std::int64_t* order, const std::uint8_t* is_true,
                 StepCounts* counts, double* losses, std::int64_t ring) {
  const ProfileScope scope(context, "finish_step", finish_step_work<T>(batch, classes));
  launch(context, "finish_step", {dim3(1), dim3(threads_per_block)}, finish<T>, state, batch,
         classes, logits, labels, mean_loss, order, is_true, counts, losses, ring);
}

template void check_loss(CudaContext&, const float*, std::int32_t*);
template void check_loss(CudaContext&, const double*, std::int32_t*);
template void finish_step(CudaContext&, const StepPointers&, std::int64_t, std::int64_t,
                          const float*, const std::int32_t*, const float*, const std::int64_t*,
                          const std::uint8_t*, StepCounts*, double*, std::int64_t);
template void finish_step(CudaContext&, const StepPointers&, std::int64_t, std::int64_t,
                          const double*, const std::int32_t*, const double*, const std::int64_t*,
                          const std::uint8_t*, StepCounts*, double*, std::int64_t);

}  // namespace shatter::kernels
