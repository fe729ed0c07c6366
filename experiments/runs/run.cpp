// The loop around a Trainer that touches files, the clock and the progress line.
#include <shatter/core/text.h>
#include <shatter/experiments/runs/run.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include <shatter/core/npy.h>
#include <shatter/experiments/runs/convolution_plans.h>
#include <shatter/experiments/runs/version.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

/// A minibatch loss is written every so many steps.
constexpr std::int64_t loss_every = 10;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return stamp;
}

/// One session of one run.
class Session {
 public:
  Session(const Cell& cell, const RunSettings& settings, RunFolder& folder)
      : cell_(cell),
        settings_(settings),
        folder_(folder),
        stored_plans_(folder.plans()),
        plans_(settings.device, cell.config.autotune, stored_plans_,
               (folder.path() / "plans.json").string()),
        trainer_(cell.config, cell.task(cell.config), {.device = settings.device}) {}

  /// Empty when it was asked to stop; the state is saved then.
  std::optional<RunResult> train();

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
  std::optional<RunResult> finish();

  const Cell& cell_;
  const RunSettings& settings_;
  RunFolder& folder_;
  json stored_plans_;
  ConvolutionPlans plans_;
  Trainer trainer_;
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
  json entry = session_entry(settings_.device, settings_.threads, cell_.provenance);
  entry["first_step"] = trainer_.steps();
  folder_.add_session(entry);
  saved_at_ = watch_.seconds();
  if (settings_.progress) settings_.progress->begin(cell_.label, trainer_.images());
}

/// labels.npy, where they are not the data set's own.
void Session::save_labels() {
  const data::Dataset& train = trainer_.data().train;
  if (train.true_labels) save_npy(folder_.path() / "labels.npy", train.labels);
}

std::optional<RunResult> Session::train() {
  take_up();
  while (!trainer_.finished()) {
    if (settings_.stop && settings_.stop()) {
      save();
      return std::nullopt;
    }
    if (!trainer_.epoch_ended() && !step()) {
      const RunResult result = trainer_.diverged();
      save_plans();
      folder_.finish(to_json(result), seconds());
      return result;
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
  std::int64_t count = settings_.device.is_cuda() ? 64 : 1;
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
  const CellConfig& config = cell_.config;
  settings_.progress->update(cell_.label, {.epoch = trainer_.epoch(),
                                           .epochs = config.epochs,
                                           .images = trainer_.images(),
                                           .total = config.epochs * config.dataset.train_size,
                                           .loss = trainer_.mean_loss(),
                                           .accuracy = trainer_.online_accuracy()});
}

std::optional<RunResult> Session::finish() {
  if (!saved_) save();
  const auto result = trainer_.result(settings_.stop);
  if (!result) return std::nullopt;
  save_plans();
  save_model(trainer_.model(), (folder_.path() / "model.safetensors").string());
  folder_.finish(to_json(*result), seconds());
  return result;
}

Outcome finished(const std::filesystem::path& folder, bool stored) {
  Outcome outcome;
  outcome.stored = stored;
  outcome.finished = finished_cell(compact_result(folder), folder.string());
  outcome.status =
      outcome.finished.result.diverged ? Outcome::Status::diverged : Outcome::Status::done;
  outcome.kind = ErrorKind::diverged;
  return outcome;
}

Outcome run(const Cell& cell, const RunSettings& settings) {
  if (!settings.keep.empty() && settings.resume) {
    if (auto kept = find_kept(settings.keep, cell.config)) {
      return {.status = kept->result.diverged ? Outcome::Status::diverged : Outcome::Status::done,
              .finished = *kept,
              .stored = true,
              .kind = ErrorKind::diverged,
              .message = {}};
    }
  }
  auto folder = RunFolder::open(settings.runs, cell.config);
  if (!folder) return {.status = Outcome::Status::busy, .finished = {}, .message = {}};
  if (!settings.resume) folder->start_over();
  const bool stored = folder->has_result();
  if (!stored) {
    // Of the run's own, so that runs at once share no stream, and none the plans of another.
    const OwnContext context(settings.device);
    Session session(cell, settings, *folder);
    if (!session.train())
      return {.status = Outcome::Status::interrupted, .finished = {}, .message = {}};
  }
  if (!settings.keep.empty()) keep_result(settings.keep, cell.config, folder->path());
  return finished(folder->path(), stored);
}

}  // namespace

json session_entry(Device device, int threads, const std::string& provenance) {
  const BuildInfo build = build_info();
  json entry = {{"started", utc_now()},
                {"version", build.version},
                {"commit", build.commit},
                {"compiler", build.compiler},
                {"executable", executable_id()},
                {"device", hardware_name(device)},
                {"threads", threads}};
  if (!provenance.empty()) entry["provenance"] = provenance;
  return entry;
}

std::string stored_text(const std::string& executable) {
  return executable == executable_id() ? "stored: " : "stored by another build of this program: ";
}

std::string describe(const FinishedCell& cell) {
  char line[160];
  const RunResult& result = cell.result;
  if (result.diverged) {
    std::snprintf(line, sizeof line, "diverged at step %lld, learning rate %g, last finite loss %g",
                  static_cast<long long>(result.steps), result.learning_rate, result.last_loss);
    return line;
  }
  std::snprintf(line, sizeof line, "training %.2f %%, test %.2f %%, %lld epochs%s, ",
                100 * result.train.accuracy(), 100 * result.test.accuracy(),
                static_cast<long long>(result.epochs), result.stopped_early ? " (fitted)" : "");
  return line + duration(cell.seconds);
}

Outcome run_cell(const Cell& cell, const RunSettings& settings) {
  try {
    return run(cell, settings);
  } catch (const Error& error) {
    return {.finished = {}, .kind = error.kind(), .message = error.what()};
  } catch (const std::exception& error) {
    return {.finished = {}, .kind = ErrorKind::unexpected, .message = error.what()};
  }
}

}  // namespace shatter::experiments
