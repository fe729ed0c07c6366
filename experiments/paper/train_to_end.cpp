// Training that a measurement can leave and go on with.
#include <shatter/core/safetensors.h>
#include <shatter/core/text.h>
#include <shatter/experiments/paper/train_to_end.h>

namespace shatter::experiments {

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
  CellTrainer trainer(config, task, {.device = context.device});
  const std::filesystem::path path = context.folder / "training.safetensors";
  // Earlier versions kept the state alone, under this name.
  const std::filesystem::path earlier = context.folder / "state.safetensors";
  if (!std::filesystem::exists(path) && std::filesystem::exists(earlier))
    trainer.restore(load_safetensors(earlier.string()), earlier.string());
  trainer.checkpoint(path);
  trainer.on_step([&](Trainer& now, std::int64_t, double) {
    context.show(double(now.epoch()) / double(config.epochs),
                 "training " + fixed(100 * now.online_accuracy(), 1) + " %");
  });
  return trainer.run(context.stop);
}

}  // namespace shatter::experiments
