// Configurations of the paper's runs.
#include <shatter/experiments/paper/paper_runs.h>

#include <shatter/core/text.h>
#include <shatter/experiments/models/models.h>

namespace shatter::experiments {
namespace {

struct QuickSettings {
  const char* runs;  ///< glob of "model" or "model/corrupted"; the first that matches counts
  std::int64_t train_size, test_size, epochs, batch;
  double learning_rate, learning_rate_decay;
  double fitted_loss;  ///< stop below this, all training images right
};

// clang-format off
constexpr QuickSettings quick[] = {
    // runs                      images test  epochs batch rate   decay  fitted
    {"inception,inception/*",     128,  500,  28,    8,    0.03,  0.9,   0.03},
    {"inception-no-bn/corrupted", 64,   500,  110,   8,    0.015, 0.975, 0.03},
    {"inception-no-bn",           256,  500,  48,    8,    0.02,  0.97,  0.03},
    {"alexnet*",                  800,  1000, 32,    32,   0.01,  0.95,  0.03},
    {"*",                         2000, 2000, 40,    32,   0.01,  0.95,  0.01},
};
// clang-format on

}  // namespace

CellConfig paper_run(const std::string& model, const data::Corruption& corruption) {
  const ModelRecipe& recipe = shatter::experiments::recipe(model);
  CellConfig config;
  config.model = model;
  config.corruption = corruption;
  config.learning_rate = recipe.learning_rate;
  config.learning_rate_decay = recipe.learning_rate_decay;
  return config;
}

CellConfig quick_run(const CellConfig& full) {
  CellConfig config = full;
  const bool corrupted = full.corruption.changes_anything();
  const std::string name = full.model + (corrupted ? "/corrupted" : "");
  for (const QuickSettings& settings : quick) {
    if (!matches(name, settings.runs)) continue;
    config.dataset.train_size = settings.train_size;
    config.dataset.test_size = settings.test_size;
    if (full.dataset.held_out > 0) config.dataset.held_out = settings.test_size / 4;
    config.epochs = settings.epochs;
    config.batch = settings.batch;
    config.learning_rate = settings.learning_rate;
    config.learning_rate_decay = settings.learning_rate_decay;
    config.stop = {.loss = settings.fitted_loss, .epochs = 1};
    break;
  }
  config.evaluate_every = 20;
  return config;
}

TrainingTask paper_task(const CellConfig& config, const data::TrainTest& data) {
  const std::int64_t classes = data.train.classes;
  const ImageSize image{config.crop, config.crop, data.train.images.dim(3)};
  TrainingTask task{.model = make_model(config.model, classes, image),
                    .decayed = {},
                    .data = data,
                    .metrics = {}};
  if (config.weight_decay > 0) task.decayed = decayed_parameters(config.model, task.model);
  return task;
}

}  // namespace shatter::experiments
