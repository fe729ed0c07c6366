// The bookkeeping of training steps, in the context's memory: what a captured step counts, and what
// it moves on for the next one.
#pragma once

#include <shatter/kernels/augment.h>
#include <shatter/kernels/context.h>

namespace shatter::kernels {

/// Running sums over the images of an epoch.
struct StepCounts {
  double loss = 0;                                         ///< sum over images
  std::int64_t correct = 0, seen = 0;                      ///< of all images
  std::int64_t clean_correct = 0, clean_seen = 0;          ///< of those with their true label
  std::int64_t corrupted_correct = 0, corrupted_seen = 0;  ///< of the others
};

/// Where what moves on after a step lies.
struct StepPointers {
  BatchPosition* position = nullptr;
  std::int64_t* step = nullptr;            ///< optimizer steps done
  double* learning_rate = nullptr;         ///< of the next step
  const double* learning_rates = nullptr;  ///< of steps 0, 1, ..., rates - 1
  std::int64_t rates = 0;                  ///< beyond the last one the rate stays
  std::int32_t* stopped = nullptr;         ///< 1 once a loss was not finite
};

/// stopped = 1 if mean_loss[0] is not finite. Call before the update, which must not happen then.
/// T: float, double.
template <class T>
void check_loss(CpuContext& context, const T* mean_loss, std::int32_t* stopped);
template <class T>
void check_loss(CudaContext& context, const T* mean_loss, std::int32_t* stopped);

/// Unless *state.stopped: adds batch images to the counts (loss: batch * mean_loss[0]; an image is
/// correct when its first largest logit is its label; is_true [*] says by place in the data set,
/// order[position->first + i], whether the label is the true one, null: nothing is counted there;
/// without classes, logits and labels may be null, and images are counted as seen alone), writes
/// losses[step % ring] = mean_loss[0], then step += 1, position->first += batch, and the learning
/// rate becomes the next step's. T: float, double.
template <class T>
void finish_step(CpuContext& context, const StepPointers& state, std::int64_t batch,
                 std::int64_t classes, const T* logits, const std::int32_t* labels,
                 const T* mean_loss, const std::int64_t* order, const std::uint8_t* is_true,
                 StepCounts* counts, double* losses, std::int64_t ring);
template <class T>
void finish_step(CudaContext& context, const StepPointers& state, std::int64_t batch,
                 std::int64_t classes, const T* logits, const std::int32_t* labels,
                 const T* mean_loss, const std::int64_t* order, const std::uint8_t* is_true,
                 StepCounts* counts, double* losses, std::int64_t ring);

}  // namespace shatter::kernels
