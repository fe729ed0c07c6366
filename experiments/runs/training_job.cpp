// The loop around a Trainer that touches files, the clock and the progress line.
#include <shatter/core/text.h>
#include <shatter/experiments/runs/training_job.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <shatter/core/npy.h>
#include <shatter/experiments/runs/convolution_plans.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

/// A minibatch loss is written every so many steps.
constexpr std::int64_t loss_every = 10;

/// One session of one run.
class Session {
 public:
  Session(const CellConfig& config, TrainingTask task, const JobContext& context)
      : config_(config),
        context_(context),
        settings_(context.settings),
        folder_(context.folder),
        stored_plans_(folder_.plans()),
        plans_(context.device, config.autotune, stored_plans_,
               (folder_.path() / "plans.json").string()),
        trainer_(config, std::move(task), {.device = context.device}) {}

  /// Empty when it was asked to stop; the state is saved then.
  std::optional<Computed> train();

 private:
  void take_up();
  void save_labels();
  /// One step, on a GPU several; false when a loss is not finite.
  bool step();
  bool finish_epoch();
  void save();
  void save_plans();
  bool save_is_due(bool epoch_ended) const;
  double seconds() const { return seconds_before_ + watch_.seconds(); }
  void show() const;
  std::optional<Computed> finish();

  const CellConfig& config_;
  const JobContext& context_;
  const RunSettings& settings_;
  RunFolder& folder_;
  json stored_plans_;
  ConvolutionPlans plans_;
  CellTrainer trainer_;
  Stopwatch watch_;
  double seconds_before_ = 0, saved_at_ = 0;
  bool saved_ = false;  ///< the checkpoint holds this very state
};

void Session::take_up() {
  if (auto saved = folder_.load()) {
    trainer_.restore(saved->state, folder_.checkpoint_path().string());
    seconds_before_ = saved->seconds;
    saved_ = true;
  }
  if (!saved_) save_labels();
  json entry = session_entry(context_);
  entry["first_step"] = trainer_.steps();
  folder_.add_session(entry);
  saved_at_ = watch_.seconds();
  if (settings_.progress) settings_.progress->begin(context_.label, trainer_.images());
}

/// labels.npy, where they are not the data set's own.
void Session::save_labels() {
  const data::Dataset& train = trainer_.data().train;
  if (train.true_labels) save_npy(folder_.path() / "labels.npy", train.labels);
}

std::optional<Computed> Session::train() {
  take_up();
  while (!trainer_.finished()) {
    if (settings_.stop && settings_.stop()) {
      save();
      return std::nullopt;
    }
    if (!trainer_.epoch_ended() && !step()) {
      save_plans();
      return Computed{to_json(trainer_.diverged()), seconds()};
    }
    const bool epoch_ended = trainer_.epoch_ended();
    show();
    if (epoch_ended && !finish_epoch()) continue;  // asked to stop: the loop's head saves
    if (save_is_due(epoch_ended)) save();
  }
  return finish();
}

bool Session::step() {
  // A GPU is waited for now and then only, yet often enough to notice an interrupt at once.
  std::int64_t count = context_.device.is_cuda() ? 64 : 1;
  if (const std::int64_t every = settings_.checkpoint_every.steps; every > 0) {
    count = std::min(count, every - trainer_.steps() % every);
  }
  std::int64_t done = trainer_.steps();
  for (const double loss : trainer_.advance(count)) {
    if (!std::isfinite(loss)) return false;
    saved_ = false;
    if (++done % loss_every == 0) {
      folder_.append_metrics(json{{"step", done}, {"minibatch_loss", loss}}.dump());
    }
  }
  return true;
}

bool Session::finish_epoch() {
  const auto record = trainer_.finish_epoch(settings_.stop);
  if (!record) return false;
  saved_ = false;
  folder_.append_metrics(to_json(*record).dump());
  return true;
}

void Session::save_plans() {
  json plans = plans_.all();
  if (plans == stored_plans_) return;
  folder_.save_plans(plans);
  stored_plans_ = std::move(plans);
}

void Session::save() {
  save_plans();  // first: what the state was computed with must be known with it
  folder_.save(trainer_.state(), seconds());
  saved_at_ = watch_.seconds();
  saved_ = true;
}

bool Session::save_is_due(bool epoch_ended) const {
  const CheckpointInterval& every = settings_.checkpoint_every;
  if (every.steps > 0 && trainer_.steps() % every.steps == 0) return true;
  if (every.epochs > 0 && epoch_ended && trainer_.epoch() % every.epochs == 0) return true;
  return every.seconds > 0 && watch_.seconds() - saved_at_ >= every.seconds;
}

void Session::show() const {
  if (!settings_.progress) return;
  settings_.progress->update(context_.label, {.epoch = trainer_.epoch(),
                                              .epochs = config_.epochs,
                                              .images = trainer_.images(),
                                              .total = config_.epochs * config_.dataset.train_size,
                                              .loss = trainer_.mean_loss(),
                                              .accuracy = trainer_.online_accuracy()});
}

std::optional<Computed> Session::finish() {
  if (!saved_) save();
  const auto result = trainer_.result(settings_.stop);
  if (!result) return std::nullopt;
  save_plans();
  save_model(trainer_.model(), (folder_.path() / "model.safetensors").string());
  return Computed{to_json(*result), seconds()};
}

std::string describe(const Result& result) {
  char line[160];
  if (result.diverged) {
    std::snprintf(line, sizeof line, "diverged at step %lld, learning rate %g, last finite loss %g",
                  static_cast<long long>(result.number("steps")), result.number("learning_rate"),
                  result.number("last_loss"));
    return line;
  }
  const auto epochs = static_cast<long long>(result.number("epochs"));
  std::snprintf(line, sizeof line, "training %.2f %%, test %.2f %%, %lld epochs%s, ",
                result.number("train_percent"), result.number("test_percent"), epochs,
                epochs < result.config.at("epochs").get<long long>() ? " (fitted)" : "");
  return line + duration(result.seconds);
}

}  // namespace

ModelCost model_cost(Module model, std::int64_t crop, std::int64_t channels) {
  const Summary summary = summarize(model, {1, crop, crop, channels});
  return {summary.multiply_adds, summary.parameters};
}

Need estimated_need(const CellConfig& config, const ModelCost& cost, int threads) {
  constexpr double multiply_adds_per_second =
      2.5e10;  // of one CPU thread, as measured for the models
  const double images =
      3.0 * static_cast<double>(config.epochs * config.dataset.train_size) +
      static_cast<double>(config.epochs / config.evaluate_every * config.dataset.test_size);
  // Weights twice, and the optimizer's buffers.
  const int copies = config.optimizer == "sgd" ? 3 : 4;
  const std::int64_t metrics = config.epochs * (300 + 6 * config.steps_per_epoch());
  return {.seconds = images * static_cast<double>(cost.multiply_adds) /
                     (multiply_adds_per_second * threads),
          .stored_bytes = static_cast<double>(copies * 4 * cost.parameters + metrics + 8192)};
}

Job training_job(const CellConfig& config, const std::string& label, MakeTask task, Device device,
                 const std::string& provenance, const Need& need) {
  return {.name = folder_name(config),
          .config = to_json(config),
          .label = label,
          .device = device,
          .provenance = provenance,
          .size = grouped(config.epochs * config.steps_per_epoch()) + " steps of " +
                  config.dataset.name,
          .need = need,
          .compute =
              [config, make = std::move(task)](const JobContext& context) {
                return Session(config, make(config), context).train();
              },
          .describe = describe};
}

}  // namespace shatter::experiments
