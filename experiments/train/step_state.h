// What training steps count, and where they stand: in the training device's memory, so that a step
// can be captured once and replayed.
#pragma once

#include <vector>

#include <shatter/core/device_value.h>
#include <shatter/kernels/step.h>

namespace shatter::experiments {

class StepState {
 public:
  /// The losses of the last so many steps can be read.
  static constexpr std::int64_t ring = 512;
  struct Values {
    kernels::BatchPosition position;
    std::int64_t step = 0;  ///< steps done
    std::int32_t stopped = 0, unused = 0;
    kernels::StepCounts counts;
    double losses[ring] = {};  ///< of step i at i % ring

    /// Of steps first .. step - 1, at most `ring`.
    std::vector<double> losses_from(std::int64_t first) const;
  };

  /// For epochs over `images` images. learning_rates: of every step of the run. is_true: of each
  /// image whether it has its true label; empty where no label was changed.
  StepState(Device device, std::int64_t images, const std::vector<double>& learning_rates,
            const std::vector<std::uint8_t>& is_true);

  /// Where training stands; the next batch begins at place `first` of the epoch's order.
  void set(std::int64_t epoch, std::int64_t first, std::int64_t step,
           const kernels::StepCounts& counts);
  void set_order(const std::vector<std::int64_t>& order);
  /// Waits for the device, once.
  Values read() const { return values_.get(); }

  const Tensor& order() const { return order_; }        ///< int64 [images]
  const Tensor& position() const { return position_; }  ///< int64 [2]: first, epoch
  const Tensor& step() const { return step_; }          ///< int64 [1]
  const Tensor& stopped() const { return stopped_; }    ///< int32 [1]

  /// Call between the loss and the update. Once a loss is not finite, this state is frozen; pass
  /// stopped() to the update and the weights are frozen too.
  void check_loss(const Tensor& loss) const;
  /// Call after the update: counts the batch, moves on, and sets `rate` (float64 [1]) to the next
  /// step's. Without `classes` the images are counted, but none as correct.
  void finish_step(const Tensor& outputs, const Tensor& labels, const Tensor& loss,
                   const Tensor& rate, bool classes) const;

 private:
  DeviceValue<Values> values_;
  Tensor position_, step_, stopped_;  ///< members of values_
  Tensor order_, rates_, is_true_;
};

}  // namespace shatter::experiments
