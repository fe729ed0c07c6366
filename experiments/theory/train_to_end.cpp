// Training that a measurement can leave and go on with.
#include <shatter/experiments/theory/train_to_end.h>

#include <cmath>

#include <shatter/core/safetensors.h>
#include <shatter/experiments/harness/run.h>
#include <shatter/experiments/harness/text_table.h>

namespace shatter::experiments {
namespace {

constexpr double save_every = 60;  // seconds

}  // namespace

std::optional<RunResult> train_to_end(const CellConfig& config, const TrainingTask& task,
                                      const MeasurementContext& context) {
  Trainer trainer(config, task, {.device = context.device});
  const std::string path = (context.folder / "state.safetensors").string();
  if (std::filesystem::exists(path)) trainer.restore(load_safetensors(path), path);
  Stopwatch since_saved;
  const auto save = [&] {
    save_safetensors(path, trainer.state());
    since_saved = {};
  };
  while (!trainer.finished()) {
    if (context.stopped()) {
      save();
      return std::nullopt;
    }
    if (trainer.epoch_ended()) {
      if (!trainer.finish_epoch(context.stop)) continue;
    } else {
      for (const double loss : trainer.advance(16)) {
        if (std::isfinite(loss)) continue;
        fail(ErrorKind::diverged, "the loss at step ", trainer.diverged().steps, " is not finite");
      }
    }
    context.show(double(trainer.epoch()) / double(config.epochs),
                 "training " + fixed(100 * trainer.online_accuracy(), 1) + " %");
    if (since_saved.seconds() >= save_every) save();
  }
  auto result = trainer.result(context.stop);
  if (!result) save();
  return result;
}

}  // namespace shatter::experiments
