// The trainer: the same bits for any number of threads and after any interruption.
#include <shatter/experiments/train/cell_trainer.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include <shatter/core/autograd.h>
#include <shatter/core/indexing.h>
#include <shatter/core/random.h>
#include <shatter/layers/layers.h>

#include "tests/experiments/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

/// Everything a run says and ends with, as text.
struct Trace {
  std::vector<std::string> lines;
  std::vector<float> weights;
  friend bool operator==(const Trace&, const Trace&) = default;
};

void add_weights(Trainer& trainer, Trace& trace) {
  for (const auto& [name, tensor] : trainer.state().tensors) {
    for (const float value : tensor.to(DType::float32).values<float>())
      trace.weights.push_back(value);
  }
}

/// Trains to the end from where the trainer stands.
Trace train(Trainer& trainer, Trace trace = {}) {
  while (!trainer.finished()) {
    if (!trainer.epoch_ended()) trace.lines.push_back(std::to_string(trainer.step()));
    if (trainer.epoch_ended()) trace.lines.push_back(to_json(*trainer.finish_epoch()).dump());
  }
  trace.lines.push_back(to_json(*trainer.result()).dump());
  add_weights(trainer, trace);
  return trace;
}

CellTrainer make(const CellConfig& config) {
  return CellTrainer(config, tiny_task(config));
}

Trace trained_on(int threads) {
  CpuContext context(threads);
  const CpuContextGuard guard(context);
  CellTrainer trainer = make(tiny_config());
  return train(trainer);
}

}  // namespace

TEST_CASE("One and two threads train to the same bits") {
  const Trace one = trained_on(1);
  CHECK(one.lines.size() == 9 + 3 + 1);
  CHECK(one == trained_on(2));
  CHECK(one == trained_on(3));
}

TEST_CASE("A run taken up after any step ends in the same bits") {
  const TemporaryFolder folder;
  CellTrainer whole = make(tiny_config());
  const Trace expected = train(whole);
  for (std::int64_t stop = 0; stop <= 9; ++stop) {
    for (const bool before_epoch_end : {false, true}) {
      CellTrainer first = make(tiny_config());
      Trace trace;
      while (first.steps() < stop) {
        trace.lines.push_back(std::to_string(first.step()));
        if (first.epoch_ended() && !(before_epoch_end && first.steps() == stop)) {
          trace.lines.push_back(to_json(*first.finish_epoch()).dump());
        }
      }
      save_safetensors(folder / "state", first.state());
      CellTrainer second = make(tiny_config());
      second.restore(load_safetensors(folder / "state"), "state");
      INFO("left after step " << stop);
      CHECK(second.steps() == stop);
      CHECK(train(second, trace) == expected);
    }
  }
}

TEST_CASE("A run by any optimizer taken up after any step ends in the same bits") {
  std::set<std::vector<float>> ends;
  for (const std::string& optimizer : optimizers()) {
    CellConfig config = tiny_config();
    config.optimizer = optimizer;
    config.learning_rate = 0.002;
    config.schedule = "cosine";
    config.learning_rate_decay = 1;
    config.warm_up = 1;
    if (!has_momentum(optimizer)) config.momentum = 0;
    CellTrainer whole = make(config);
    const Trace expected = train(whole);
    ends.insert(expected.weights);
    for (std::int64_t stop = 1; stop < 9; ++stop) {
      INFO(optimizer << " left after step " << stop);
      CellTrainer first = make(config);
      Trace trace;
      while (first.steps() < stop) {
        trace.lines.push_back(std::to_string(first.step()));
        if (first.epoch_ended()) trace.lines.push_back(to_json(*first.finish_epoch()).dump());
      }
      CellTrainer second = make(config);
      second.restore(first.state(), "state");
      CHECK(train(second, trace) == expected);
    }
  }
  CHECK(ends.size() == optimizers().size());
}

