// From a cell's configuration to what the trainer is given.
#include <shatter/experiments/train/cell_trainer.h>

#include <algorithm>
#include <cmath>

#include <shatter/core/text.h>

namespace shatter::experiments {
namespace {

std::vector<optim::ParameterGroup> groups(ModelRef model, std::vector<NamedTensor> decayed,
                                          double weight_decay) {
  std::vector<NamedTensor> rest;
  for (NamedTensor& parameter : named_parameters(model)) {
    const bool listed = std::any_of(decayed.begin(), decayed.end(),
                                    [&](const NamedTensor& d) { return d.name == parameter.name; });
    if (!listed) rest.push_back(std::move(parameter));
  }
  return {{std::move(decayed), weight_decay}, {std::move(rest), 0}};
}

optim::Schedule schedule_of(const CellConfig& config) {
  const std::int64_t epoch = config.steps_per_epoch(), rising = config.warm_up * epoch;
  const std::int64_t steps = config.epochs * epoch - rising;
  const auto after = [&] {
    const double rate = config.learning_rate;
    if (config.schedule == "step") return optim::step(rate, 0.1, {steps / 2, steps * 3 / 4});
    if (config.schedule == "cosine") return optim::cosine(rate, steps);
    return optim::exponential(rate, config.learning_rate_decay, epoch);
  };
  return rising > 0 ? optim::warm_up(rising, after()) : after();
}

void check_named(const char* what, const std::string& name, const std::vector<std::string>& known) {
  check(std::find(known.begin(), known.end(), name) != known.end(), "Trainer: ", what, " ", name,
        "; it knows ", joined({known.begin(), known.end()}));
}

void check_cell(const CellConfig& config, const TrainingTask& task) {
  check(task.data.train.size() == config.dataset.train_size &&
            task.data.test.size() == config.dataset.test_size &&
            task.held_out.size() == config.dataset.held_out,
        "Trainer: ", task.data.train.size(), " training, ", task.data.test.size(), " test and ",
        task.held_out.size(), " held-out images, the configuration says ",
        config.dataset.train_size, ", ", config.dataset.test_size, " and ",
        config.dataset.held_out);
  check(std::isfinite(config.learning_rate) && config.learning_rate > 0 &&
            std::isfinite(config.learning_rate_decay) && config.learning_rate_decay > 0 &&
            config.momentum >= 0 && config.momentum < 1 && config.weight_decay >= 0,
        "Trainer: learning rate ", config.learning_rate, ", its decay ", config.learning_rate_decay,
        ", momentum ", config.momentum, ", weight decay ", config.weight_decay,
        "; expected positive rates, momentum in [0, 1), a weight decay of at least 0");
  check_named("optimizer", config.optimizer, optimizers());
  check_named("schedule", config.schedule, schedules());
  check(config.momentum == 0 || has_momentum(config.optimizer), "Trainer: ", config.optimizer,
        " has no momentum, here ", config.momentum, "; set it to 0");
  check(config.learning_rate_decay == 1 || config.schedule == "exponential", "Trainer: a ",
        config.schedule, " schedule has no learning-rate decay, here ", config.learning_rate_decay,
        "; set it to 1");
  check(config.warm_up >= 0 && config.warm_up < config.epochs, "Trainer: ", config.warm_up,
        " epochs of warm-up in ", config.epochs);
}

Training training_of(const CellConfig& config, const TrainingTask& task,
                     const TrainerOptions& options) {
  check_cell(config, task);
  return {.model = task.model,
          .optimizer =
              [config, decayed = task.decayed](ModelRef model) {
                return optim::known_optimizer(config.optimizer)
                    .make(groups(model, decayed, config.weight_decay), schedule_of(config),
                          config.momentum);
              },
          .input = {.crop = config.crop,
                    .random_crop = config.random_crop,
                    .flip = config.flip,
                    .rotation = config.rotation,
                    .whiten = config.whiten},
          .epochs = config.epochs,
          .batch = config.batch,
          .seed = config.seed,
          .precision = precision_named(config.precision),
          .stop = config.stop,
          .evaluate_every = config.evaluate_every,
          .metrics = task.metrics,
          .device = options.device,
          .capture = options.capture};
}

}  // namespace

CellTrainer::CellTrainer(const CellConfig& config, TrainingTask task, const TrainerOptions& options)
    : Trainer(training_of(config, task, options), task.data, task.held_out) {}

}  // namespace shatter::experiments
