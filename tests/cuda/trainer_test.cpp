// Training on the CUDA backend: recorded and eager steps, interruptions and repetitions give the
// same bits, and the CPU's numbers within rounding.
#include <shatter/core/ops.h>
#include <shatter/core/random.h>
#include <shatter/experiments/train/cell_trainer.h>
#include <shatter/kernels/cuda/context.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/cuda/gpu.h"
#include "tests/cuda/tiny_net.h"
#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::experiments;
using namespace shatter::test;

namespace {

struct Trace {
  std::vector<double> losses;
  std::vector<std::string> records;
  std::vector<double> weights;
  friend bool operator==(const Trace&, const Trace&) = default;
};

void train(Trainer& trainer, std::int64_t group, Trace& trace) {
  while (!trainer.finished()) {
    if (!trainer.epoch_ended()) {
      for (const double loss : trainer.advance(group)) trace.losses.push_back(loss);
    }
    if (trainer.epoch_ended()) trace.records.push_back(to_json(*trainer.finish_epoch()).dump());
  }
  trace.records.push_back(to_json(*trainer.result()).dump());
  for (const auto& [name, tensor] : trainer.state().tensors) {
    for (const double value : tensor.to(DType::float64).values<double>())
      trace.weights.push_back(value);
  }
}

Trace trained(const std::string& precision, bool capture, std::int64_t group) {
  const CellConfig config = config_of(precision);
  CellTrainer trainer(config, task_of(config), {.device = Device::cuda(), .capture = capture});
  Trace trace;
  train(trainer, group, trace);
  return trace;
}

}  // namespace

TEST_CASE("metrics on CUDA see the model as it is evaluated") {
  if (!has_gpu()) return;
  struct Modes final : Visitor {
    void mode(Mode& mode) override { training = training || mode.training; }
    bool training = false;
  };
  const CellConfig config = config_of("fp32");
  TrainingTask task = task_of(config);
  int probed = 0;
  task.metrics = {{.name = "training", .measure = [&](Trainer& trainer) {
                     ++probed;
                     Modes modes;
                     trainer.model().visit(modes);
                     return double(modes.training);
                   }}};
  CellTrainer trainer(config, task, {.device = Device::cuda()});
  Trace trace;
  train(trainer, 3, trace);
  CHECK(probed == config.epochs);
  for (int epoch = 0; epoch < config.epochs; ++epoch) {
    CHECK(nlohmann::json::parse(trace.records[std::size_t(epoch)])["probes"]["training"] == 0.0);
  }
}

TEST_CASE("recorded steps, eager steps and steps in groups train to the same bits") {
  if (!has_gpu()) return;
  for (const char* const precision : {"fp32", "tf32", "bf16"}) {
    INFO(precision);
    const Trace eager = trained(precision, false, 1);
    CHECK(eager.losses.size() == 9);
    CHECK(eager.records.size() == 4);
    CHECK(trained(precision, true, 1) == eager);
    CHECK(trained(precision, true, 3) == eager);
  }
}

TEST_CASE("on CUDA a run taken up after any step ends in the same bits") {
  if (!has_gpu()) return;
  const std::string optimizer = GENERATE("sgd", "adamw");
  INFO(optimizer);
  CellConfig config = config_of("fp32");
  config.optimizer = optimizer;
  if (!has_momentum(optimizer)) config.momentum = 0;
  const auto trained_by = [&](bool capture) {
    CellTrainer trainer(config, task_of(config), {.device = Device::cuda(), .capture = capture});
    Trace trace;
    train(trainer, 1, trace);
    return trace;
  };
  const Trace whole = trained_by(true);
  CHECK(trained_by(false) == whole);
  for (std::int64_t stop = 1; stop < 9; stop += 2) {
    CellTrainer first(config, task_of(config), {.device = Device::cuda()});
    Trace trace;
    while (first.steps() < stop) {
      trace.losses.push_back(first.step());
      if (first.epoch_ended()) trace.records.push_back(to_json(*first.finish_epoch()).dump());
    }
    const NamedTensors state = first.state();
    CellTrainer second(config, task_of(config), {.device = Device::cuda()});
    second.restore(state, "state");
    train(second, 2, trace);
    INFO("left after step " << stop);
    CHECK(trace == whole);
  }
}