TEST_CASE("Schedules fall within the run, after the epochs of warm-up") {
  const auto rates = [](const CellConfig& config) {
    CellTrainer trainer = make(config);
    std::vector<double> all;
    while (!trainer.finished()) {
      all.push_back(trainer.learning_rate());
      trainer.step();
      if (trainer.epoch_ended()) trainer.finish_epoch();
    }
    return all;
  };
  CellConfig config = tiny_config();  // 9 steps
  config.learning_rate = 0.01;
  config.learning_rate_decay = 1;
  config.schedule = "step";
  const std::vector<double> step = rates(config);
  for (std::size_t i = 0; i < 9; ++i)
    CHECK(step[i] == Approx(i < 4 ? 0.01 : i < 6 ? 0.001 : 0.0001));
  config.schedule = "cosine";
  config.warm_up = 1;
  const std::vector<double> cosine = rates(config);
  for (std::size_t i = 0; i < 9; ++i)
    CHECK(cosine[i] == Approx(i < 3 ? 0.01 * double(i + 1) / 4
                                    : 0.005 * (1 + std::cos(double(i - 3) / 6 * std::acos(-1)))));
}

TEST_CASE("A trainer refuses settings that its optimizer or schedule would not use") {
  const auto refusal = [](auto change) {
    CellConfig config = tiny_config();
    change(config);
    try {
      make(config);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal([](CellConfig&) {}).empty());
  CHECK_THAT(refusal([](CellConfig& c) { c.optimizer = "lion"; }),
             Contains("optimizer lion; it knows adam, adamw, rmsprop, sgd"));
  CHECK_THAT(refusal([](CellConfig& c) { c.schedule = "linear"; }), Contains("schedule linear"));
  CHECK_THAT(refusal([](CellConfig& c) { c.optimizer = "adam"; }),
             Contains("adam has no momentum, here 0.9"));
  CHECK_THAT(refusal([](CellConfig& c) { c.schedule = "cosine"; }),
             Contains("cosine schedule has no learning-rate decay, here 0.95"));
  CHECK_THAT(refusal([](CellConfig& c) { c.warm_up = 3; }), Contains("3 epochs of warm-up in 3"));
}

TEST_CASE("The schedule is a staircase over epochs, partial last batch included") {
  CellConfig config = tiny_config();
  CellTrainer trainer = make(config);
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (int step = 0; step < 3; ++step) {
      CHECK(trainer.learning_rate() == Approx(config.learning_rate * std::pow(0.95, epoch)));
      trainer.step();
    }
    const auto record = trainer.finish_epoch();
    CHECK(record->epoch == epoch + 1);
    CHECK(record->step == 3 * (epoch + 1));
    CHECK(record->learning_rate == Approx(config.learning_rate * std::pow(0.95, epoch)));
    CHECK(record->test.has_value());
    CHECK(record->train.has_value() == (epoch == 2 || record->accuracy >= 0.95));
  }
  CHECK(trainer.finished());
  CHECK(trainer.images() == 120);
  CHECK_THROWS(trainer.step());
}

TEST_CASE("Clean and corrupted labels are counted apart") {
  CellTrainer trainer = make(tiny_config());
  while (!trainer.epoch_ended()) trainer.step();
  const auto record = trainer.finish_epoch();
  REQUIRE(record->clean_accuracy);
  REQUIRE(record->corrupted_accuracy);
  const auto data = tiny_task(tiny_config()).data.train;
  const auto now = data.labels.values<int>(), before = data.true_labels.values<int>();
  double clean = 0;
  for (std::size_t i = 0; i < now.size(); ++i) clean += now[i] == before[i];
  const double n = double(now.size());
  CHECK(clean / n * *record->clean_accuracy + (1 - clean / n) * *record->corrupted_accuracy ==
        Approx(record->accuracy));
}

