// Training of any model on any data set as a sequence of steps that can be left after any of them
// and taken up again, to the same bits. docs/training.md shows it at work.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <shatter/core/captured_work.h>
#include <shatter/core/ops.h>
#include <shatter/core/safetensors.h>
#include <shatter/data/batches.h>
#include <shatter/data/randomize.h>
#include <shatter/experiments/train/precision.h>
#include <shatter/experiments/train/record.h>
#include <shatter/experiments/train/step_state.h>
#include <shatter/optim/optimizer.h>

namespace shatter::experiments {

class Trainer;

/// The mean loss of a batch, a float32 or float64 scalar, from the model's outputs and the batch's
/// labels or targets.
using Loss = std::function<Tensor(const Tensor& outputs, const Tensor& targets)>;

/// A further number of each evaluated epoch. The model is in inference mode.
struct Metric {
  std::string name;
  std::function<double(Trainer&)> measure;
};
/// What `of` says of the outputs and targets of the whole test set.
Metric test_metric(std::string name,
                   std::function<double(const Tensor& outputs, const Tensor& targets)> of);

/// What is trained, and how.
struct Training {
  Module model;
  optim::MakeOptimizer optimizer;  ///< called once the model lies on the device
  Loss loss = [](const Tensor& outputs, const Tensor& y) { return cross_entropy(outputs, y); };
  data::Pipeline input = {};  ///< of training images; evaluations take its deterministic()
  std::int64_t epochs = 1, batch = 128;
  std::uint64_t seed = 1;  ///< of first values, order and crops, by derived seeds
  bool initialize = true;  ///< false: the model keeps the values it has
  Precision precision = Precision::float32;
  /// Whether accuracies are counted where labels are classes: outputs must be [n, classes] then.
  bool accuracy = true;
  double clip_norm = 0;  ///< gradients are scaled down to this 2-norm; 0: never
  StopRule stop = {.epochs = 0};
  std::int64_t evaluate_every = 1;  ///< epochs between evaluations; the last is always evaluated
  std::vector<Metric> metrics = {};
  Device device = {};
  bool capture = true;  ///< on a CUDA device, replay captured steps; the same bits either way
};

/// Asked between batches of an evaluation: true gives it up.
using Cancelled = std::function<bool()>;

class Trainer {
 public:
  /// From this online accuracy on, the training set is evaluated after an evaluated epoch.
  static constexpr double worth_evaluating = 0.8;

