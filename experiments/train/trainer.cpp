// The training loop, its evaluations and its state.
#include <shatter/core/text.h>
#include <shatter/experiments/train/trainer.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include <shatter/core/autograd.h>
#include <shatter/core/dispatch.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter::experiments {
namespace {

constexpr std::int64_t evaluation_batch = 256;
/// Steps in one recording, so that short steps are not bound by the time it takes to replay one.
constexpr std::int64_t steps_at_once = 16;
/// The most steps given to the device before it is waited for.
constexpr std::int64_t most_steps = 512;
/// The running accuracy from which on the training set is evaluated after an epoch.
constexpr double worth_evaluating = 0.8;

std::vector<optim::ParameterGroup> groups(Module model, std::vector<NamedTensor> decayed,
                                          double weight_decay) {
  std::vector<NamedTensor> rest;
  for (NamedTensor& parameter : named_parameters(model)) {
    const bool listed = std::any_of(decayed.begin(), decayed.end(),
                                    [&](const NamedTensor& d) { return d.name == parameter.name; });
    if (!listed) rest.push_back(std::move(parameter));
  }
  return {{std::move(decayed), weight_decay}, {std::move(rest), 0}};
}

/// Whether each label is what it was before the corruption; empty without one.
std::vector<std::uint8_t> true_labels(const data::Dataset& dataset) {
  if (!dataset.true_labels.defined()) return {};
  const auto now = dataset.labels.values<std::int32_t>();
  const auto before = dataset.true_labels.values<std::int32_t>();
  std::vector<std::uint8_t> same(now.size());
  for (std::size_t i = 0; i < now.size(); ++i) same[i] = now[i] == before[i];
  return same;
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

std::unique_ptr<optim::Optimizer> make_optimizer(const CellConfig& config,
                                                 std::vector<optim::ParameterGroup> groups,
                                                 const optim::Schedule& schedule) {
  using namespace optim;
  if (config.optimizer == "rmsprop")
    return std::make_unique<RmsProp>(
        std::move(groups), RmsPropOptions{.schedule = schedule, .momentum = config.momentum});
  if (config.optimizer == "adam")
    return std::make_unique<Adam>(std::move(groups), AdamOptions{.schedule = schedule});
  if (config.optimizer == "adamw")
    return std::make_unique<AdamW>(std::move(groups), AdamOptions{.schedule = schedule});
  return std::make_unique<Sgd>(std::move(groups),
                               SgdOptions{.schedule = schedule, .momentum = config.momentum});
}

/// The learning rate of every step of the run.
std::vector<double> all_rates(const CellConfig& config, const optim::Schedule& schedule) {
  std::vector<double> rates(std::size_t(config.epochs * config.steps_per_epoch()));
  for (std::size_t i = 0; i < rates.size(); ++i) rates[i] = schedule(std::int64_t(i));
  return rates;
}

void check_named(const char* what, const std::string& name, const std::vector<std::string>& known) {
  check(std::find(known.begin(), known.end(), name) != known.end(), "Trainer: ", what, " ", name,
        "; it knows ", joined({known.begin(), known.end()}));
}

const CellConfig& checked(const CellConfig& config, const TrainingTask& task) {
  check(task.data.train.size() == config.dataset.train_size &&
            task.data.test.size() == config.dataset.test_size &&
            task.held_out.size() == config.dataset.held_out,
        "Trainer: ", task.data.train.size(), " training, ", task.data.test.size(), " test and ",
        task.held_out.size(), " held-out images, the configuration says ",
        config.dataset.train_size, ", ", config.dataset.test_size, " and ",
        config.dataset.held_out);
  check(config.batch > 0 && config.epochs > 0 && config.evaluate_every > 0 &&
            config.dataset.train_size > 0,
        "Trainer: batch ", config.batch, ", ", config.epochs, " epochs, evaluated every ",
        config.evaluate_every, ", ", config.dataset.train_size, " images; all must be positive");
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
  return config;
}

void check_precision(Device device, const std::string& precision) {
  const std::set<std::string> known = precisions(device);
  check(known.contains(precision), "Trainer: precision ", precision, " on ", device.name(),
        "; it has ", joined(known));
}

/// Lets the kernels of this thread's context do what the precision allows while it lives.
class Allowed {
 public:
  Allowed(Device device, const std::string& precision)
      : device_(device), before_(set(precision == "fp32-winograd", precision != "fp32")) {}
  ~Allowed() { set(before_, before_); }
  Allowed(const Allowed&) = delete;
  Allowed& operator=(const Allowed&) = delete;

 private:
  /// Of the two that of the device; what it was before.
  bool set(bool winograd, bool tf32) const {
    return on(device_, [&](auto& context) {
      if constexpr (std::is_same_v<decltype(context), CpuContext&>) {
        const bool before = context.winograd();
        context.set_winograd(winograd);
        return before;
      } else {
        const bool before = context.tf32();
        context.set_tf32(tf32);
        return before;
      }
    });
  }

  Device device_;
  bool before_;
};

/// In float32, whatever the precision of the model's activations.
Tensor logits_of(Module& model, const Tensor& x, const std::string& precision) {
  if (precision != "bf16") return model(x);
  return model(x.to(DType::bfloat16)).to(DType::float32);
}

data::Dataset packed(data::Dataset dataset) {
  if (dataset.size() == 0) return dataset;
  dataset.images = dataset.images.packed();
  dataset.labels = dataset.labels.packed();
  return dataset;
}

/// Empty where none was seen.
std::optional<double> share(std::int64_t correct, std::int64_t seen) {
  if (seen == 0) return std::nullopt;
  return static_cast<double>(correct) / static_cast<double>(seen);
}

/// The shortest text that reads back as the same number.
template <class Number>
std::string exact(Number value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

template <class Number>
Number number(const NamedTensors& state, const std::string& key, const std::string& where) {
  const auto found = state.metadata.find(key);
  Number value{};
  bool good = found != state.metadata.end();
  if (good) {
    const char* end = found->second.data() + found->second.size();
    const auto [rest, error] = std::from_chars(found->second.data(), end, value);
    good = error == std::errc() && rest == end;
  }
  if (!good) fail(ErrorKind::data, where, ": not a training state: no number ", key);
  return value;
}

}  // namespace

std::set<std::string> precisions(Device device) {
  if (device.is_cpu()) return {"fp32", "fp32-winograd", "bf16"};
  return {"fp32", "tf32", "bf16"};
}

Trainer::Trainer(const CellConfig& config, TrainingTask task, const TrainerOptions& options)
    : config_(checked(config, task)),
      seeds_(seeds_of(config)),
      model_((initialize(task.model, {.seed = seeds_of(config).initialize}),
              to(task.model, options.device), task.model)),
      data_{packed(task.data.train.to(options.device)), packed(task.data.test.to(options.device))},
      held_out_(packed(task.held_out.to(options.device))),
      probes_(task.probes),
      input_{.crop = config.crop,
             .random_crop = config.random_crop,
             .flip = config.flip,
             .rotation = config.rotation,
             .whiten = config.whiten},
      schedule_(schedule_of(config)),
      optimizer_(
          make_optimizer(config, groups(model_, task.decayed, config.weight_decay), schedule_)),
      record_(options.device, data_.train.size(), all_rates(config, schedule_),
              true_labels(task.data.train), most_steps),
      step_(
          options.device, [this] { give_step(config_.batch); }, options.capture),
      steps_(
          options.device,
          [this] {
            for (std::int64_t i = 0; i < steps_at_once; ++i) give_step(config_.batch);
          },
          options.capture),
      last_step_(
          options.device, [this] { give_step((data_.train.size() - 1) % config_.batch + 1); },
          options.capture),
      evaluate_train_(model_, data_.train, input_.deterministic(), config_.precision, options),
      evaluate_test_(model_, data_.test, input_.deterministic(), config_.precision, options) {
  check_precision(options.device, config.precision);
  if (held_out_.size() > 0) {
    evaluate_held_out_.emplace(model_, held_out_, input_.deterministic(), config_.precision,
                               options);
  }
  set_step(model_, record_.step());
  optimizer_->rate().fill(schedule_(0));
  begin_epoch();
}

void Trainer::begin_epoch() {
  batch_ = 0;
  counts_ = {};
  if (finished()) return;
  if (drawn_epoch_ != epoch_) draw_order(epoch_);
  record_.set_order(drawn_order_);
  record_.set(epoch_, 0, epoch_ * config_.steps_per_epoch(), counts_);
}

void Trainer::draw_order(std::int64_t epoch) {
  drawn_order_ = random_permutation(
      {seeds_.shuffle, Stream::shuffle, static_cast<std::uint32_t>(epoch)}, data_.train.size());
  drawn_epoch_ = epoch;
}

void Trainer::draw_next_order() {
  if (drawn_epoch_ <= epoch_ && epoch_ + 1 < config_.epochs) draw_order(epoch_ + 1);
}

void Trainer::give_step(std::int64_t size) {
  const Allowed allowed(data_.train.images.device(), config_.precision);
  const data::Batch batch = data::empty_batch(data_.train, input_, size);
  data::fill_batch(data_.train, record_.order(), record_.position(), input_, seeds_.augment,
                   batch.x, batch.y);
  set_training(model_, true);
  const Tensor logits = logits_of(model_, batch.x, config_.precision);
  const Tensor loss = cross_entropy(logits, batch.y);
  record_.check_loss(loss);
  zero_grad(model_);
  backward(loss);
  optimizer_->update(record_.stopped());
  record_.finish_step(logits, batch.y, loss, optimizer_->rate());
}

std::vector<double> Trainer::advance(std::int64_t count) {
  check(!epoch_ended() && !finished() && count >= 1,
        "Trainer::advance: the epoch or the run has ended, or no step was asked for");
  count = std::min({count, config_.steps_per_epoch() - batch_, most_steps});
  const std::int64_t first = steps();
  const std::int64_t whole = data_.train.size() / config_.batch;  // full batches of an epoch
  for (std::int64_t given = 0; given < count;) {
    const std::int64_t full = std::min(count - given, whole - batch_ - given);
    if (full >= steps_at_once) {
      steps_();
      given += steps_at_once;
    } else {
      full > 0 ? step_() : last_step_();
      ++given;
    }
  }
  draw_next_order();  // while a GPU works
  const StepRecord::Reading reading = record_.read();
  std::vector<double> losses = reading.losses_from(first);
  if (!losses.empty()) {
    latest_.reset();
    last_loss_ = losses.back();
  }
  counts_ = reading.counts;
  batch_ += reading.step - first;
  optimizer_->set_steps(reading.step);
  if (reading.stopped) losses.push_back(std::numeric_limits<double>::quiet_NaN());
  return losses;
}

Trainer::Evaluator::Evaluator(Module& model, const data::Dataset& dataset,
                              const data::Pipeline& input, const std::string& precision,
                              const TrainerOptions& options)
    : model_(model),
      dataset_(dataset),
      input_(input),
      precision_(precision),
      record_(options.device, dataset.size(), {0.0}, {}, 1),
      whole_(
          options.device, [this] { batch(evaluation_batch); }, options.capture),
      last_(
          options.device, [this] { batch(dataset_.size() % evaluation_batch); }, options.capture) {
  std::vector<std::int64_t> order(std::size_t(dataset.size()));
  std::iota(order.begin(), order.end(), 0);
  record_.set_order(order);
}

void Trainer::Evaluator::batch(std::int64_t size) {
  const NoGrad guard;
  const Allowed allowed(dataset_.images.device(), precision_);
  set_training(model_, false);
  const data::Batch batch = data::empty_batch(dataset_, input_, size);
  data::fill_batch(dataset_, record_.order(), record_.position(), input_, 0, batch.x, batch.y);
  const Tensor logits = logits_of(model_, batch.x, precision_);
  record_.finish_step(logits, batch.y, cross_entropy(logits, batch.y),
                      Tensor::zeros({1}, DType::float64, logits.device()));
}

std::optional<Evaluation> Trainer::Evaluator::operator()(const Cancelled& cancelled) {
  record_.set(0, 0, 0, {});
  for (std::int64_t i = 0; i < dataset_.size(); i += evaluation_batch) {
    if (cancelled && cancelled()) return std::nullopt;
    i + evaluation_batch <= dataset_.size() ? whole_() : last_();
  }
  const kernels::StepCounts counts = record_.read().counts;
  Evaluation sum{.size = dataset_.size()};
  sum.correct = counts.correct;
  sum.loss = sum.size > 0 ? counts.loss / static_cast<double>(sum.size) : 0;
  return sum;
}

std::optional<EpochRecord> Trainer::finish_epoch(const Cancelled& cancelled) {
  check(epoch_ended(), "Trainer::finish_epoch: batch ", batch_, " of ", config_.steps_per_epoch());
  const bool last = epoch_ + 1 == config_.epochs;
  EpochRecord record{
      .epoch = epoch_ + 1,
      .step = steps(),
      .learning_rate = schedule_(steps() - 1),
      .loss = mean_loss(),
      .accuracy = online_accuracy(),
      .clean_accuracy = share(counts_.clean_correct, counts_.clean_seen),
      .corrupted_accuracy = share(counts_.corrupted_correct, counts_.corrupted_seen)};
  const bool due = last || record.epoch % config_.evaluate_every == 0;
  const bool fits_online = record.accuracy == 1 && record.loss < config_.stop.loss;
  if (due) {
    record.test = evaluate_test_(cancelled);
    if (!record.test) return std::nullopt;
    if (evaluate_held_out_) {
      record.held_out = (*evaluate_held_out_)(cancelled);
      if (!record.held_out) return std::nullopt;
    }
  }
  if (last || fits_online || (due && record.accuracy >= worth_evaluating)) {
    record.train = evaluate_train_(cancelled);
    if (!record.train) return std::nullopt;
  }
  if (due) {
    const NoGrad guard;
    set_training(model_, false);
    for (const Probe& probe : probes_) {
      record.probes.emplace_back(probe.name, probe.measure(model_, data_));
    }
  }
  if (record.train && record.test) latest_ = {*record.train, *record.test};
  const double accuracy = record.train ? record.train->accuracy() : record.accuracy;
  const bool fits = accuracy == 1 && record.loss < config_.stop.loss;
  fitted_ = fits ? fitted_ + 1 : 0;
  stopped_ = config_.stop.epochs > 0 && fitted_ >= config_.stop.epochs;
  ++epoch_;
  begin_epoch();
  return record;
}

std::optional<RunResult> Trainer::result(const Cancelled& cancelled) {
  const auto train = latest_ ? latest_->first : evaluate_train_(cancelled);
  if (!train) return std::nullopt;
  const auto test = latest_ ? latest_->second : evaluate_test_(cancelled);
  if (!test) return std::nullopt;
  return RunResult{.epochs = epoch_,
                   .steps = steps(),
                   .stopped_early = epoch_ < config_.epochs,
                   .train = *train,
                   .test = *test,
                   .learning_rate = schedule_(steps() - 1),
                   .last_loss = last_loss_};
}

RunResult Trainer::diverged() const {
  return {.diverged = true,
          .epochs = epoch_,
          .steps = steps(),
          .learning_rate = learning_rate(),
          .last_loss = last_loss_};
}

std::int64_t Trainer::images() const {
  return epoch_ * data_.train.size() + std::min(batch_ * config_.batch, data_.train.size());
}

double Trainer::mean_loss() const {
  return counts_.seen ? counts_.loss / static_cast<double>(counts_.seen) : 0;
}

double Trainer::online_accuracy() const {
  return share(counts_.correct, counts_.seen).value_or(0);
}

NamedTensors Trainer::state() const {
  NamedTensors state;
  for (const NamedTensor& entry : named_state(model_)) {
    state.tensors["model." + entry.name] = entry.tensor.detach();
  }
  for (const NamedTensor& entry : optimizer_->state()) state.tensors[entry.name] = entry.tensor;
  state.metadata = {{"epoch", exact(epoch_)},
                    {"batch", exact(batch_)},
                    {"loss_sum", exact(counts_.loss)},
                    {"correct", exact(counts_.correct)},
                    {"seen", exact(counts_.seen)},
                    {"clean_correct", exact(counts_.clean_correct)},
                    {"clean_seen", exact(counts_.clean_seen)},
                    {"corrupted_correct", exact(counts_.corrupted_correct)},
                    {"corrupted_seen", exact(counts_.corrupted_seen)},
                    {"fitted_epochs", exact(fitted_)},
                    {"stopped", exact(std::int64_t(stopped_))},
                    {"last_loss", exact(last_loss_)}};
  return state;
}

void Trainer::restore(const NamedTensors& saved, const std::string& where) {
  const auto whole = [&](const char* key) { return number<std::int64_t>(saved, key, where); };
  const std::int64_t epoch = whole("epoch"), batch = whole("batch");
  const double last_loss = number<double>(saved, "last_loss", where);
  const kernels::StepCounts counts{.loss = number<double>(saved, "loss_sum", where),
                                   .correct = whole("correct"),
                                   .seen = whole("seen"),
                                   .clean_correct = whole("clean_correct"),
                                   .clean_seen = whole("clean_seen"),
                                   .corrupted_correct = whole("corrupted_correct"),
                                   .corrupted_seen = whole("corrupted_seen")};
  const std::int64_t fitted = whole("fitted_epochs"), stopped = whole("stopped");
  if (epoch < 0 || epoch > config_.epochs || batch < 0 || batch > config_.steps_per_epoch()) {
    fail(ErrorKind::data, where, ": epoch ", epoch, ", batch ", batch, " lies outside the run");
  }
  const NamedTensors own = state();
  for (const auto& [name, tensor] : own.tensors) {
    const auto found = saved.tensors.find(name);
    if (found == saved.tensors.end()) fail(ErrorKind::data, where, ": no tensor ", name);
    if (found->second.shape() != tensor.shape() || found->second.dtype() != tensor.dtype()) {
      fail(ErrorKind::data, where, ": ", name, " is ", name_of(found->second.dtype()), " ",
           found->second.shape(), ", expected ", name_of(tensor.dtype()), " ", tensor.shape());
    }
  }
  for (const auto& [name, tensor] : own.tensors) tensor.copy_from(saved.tensors.at(name));
  epoch_ = epoch;
  stopped_ = stopped != 0;
  begin_epoch();
  batch_ = batch;
  counts_ = counts;
  fitted_ = fitted;
  last_loss_ = last_loss;
  latest_.reset();
  optimizer_->set_steps(epoch * config_.steps_per_epoch() + batch);
  optimizer_->rate().fill(optimizer_->learning_rate());
  record_.set(epoch, batch * config_.batch, steps(), counts_);
}

}  // namespace shatter::experiments