TEST_CASE("Held-out images are evaluated and never trained on") {
  CellConfig config = tiny_config();
  config.corruption = data::corruption::none();
  config.dataset.train_size = 30;
  CellTrainer plain(config, tiny_task(config));
  const Trace expected = train(plain);
  config.dataset.held_out = 10;
  TrainingTask task = tiny_task(config);
  const auto source = DataSource::synthetic(64, 30);
  task.held_out = source.held_out(config);
  CHECK(task.held_out.labels.values<int>() ==
        source.raw().train.labels.slice_items(30, 10).values<int>());
  CellTrainer trainer(config, task);
  while (!trainer.epoch_ended()) trainer.step();
  const auto record = trainer.finish_epoch();
  REQUIRE(record->held_out);
  CHECK(record->held_out->size == 10);
  CHECK(to_json(*record)["held_out"]["correct"] == record->held_out->correct);
  CellTrainer whole(config, task);
  CHECK(train(whole).weights == expected.weights);

  config.dataset.held_out = 9;
  CHECK_THROWS_WITH(CellTrainer(config, task), Contains("10 held-out"));
  config.corruption = data::corruption::random_labels();
  CHECK_THROWS_WITH(source.held_out(config), Contains("true labels"));
}

TEST_CASE("Flips and rotations change what is trained on, and the run stays resumable") {
  const auto final_weights = [](const CellConfig& config) {
    CellTrainer trainer = make(config);
    return train(trainer).weights;
  };
  CellConfig config = tiny_config();
  config.random_crop = false;
  const auto plain = final_weights(config);
  config.flip = true;
  const auto flipped = final_weights(config);
  config.rotation = 25;
  const auto rotated = final_weights(config);
  CHECK(plain != flipped);
  CHECK(flipped != rotated);
  CHECK(rotated == final_weights(config));
}

TEST_CASE("The corruption stays when only the run's seed changes") {
  CellConfig config = tiny_config();
  const auto labels = tiny_task(config).data.train.labels.values<int>();
  config.seed = 2;
  CHECK(tiny_task(config).data.train.labels.values<int>() == labels);
  config.corruption_seed = 2;
  CHECK(tiny_task(config).data.train.labels.values<int>() != labels);
  CellTrainer a = make(tiny_config());
  config = tiny_config();
  config.seed = 2;
  CellTrainer b = make(config);
  CHECK(a.step() != b.step());
}

TEST_CASE("A run that fits stops early, and not before") {
  CellConfig config = tiny_config();
  config.corruption = data::corruption::none();
  config.random_crop = false;
  config.weight_decay = 0;
  config.epochs = 300;
  config.stop = {.loss = 0.05, .epochs = 3};
  CellTrainer trainer = make(config);
  int fitted = 0;
  while (!trainer.finished()) {
    while (!trainer.epoch_ended()) trainer.step();
    const auto record = trainer.finish_epoch();
    const double accuracy = record->train ? record->train->accuracy() : record->accuracy;
    fitted = accuracy == 1 && record->loss < 0.05 ? fitted + 1 : 0;
    CHECK(trainer.finished() == (fitted == 3 || record->epoch == 300));
  }
  const auto result = trainer.result();
  CHECK(result->stopped_early);
  CHECK(result->train.accuracy() == 1);
  CHECK(result->epochs < 300);
}

TEST_CASE("A loss that is not finite leaves the run as it was") {
  CellConfig config = tiny_config();
  config.learning_rate = 1e30;
  CellTrainer trainer = make(config);
  double loss = 0;
  Trace before, after;
  while (std::isfinite(loss) && !trainer.finished()) {
    before = {};
    add_weights(trainer, before);
    loss = trainer.step();
    if (trainer.epoch_ended()) trainer.finish_epoch();
  }
  REQUIRE(!std::isfinite(loss));
  add_weights(trainer, after);
  CHECK(after == before);
  const RunResult result = trainer.diverged();
  CHECK(result.diverged);
  CHECK(result.steps == trainer.steps());
  CHECK(std::isfinite(result.last_loss));
}

