// Training that a measurement can leave and go on with.
#include <shatter/core/text.h>
#include <shatter/experiments/paper/train_to_end.h>

#include <cmath>

#include <shatter/core/safetensors.h>
#include <shatter/experiments/runs/job.h>

namespace shatter::experiments {
namespace {

constexpr double save_every = 60;  // seconds

}  // namespace

nlohmann::json training_parameters(const CellConfig& config) {
  return {{"train_size", config.dataset.train_size},
          {"test_size", config.dataset.test_size},
          {"epochs", config.epochs},
          {"batch", config.batch},
          {"learning_rate", config.learning_rate},
          {"learning_rate_decay", config.learning_rate_decay},
          {"stop_loss", config.stop.loss},
          {"stop_epochs", config.stop.epochs}};
}

CellConfig training_cell(const std::string& model, const MeasurementContext& context) {
  const nlohmann::json& p = context.parameters;
  CellConfig config;
  config.model = model;
  config.dataset = {.name = context.data.train.name,
                    .checksums = {},
                    .train_size = context.data.train.size(),
                    .test_size = context.data.test.size()};
  config.learning_rate = p["learning_rate"];
  config.learning_rate_decay = p["learning_rate_decay"];
  config.epochs = p["epochs"];
  config.batch = p["batch"];
  config.stop = {.loss = p["stop_loss"], .epochs = p["stop_epochs"]};
  config.evaluate_every = config.epochs;
  config.seed = context.seed;
  config.device = context.device.is_cpu() ? "cpu" : "cuda";
  return config;
}

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
