// One training run as a sequence of steps that can be left after any of them and taken up again, to
// the same bits. Knows nothing of files, signals or tables.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <shatter/core/recorded.h>
#include <shatter/core/safetensors.h>
#include <shatter/data/batches.h>
#include <shatter/experiments/train/cell.h>
#include <shatter/experiments/train/record.h>
#include <shatter/experiments/train/step_record.h>
#include <shatter/optim/optimizer.h>

namespace shatter::experiments {

/// A further number of each epoch, computed in inference mode from a function of the run's state.
/// Its name belongs into CellConfig::probes.
struct Probe {
  std::string name;
  std::function<double(const Module&, const data::TrainTest&)> measure;
};

/// What is trained: a model, which of its parameters CellConfig::weight_decay applies to, and data
/// with the corruption already applied.
struct TrainingTask {
  Module model;
  std::vector<NamedTensor> decayed;
  data::TrainTest data;
  std::vector<Probe> probes = {};
  data::Dataset held_out = {};  ///< evaluated with the test set; may be empty
};

/// Asked between batches of an evaluation: true gives it up.
using Cancelled = std::function<bool()>;

/// What CellConfig::precision may be on a device. "fp32" computes in float32 throughout;
/// "fp32-winograd" lets 3x3 convolutions take Winograd's filtering; "tf32" lets a GPU round the
/// operands of products and convolutions to TF32; "bf16" keeps activations and their gradients in
/// bfloat16, parameters, statistics and sums in float32.
std::set<std::string> precisions(Device device);

struct TrainerOptions {
  Device device{};
  bool capture = true;  ///< on a CUDA device, replay recorded steps; the same bits either way
};

class Trainer {
 public:
  /// Draws the model's first values and moves model and data to `device`. Throws (usage) where
  /// config and data disagree.
  Trainer(const CellConfig& config, TrainingTask task, const TrainerOptions& options = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Up to `count` steps on the next minibatches, not beyond the epoch's end; returns their mean
  /// losses. The device is waited for once, at the end. A loss that is not finite is the last one
  /// returned, with the parameters, the optimizer and the position as they were before its step.
  /// Call unless epoch_ended() or finished().
  std::vector<double> advance(std::int64_t count);
  /// One step; returns its loss.
  double step() { return advance(1).front(); }
  /// All batches of the epoch are done: finish_epoch() is due.
  bool epoch_ended() const { return batch_ == config_.steps_per_epoch(); }
  /// Evaluates and begins the next epoch. The test accuracy is there every
  /// CellConfig::evaluate_every epochs and at the last. The full training accuracy is there then
  /// too, if the online accuracy is at least 95 % or the epoch the last (below, the online figure
  /// says enough), and whenever the online figures satisfy the stop rule, which it must confirm.
  /// Empty, with nothing changed, when cancelled.
  std::optional<EpochRecord> finish_epoch(const Cancelled& cancelled = {});
  /// The last epoch is done, or the stop rule fulfilled.
  bool finished() const { return stopped_ || epoch_ >= config_.epochs; }
  /// Of a finished run; empty when cancelled.
  std::optional<RunResult> result(const Cancelled& cancelled = {});
  /// Of a run whose next step has no finite loss.
  RunResult diverged() const;

  /// Weights, buffers ("model.*"), the optimizer's state by its names ("momentum.*"), and in the
  /// metadata the position and the partial sums of the epoch.
  NamedTensors state() const;
  /// Takes up a state; throws (data), changing nothing, if it is not one of this model's.
  void restore(const NamedTensors& state, const std::string& where);

  std::int64_t epoch() const { return epoch_; }  ///< epochs finished
  std::int64_t steps() const { return optimizer_->steps(); }
  std::int64_t images() const;  ///< training images seen
  double learning_rate() const { return optimizer_->learning_rate(); }
  double mean_loss() const;        ///< of the epoch so far
  double online_accuracy() const;  ///< of the epoch so far
  Module& model() { return model_; }
  const data::TrainTest& data() const { return data_; }  ///< corrupted, on the run's device

 private:
  /// Evaluation of a data set, recorded like a training step.
  class Evaluator {
   public:
    Evaluator(Module& model, const data::Dataset& dataset, const data::Pipeline& input,
              const std::string& precision, const TrainerOptions& options);
    /// Empty when cancelled.
    std::optional<Evaluation> operator()(const Cancelled& cancelled);

   private:
    void batch(std::int64_t size);
    Module& model_;
    const data::Dataset& dataset_;
    data::Pipeline input_;
    std::string precision_;
    StepRecord record_;
    Recorded whole_, last_;  ///< batches of the full size and the last one
  };

  void begin_epoch();
  void draw_order(std::int64_t epoch);
  /// Unless it is there already, so that the next epoch need not wait for it.
  void draw_next_order();
  /// Gives the device one step on a batch of this size.
  void give_step(std::int64_t size);

  CellConfig config_;
  Seeds seeds_;
  Module model_;
  data::TrainTest data_;
  data::Dataset held_out_;
  std::vector<Probe> probes_;
  data::Pipeline input_;
  optim::Schedule schedule_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  StepRecord record_;
  Recorded step_, steps_, last_step_;  ///< a full batch, several of them, the epoch's last batch
  Evaluator evaluate_train_, evaluate_test_;
  std::optional<Evaluator> evaluate_held_out_;

  std::vector<std::int64_t> drawn_order_;  ///< of drawn_epoch_
  std::int64_t drawn_epoch_ = -1;
  std::int64_t epoch_ = 0, batch_ = 0;  ///< batch_: batches of epoch_ that are done
  kernels::StepCounts counts_;          ///< of the epoch so far
  std::int64_t fitted_ = 0;             ///< epochs in a row that satisfied the stop rule
  bool stopped_ = false;
  double last_loss_ = 0;
  /// Of training and test set at the end of the latest epoch, until the next step.
  std::optional<std::pair<Evaluation, Evaluation>> latest_;
};

}  // namespace shatter::experiments