TEST_CASE("A cancelled evaluation changes nothing") {
  CellTrainer trainer = make(tiny_config());
  while (!trainer.epoch_ended()) trainer.step();
  CHECK(!trainer.finish_epoch([] { return true; }));
  CHECK(trainer.epoch_ended());
  CHECK(trainer.epoch() == 0);
  CHECK(trainer.finish_epoch());
  CHECK(trainer.epoch() == 1);
}

TEST_CASE("States of other models are refused unchanged") {
  CellTrainer trainer = make(tiny_config());
  const NamedTensors good = trainer.state();
  NamedTensors bad = good;
  bad.metadata["epoch"] = "17";
  CHECK(message_of([&] { trainer.restore(bad, "file"); }).find("outside the run") !=
        std::string::npos);
  bad.metadata["epoch"] = "x";
  CHECK(message_of([&] { trainer.restore(bad, "file"); }).find("epoch") != std::string::npos);
  bad = good;
  bad.tensors.erase(bad.tensors.begin());
  CHECK(message_of([&] { trainer.restore(bad, "file"); }).find("no tensor") != std::string::npos);
  bad = good;
  bad.tensors["model.99.weight"] = Tensor::zeros({3});
  CHECK(message_of([&] { trainer.restore(bad, "file"); }).find("another model") !=
        std::string::npos);
  bad = good;
  bad.tensors.begin()->second = Tensor::zeros({3});
  CHECK(message_of([&] { trainer.restore(bad, "file"); }).find("expected") != std::string::npos);
  CHECK(trainer.steps() == 0);
}

TEST_CASE("Trainers of both float32 precisions take turns and keep to their own") {
  static const auto source = DataSource::synthetic(16, 4);
  const auto trainer_in = [&](const std::string& precision) {
    CellConfig config = tiny_config();
    config.model = "inception";
    config.dataset.train_size = 16;
    config.dataset.test_size = 4;
    config.batch = 4;
    config.precision = precision;
    return CellTrainer(config, {.model = make_model(config.model),
                                .decayed = {},
                                .data = source.load(config),
                                .metrics = {}});
  };
  const auto alone = [&](const std::string& precision) {
    CellTrainer trainer = trainer_in(precision);
    return trainer.advance(3);
  };
  const std::vector<double> direct = alone("fp32"), winograd = alone("fp32-winograd");
  CellTrainer first = trainer_in("fp32"), second = trainer_in("fp32-winograd");
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(first.step() == direct[i]);
    REQUIRE(second.step() == winograd[i]);
    CHECK(direct[i] != winograd[i]);
  }
  CHECK(std::abs(winograd[0] - direct[0]) < 1e-5 * direct[0]);
  CHECK_FALSE(cpu_context().winograd());  // left to the caller as it was
}

TEST_CASE("A trainer refuses a precision that its device does not have") {
  CellConfig config = tiny_config();
  config.precision = "tf32";
  CHECK(message_of([&] { make(config); }, ErrorKind::usage)
            .find("it has bf16, fp32, fp32-winograd") != std::string::npos);
}

namespace {

/// y = the sum of x's two columns, shape [n, 1].
data::TrainTest sums(std::int64_t n) {
  const Tensor x = random_uniform({.seed = 3}, {n, 2}, -1, 1);
  const auto set = data::Dataset::from(x, sum(x, 1, true), 0, "sums");
  return {set, data::first(set, n / 2)};
}

Training regression() {
  return {.model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1)),
          .optimizer = optim::make<optim::AdamW>({.schedule = optim::constant(0.01)}, 1e-3),
          .loss = [](const Tensor& y, const Tensor& t) { return mean_squared_error(y, t); },
          .epochs = 3,
          .batch = 16,
          .seed = 4};
}

