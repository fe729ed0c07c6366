// One training run as a sequence of steps that can be left after any of them and taken up again, to
// the same bits. Knows nothing of files, signals or tables.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <shatter/core/safetensors.h>
#include <shatter/data/batches.h>
#include <shatter/experiments/harness/cell.h>
#include <shatter/experiments/harness/record.h>
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
  std::vector<Probe> probes;
};

/// Asked between batches of an evaluation: true gives it up.
using Cancelled = std::function<bool()>;

class Trainer {
 public:
  /// Draws the model's first values and moves model and data to `device`. Throws (usage) where
  /// config and data disagree.
  Trainer(const CellConfig& config, TrainingTask task, Device device = {});

  /// One step on the next minibatch; returns its mean loss. A loss that is not finite is returned
  /// with the model, the optimizer and the position left as they were. Call unless epoch_ended() or
  /// finished().
  double step();
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

  /// Weights, buffers ("model.*"), momentum ("momentum.*"), and in the metadata the position and
  /// the partial sums of the epoch.
  NamedTensors state() const;
  /// Takes up a state; throws (data), changing nothing, if it is not one of this model's.
  void restore(const NamedTensors& state, const std::string& where);

  std::int64_t epoch() const { return epoch_; }  ///< epochs finished
  std::int64_t steps() const { return sgd_.steps(); }
  std::int64_t images() const;  ///< training images seen
  double learning_rate() const { return sgd_.learning_rate(); }
  double mean_loss() const;        ///< of the epoch so far
  double online_accuracy() const;  ///< of the epoch so far
  Module& model() { return model_; }

 private:
  struct Count {
    std::int64_t correct = 0, seen = 0;
    std::optional<double> accuracy() const;
  };
  void begin_epoch();
  void count(const Tensor& logits, const data::Batch& batch);
  std::optional<Evaluation> evaluate(const data::Dataset& dataset, const Cancelled& cancelled);

  CellConfig config_;
  Seeds seeds_;
  Module model_;
  data::TrainTest data_;
  std::vector<Probe> probes_;
  data::Pipeline input_;
  optim::Schedule schedule_;
  optim::Sgd sgd_;
  std::vector<bool> label_is_true_;  ///< of each training image; empty if no label was changed

  std::int64_t epoch_ = 0, batch_ = 0;  ///< batch_: batches of epoch_ that are done
  std::vector<std::int64_t> order_;     ///< the epoch's, a function of (shuffle seed, epoch)
  double loss_sum_ = 0;                 ///< over the images of the epoch so far
  Count all_, clean_, corrupted_;       ///< of the epoch so far
  std::int64_t fitted_ = 0;             ///< epochs in a row that satisfied the stop rule
  bool stopped_ = false;
  double last_loss_ = 0;
  /// Of training and test set at the end of the latest epoch, until the next step.
  std::optional<std::pair<Evaluation, Evaluation>> latest_;
};

}  // namespace shatter::experiments