  /// Draws the model's first values and moves model and data to the device. `held_out` may be
  /// empty; else it is evaluated with the test set. Throws (usage) for what cannot be trained.
  Trainer(Training training, data::TrainTest data, data::Dataset held_out = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;
  virtual ~Trainer() = default;

  /// Called after each step, with its number (1 is the first) and its loss. On a CUDA device steps
  /// are told of in groups.
  void on_step(std::function<void(Trainer&, std::int64_t step, double loss)> callback);
  /// Called after each epoch.
  void on_epoch(std::function<void(Trainer&, const EpochRecord&)> callback);
  /// run() saves its state to `path` every so many seconds and at its end, and goes on from there
  /// when called again. It throws (data) for the state of another training, by its data, sizes,
  /// seed, pipeline, optimizer, decays and rates, and by its tensors. It cannot see another loss, a
  /// function in the model, or an optimizer's other options.
  void checkpoint(const std::filesystem::path& path, double seconds = 60);
  /// Trains to the end. Leaves before the next step, its state saved, when stop() was called or
  /// `cancelled` says true, which is asked between steps and batches of an evaluation: empty then.
  /// Throws (diverged) when a loss is not finite; the state stays that before its step.
  std::optional<RunResult> run(const Cancelled& cancelled = {});
  /// For callbacks: see run().
  void stop() { stop_asked_ = true; }

  /// The model's outputs for a data set on any device, in inference mode, float32 [n, ...] on the
  /// trainer's device.
  Tensor outputs(const data::Dataset& dataset);

  /// Up to `count` steps on the next minibatches, not beyond the epoch's end; returns their mean
  /// losses. The device is waited for once, at the end. A loss that is not finite is the last one
  /// returned, with the parameters, the optimizer and the position as they were before its step.
  /// Call unless epoch_ended() or finished().
  std::vector<double> advance(std::int64_t count);
  /// One step; returns its loss.
  double step() { return advance(1).front(); }
  /// All batches of the epoch are done: finish_epoch() is due.
  bool epoch_ended() const { return batches_done_ == steps_per_epoch(); }
  /// Evaluates and begins the next epoch. The test set is evaluated every Training::evaluate_every
  /// epochs and at the last; so is the training set, if the online accuracy reaches
  /// worth_evaluating or there is none, or the epoch is the last (below, the online figure says
  /// enough), and whenever the online figures satisfy the stop rule, which it must confirm. Empty,
  /// with nothing changed, when cancelled.
  std::optional<EpochRecord> finish_epoch(const Cancelled& cancelled = {});
  /// The last epoch is done, or the stop rule fulfilled.
  bool finished() const { return stopped_ || epochs_done_ >= training_.epochs; }
  /// Of the model as it is; empty when cancelled.
  std::optional<RunResult> result(const Cancelled& cancelled = {});
  /// Of a run whose next step has no finite loss.
  RunResult diverged() const;

  /// Weights, buffers ("model.*"), the optimizer's state by its names ("momentum.*"), and in the
  /// metadata the position and the partial sums of the epoch.
  NamedTensors state() const;
  /// Takes up a state; throws (data), changing nothing, if it is not one of this model's.
  void restore(const NamedTensors& state, const std::string& where);

  std::int64_t epoch() const { return epochs_done_; }
  std::int64_t steps() const { return optimizer_->steps(); }
  std::int64_t steps_per_epoch() const;
  std::int64_t images() const;  ///< training images seen
  double learning_rate() const { return optimizer_->learning_rate(); }
  double mean_loss() const;        ///< of the epoch so far
  double online_accuracy() const;  ///< of the epoch so far; NaN where there is none
  Module& model() { return training_.model; }
  const data::TrainTest& data() const { return data_; }  ///< on the trainer's device

 private:
  /// Evaluation of a data set, captured like a training step.
  class Evaluator {
   public:
    Evaluator(Trainer& trainer, const data::Dataset& dataset);
    /// Empty when cancelled.
    std::optional<Evaluation> operator()(const Cancelled& cancelled);

   private:
    void batch(std::int64_t size);
    Trainer& trainer_;
    const data::Dataset& dataset_;
    StepState state_;
    CapturedWork full_batch_, last_batch_;
  };

  void begin_epoch();
  void draw_order(std::int64_t epoch);
  /// Unless it is there already, so that the next epoch need not wait for it.
  void draw_next_order();
  /// Gives the device one step on a batch of this size.
  void give_step(std::int64_t size);
  /// In float32, whatever the precision of the model's activations.
  Tensor outputs_of(const Tensor& x);
  Tensor loss_of(const Tensor& outputs, const Tensor& targets) const;
  bool has_accuracy() const { return training_.accuracy && data_.train.has_classes(); }
  void save();
  void load();

  Training training_;
  std::uint64_t shuffle_seed_, augment_seed_;
  data::TrainTest data_;
  data::Dataset held_out_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  StepState state_;
  CapturedWork one_batch_, sixteen_batches_, last_batch_;
  Evaluator evaluate_train_, evaluate_test_;
  std::optional<Evaluator> evaluate_held_out_;
  std::function<void(Trainer&, std::int64_t, double)> on_step_;
  std::function<void(Trainer&, const EpochRecord&)> on_epoch_;
  std::filesystem::path checkpoint_;
  std::string identity_;  ///< what a checkpoint must have been made with
  double checkpoint_seconds_ = 60;
  bool stop_asked_ = false;

  std::vector<std::int64_t> drawn_order_;  ///< of drawn_epoch_
  std::int64_t drawn_epoch_ = -1;
  std::int64_t epochs_done_ = 0, batches_done_ = 0;  ///< batches of the next epoch
  kernels::StepCounts counts_;                       ///< of the epoch so far
  std::int64_t fitted_epochs_ = 0;                   ///< in a row that satisfied the stop rule
  bool stopped_ = false;
  double last_loss_ = 0;
  /// Of training and test set at the end of the latest epoch, until the next step.
  std::optional<std::pair<Evaluation, Evaluation>> latest_;
};

}  // namespace shatter::experiments