std::vector<float> weights_of(Trainer& trainer) {
  std::vector<float> all;
  for (const Tensor& tensor : parameters(trainer.model()))
    for (const float value : tensor.values<float>()) all.push_back(value);
  return all;
}

}  // namespace

TEST_CASE("Any model, loss, optimizer and data train as a loop written out does, to the bit") {
  const data::TrainTest data = sums(40);
  Training training = regression();
  training.metrics = {test_metric(
      "worst", [](const Tensor& y, const Tensor& t) { return max(abs(y - t)).item(); })};
  training.clip_norm = 0.5;
  Trainer trainer(training, data);
  std::vector<double> losses;
  std::vector<EpochRecord> records;
  trainer.on_step([&](Trainer&, std::int64_t step, double loss) {
    CHECK(step == std::int64_t(losses.size()) + 1);
    losses.push_back(loss);
  });
  trainer.on_epoch([&](Trainer&, const EpochRecord& record) { records.push_back(record); });
  const auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->steps == 9);
  CHECK(std::isnan(result->train.accuracy()));
  REQUIRE(records.size() == 3);
  CHECK(std::isnan(records[0].accuracy));
  CHECK(records[0].train->loss > result->train.loss);

  Sequential model(Linear(2, 8), Tanh(), Linear(8, 1));
  initialize(model, {.seed = derive_seed(4, "initialize")});
  optim::AdamW adam(optim::decay_weights(model, 1e-3), {.schedule = optim::constant(0.01)});
  std::size_t step = 0;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    for (const auto& [x, y, index] : data::batches(
             data.train, {.size = 16, .epoch = epoch, .seed = derive_seed(4, "shuffle")})) {
      zero_grad(model);
      const Tensor loss = mean_squared_error(model(x), y);
      backward(loss);
      optim::clip_gradient_norm(named_parameters(model), 0.5);
      adam.step();
      CHECK(losses.at(step++) == loss.item());
    }
  }
  std::vector<float> expected;
  for (const Tensor& tensor : parameters(model))
    for (const float value : tensor.values<float>()) expected.push_back(value);
  CHECK(weights_of(trainer) == expected);
  const NoGrad no_grad;
  const Tensor y = model(data.test.images);
  CHECK(trainer.outputs(data.test).values<float>() == y.values<float>());
  REQUIRE(records[2].metrics.size() == 1);
  CHECK(records[2].metrics[0].first == "worst");
  CHECK(records[2].metrics[0].second == max(abs(y - data.test.labels)).item());
}

TEST_CASE("A training goes on from its checkpoint to the same bits, and not from another's") {
  const data::TrainTest data = sums(40);
  const TemporaryFolder folder;
  Trainer whole(regression(), data);
  whole.run();
  int sessions = 0;
  for (std::optional<RunResult> result; !result; ++sessions) {
    REQUIRE(sessions < 20);
    Trainer part(regression(), data);
    part.checkpoint(folder / "state.safetensors", 0);
    int steps = 0;
    part.on_step([&](Trainer& trainer, std::int64_t, double) {
      if (++steps == 2) trainer.stop();
    });
    result = part.run();
    if (result) CHECK(weights_of(part) == weights_of(whole));
  }
  CHECK(sessions == 5);
  Training longer = regression();
  longer.epochs = 4;
  Trainer other(longer, data);
  other.checkpoint(folder / "state.safetensors");
  CHECK_THROWS_WITH(other.run(), Contains("another training") && Contains("3 epochs"));
  data::TrainTest negated = data;
  negated.train.labels = data.train.labels * -1;
  Trainer relabelled(regression(), negated);
  relabelled.checkpoint(folder / "state.safetensors");
  CHECK_THROWS_WITH(relabelled.run(), Contains("another training"));
  Training plain = regression();
  plain.optimizer = optim::make<optim::Adam>({.schedule = optim::constant(0.01)}, 1e-3);
  Trainer coupled(plain, data);
  coupled.checkpoint(folder / "state.safetensors");
  CHECK_THROWS_WITH(coupled.run(), Contains("another training") && Contains("AdamW"));
  Training wider = regression();
  wider.model = Sequential(Linear(2, 9), Tanh(), Linear(9, 1));
  Trainer another(wider, data);
  another.checkpoint(folder / "state.safetensors");
  CHECK_THROWS_WITH(another.run(), Contains("expected float32 [9"));
}