TEST_CASE("training on CUDA follows the CPU") {
  if (!has_gpu()) return;
  const auto compare = [&](const char* precision, double tolerance) {
    const CellConfig config = config_of(precision), full = config_of("fp32");
    CellTrainer gpu(config, task_of(config), {.device = Device::cuda()});
    CellTrainer reference(full, task_of(full));
    for (int i = 0; i < 3; ++i) {
      INFO(precision << ", step " << i);
      CHECK(gpu.step() == Approx(reference.step()).epsilon(tolerance));
    }
    const auto a = gpu.finish_epoch(), b = reference.finish_epoch();
    REQUIRE(a->test);
    CHECK(a->test->loss == Approx(b->test->loss).epsilon(4 * tolerance));
  };
  // Relative errors of a loss after a handful of steps: float, 10 and 7 bits of fraction.
  compare("fp32", 2e-5);
  compare("tf32", 2e-3);
  compare("bf16", 2e-2);
}

TEST_CASE("on CUDA a loss that is not finite leaves the parameters as they were") {
  if (!has_gpu()) return;
  CellConfig config = config_of("fp32");
  config.learning_rate = 1e30;
  TrainingTask task = tiny_task(config);
  task.model = experiments::mlp(1, 16, 10, {.h = 8, .w = 8, .c = 3});
  task.decayed = {};
  CellTrainer trainer(config, std::move(task), {.device = Device::cuda()});
  std::vector<double> losses;
  while (!trainer.finished()) {
    losses = trainer.advance(3);
    if (!std::isfinite(losses.back())) break;
    if (trainer.epoch_ended()) trainer.finish_epoch();
  }
  REQUIRE_FALSE(std::isfinite(losses.back()));
  for (const auto& [name, tensor] : trainer.state().tensors) {
    for (const double value : tensor.values<double>()) REQUIRE(std::isfinite(value));
  }
  const RunResult result = trainer.diverged();
  CHECK(result.steps == trainer.steps());
  CHECK(std::isfinite(result.last_loss));
}

TEST_CASE("a recorded step allocates nothing, and its launches are those of the eager step") {
  if (!has_gpu()) return;
  CellConfig config = config_of("fp32");
  config.epochs = 100;
  config.evaluate_every = 100;
  const auto per_step = [&](bool capture) {
    CellTrainer trainer(config, task_of(config), {.device = Device::cuda(), .capture = capture});
    CudaContext& context = cuda_context(0);
    for (int epoch = 0; epoch < 3; ++epoch) {
      while (!trainer.epoch_ended()) trainer.step();
      trainer.finish_epoch();
    }
    const std::int64_t allocations = context.allocator_statistics().system_allocations;
    const std::int64_t launches = context.launches();
    trainer.step();
    trainer.step();
    CHECK(context.allocator_statistics().system_allocations == allocations);
    return (context.launches() - launches) / 2;
  };
  const std::int64_t eager = per_step(false);
  CHECK(per_step(true) == eager);
  INFO(eager << " launches per step");
  CHECK(eager > 20);
}

TEST_CASE("on CUDA a group of steps waits for the device once") {
  if (!has_gpu()) return;
  CellConfig config = config_of("fp32");
  config.epochs = 4;
  CellTrainer trainer(config, task_of(config), {.device = Device::cuda()});
  CudaContext& context = cuda_context(0);
  while (trainer.epoch() < 2) {
    const std::int64_t before = context.waits();
    const std::size_t steps = trainer.advance(2).size();
    CHECK(steps == (trainer.epoch_ended() ? 1 : 2));
    CHECK(context.waits() == before + 1);
    if (trainer.epoch_ended()) trainer.finish_epoch();
  }
}

TEST_CASE("on CUDA a training on targets has the same bits captured and not, and follows the CPU") {
  if (!has_gpu()) return;
  const Tensor x = random_uniform({.seed = 3}, {70, 2}, -1, 1);
  const auto set = data::Dataset::from(x, sum(x, 1, true));
  const auto losses = [&](Device device, bool capture) {
    Trainer trainer(
        {.model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1)),
         .optimizer = optim::make<optim::Adam>({.schedule = optim::constant(0.01)}),
         .loss = [](const Tensor& y, const Tensor& t) { return mean_squared_error(y, t); },
         .epochs = 3,
         .batch = 4,
         .clip_norm = 1,
         .device = device,
         .capture = capture},
        {set, data::first(set, 20)});
    std::vector<double> all;
    trainer.on_step([&](Trainer&, std::int64_t, double loss) { all.push_back(loss); });
    all.push_back(trainer.run().value().test.loss);
    return all;
  };
  const auto captured = losses(Device::cuda(), true);
  CHECK(captured.size() == 3 * 18 + 1);
  CHECK(captured == losses(Device::cuda(), false));
  const auto reference = losses(Device::cpu(), false);
  for (std::size_t i = 0; i < captured.size(); ++i)
    CHECK(captured[i] == Approx(reference[i]).epsilon(1e-3));
}
