// What training steps count, and where they stand: tensors on the training device, so that a step
// can be recorded once and replayed.
#pragma once

#include <vector>

#include <shatter/core/tensor.h>
#include <shatter/kernels/step.h>

namespace shatter::experiments {

class StepRecord {
 public:
  /// For epochs over `images` images. learning_rates: of every step of the run. is_true: of each
  /// image whether it has its true label; empty where no label was changed. The losses of the last
  /// `ring` steps can be read.
  StepRecord(Device device, std::int64_t images, const std::vector<double>& learning_rates,
             const std::vector<std::uint8_t>& is_true, std::int64_t ring);

  /// Where training stands; the next batch begins at place `first` of the epoch's order.
  void set(std::int64_t epoch, std::int64_t first, std::int64_t step,
           const kernels::StepCounts& counts);
  void set_order(const std::vector<std::int64_t>& order);

  const Tensor& order() const { return order_; }        ///< int64 [images]
  const Tensor& position() const { return position_; }  ///< int64 [2]: first, epoch
  const Tensor& step() const { return step_; }          ///< int64 [1]
  const Tensor& stopped() const { return stopped_; }    ///< int32 [1]

  /// To be given between the loss and the update: from a loss that is not finite on, nothing of
  /// this record changes, and an update that is given stopped() changes nothing.
  void check_loss(const Tensor& loss) const;
  /// To be given after the update: counts the batch, moves on, and sets `rate` (float64 [1]) to the
  /// next step's.
  void finish_step(const Tensor& logits, const Tensor& labels, const Tensor& loss,
                   const Tensor& rate) const;

  struct Reading {
    kernels::StepCounts counts;
    std::int64_t step = 0;
    bool stopped = false;
    std::vector<double> ring;
    /// Of steps first .. step - 1, at most the ring's size.
    std::vector<double> losses_from(std::int64_t first) const;
  };
  /// Waits for the device, once.
  Reading read() const;

 private:
  Tensor all_;  ///< what set() writes and read() reads, in one piece; the next five are parts of it
  Tensor position_, step_, stopped_, counts_, losses_;
  Tensor order_, rates_, is_true_;
};

}  // namespace shatter::experiments