TEST_CASE("Fewer outputs than classes are refused, as no accuracy can be counted") {
  const Tensor x = random_uniform({.seed = 3}, {8, 2}, -1, 1);
  const std::vector<std::int32_t> labels{0, 1, 0, 1, 0, 1, 0, 1};
  const auto set = data::Dataset::from(x, Tensor::from(std::span<const std::int32_t>(labels), {8}));
  Training training = regression();
  training.loss = [](const Tensor& y, const Tensor&) { return mean(y * y); };
  CHECK_THROWS_WITH(Trainer(training, {set, set}).run(), Contains("2 classes"));
  training.accuracy = false;
  CHECK_NOTHROW(Trainer(training, {set, set}).run());
}

TEST_CASE("An empty test set has no loss and no accuracy") {
  Trainer trainer(regression(), {sums(40).train, {}});
  const auto result = trainer.run();
  REQUIRE(result);
  CHECK(std::isnan(result->test.loss));
  CHECK(std::isnan(result->test.accuracy()));
  CHECK(std::isfinite(result->train.loss));
}

TEST_CASE("A stop rule on the loss alone ends a training without classes") {
  Training training = regression();
  training.epochs = 500;
  training.stop = {.loss = 0.01, .epochs = 2};
  Trainer trainer(training, sums(64));
  const auto result = trainer.run();
  REQUIRE(result);
  CHECK(result->stopped_early);
  CHECK(result->train.loss < 0.02);
}

TEST_CASE("What cannot be trained is refused before anything is computed") {
  const data::TrainTest data = sums(40);
  const auto refused = [&](const std::function<void(Training&)>& change) {
    Training training = regression();
    change(training);
    try {
      Trainer(training, data).run();
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::usage);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK_THAT(refused([](Training& t) { t.optimizer = nullptr; }), Contains("optimizer"));
  CHECK_THAT(refused([](Training& t) { t.batch = 0; }), Contains("batch 0"));
  CHECK_THAT(refused([](Training& t) { t.clip_norm = -1; }), Contains("clip_norm"));
  CHECK_THAT(refused([](Training& t) { t.precision = Precision::tf32; }), Contains("tf32"));
  CHECK_THAT(refused([](Training& t) { t.input.flip = true; }), Contains("pipeline is for images"));
  CHECK_THAT(refused([](Training& t) {
               t.loss = [](const Tensor& y, const Tensor& target) { return y - target; };
             }),
             Contains("loss is"));
  Training diverging = regression();
  diverging.optimizer = optim::make<optim::Sgd>({.schedule = optim::constant(1e30)});
  Trainer trainer(diverging, data);
  CHECK_THROWS_WITH(trainer.run(), Contains("not finite"));
}

TEST_CASE("A value on a device is one struct there, and its members are tensors") {
  struct Values {
    std::int64_t first = 1, second = 2;
    std::int32_t third = 3, fourth = 4;
    double last[2] = {5, 6};
  };
  const DeviceValue<Values> value(Device::cpu());
  CHECK(value.ptr()->last[1] == 6);
  value.tensor(&Values::second).fill(7);
  value.tensor(&Values::fourth).fill(8);
  CHECK(value.tensor(&Values::third).values<std::int32_t>() == std::vector<std::int32_t>{3});
  Values read = value.get();
  CHECK(read.first == 1);
  CHECK(read.second == 7);
  CHECK(read.fourth == 8);
  read.first = 9;
  value.set(read);
  CHECK(value.ptr()->first == 9);
}
