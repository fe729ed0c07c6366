// The training loop, its evaluations and its state.
#include <shatter/experiments/harness/trainer.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <span>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter::experiments {
namespace {

constexpr std::int64_t evaluation_batch = 256;
constexpr double worth_evaluating = 0.95;

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

/// Which labels are what they were before the corruption.
std::vector<bool> true_labels(const data::Dataset& dataset) {
  if (!dataset.true_labels.defined()) return {};
  const auto now = dataset.labels.values<std::int32_t>();
  const auto before = dataset.true_labels.values<std::int32_t>();
  std::vector<bool> same(now.size());
  for (std::size_t i = 0; i < now.size(); ++i) same[i] = now[i] == before[i];
  return same;
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

Trainer::Trainer(const CellConfig& config, TrainingTask task, Device device)
    : config_(config),
      seeds_(seeds_of(config)),
      model_((initialize(task.model, {.seed = seeds_of(config).initialize}), to(task.model, device),
              task.model)),
      data_{task.data.train.to(device), task.data.test.to(device)},
      probes_(task.probes),
      input_{.crop = config.crop, .random_crop = config.random_crop, .whiten = true},
      schedule_(optim::exponential(config.learning_rate, config.learning_rate_decay,
                                   config.steps_per_epoch())),
      sgd_(groups(task.model, task.decayed, config.weight_decay),
           {.schedule = schedule_, .momentum = config.momentum}),
      label_is_true_(true_labels(task.data.train)) {
  check(data_.train.size() == config.dataset.train_size &&
            data_.test.size() == config.dataset.test_size,
        "Trainer: ", data_.train.size(), " training and ", data_.test.size(),
        " test images, the configuration says ", config.dataset.train_size, " and ",
        config.dataset.test_size);
  check(
      config.batch > 0 && config.epochs > 0 && config.evaluate_every > 0 && data_.train.size() > 0,
      "Trainer: batch ", config.batch, ", ", config.epochs, " epochs, evaluated every ",
      config.evaluate_every, ", ", data_.train.size(), " images; all must be positive");
  begin_epoch();
}

void Trainer::begin_epoch() {
  batch_ = 0;
  loss_sum_ = 0;
  all_ = clean_ = corrupted_ = {};
  order_ = random_permutation({seeds_.shuffle, Stream::shuffle, static_cast<std::uint32_t>(epoch_)},
                              data_.train.size());
}

double Trainer::step() {
  check(!epoch_ended() && !finished(), "Trainer::step: the epoch or the run has ended");
  const std::size_t begin = std::size_t(batch_ * config_.batch);
  const std::size_t size = std::min(order_.size() - begin, std::size_t(config_.batch));
  const data::Batch batch = data::make_batch(data_.train, std::span(order_).subspan(begin, size),
                                             input_, seeds_.augment, epoch_);
  set_training(model_, true);
  set_step(model_, static_cast<std::uint32_t>(steps()));
  const Tensor logits = model_(batch.x);
  const Tensor loss = cross_entropy(logits, batch.y);
  const double value = loss.item();
  if (!std::isfinite(value)) return value;
  zero_grad(model_);
  backward(loss);
  sgd_.step();
  latest_.reset();
  last_loss_ = value;
  loss_sum_ += value * static_cast<double>(size);
  count(logits, batch);
  ++batch_;
  return value;
}

void Trainer::count(const Tensor& logits, const data::Batch& batch) {
  const NoGrad guard;
  const auto guess = argmax(logits.detach()).values<std::int32_t>();
  const auto label = batch.y.values<std::int32_t>();
  const auto index = batch.index.values<std::int64_t>();
  for (std::size_t i = 0; i < label.size(); ++i) {
    const auto add = [right = guess[i] == label[i]](Count& c) { c.correct += right, ++c.seen; };
    add(all_);
    if (!label_is_true_.empty()) add(label_is_true_[std::size_t(index[i])] ? clean_ : corrupted_);
  }
}

std::optional<double> Trainer::Count::accuracy() const {
  if (seen == 0) return std::nullopt;
  return static_cast<double>(correct) / static_cast<double>(seen);
}

std::optional<Evaluation> Trainer::evaluate(const data::Dataset& dataset,
                                            const Cancelled& cancelled) {
  const NoGrad guard;
  set_training(model_, false);
  std::vector<std::int64_t> order(std::size_t(dataset.size()));
  std::iota(order.begin(), order.end(), 0);
  Evaluation sum{.size = dataset.size()};
  for (std::size_t i = 0; i < order.size(); i += evaluation_batch) {
    if (cancelled && cancelled()) return std::nullopt;
    const std::size_t size = std::min(order.size() - i, std::size_t(evaluation_batch));
    const data::Batch batch =
        data::make_batch(dataset, std::span(order).subspan(i, size), input_.deterministic(), 0, 0);
    const Tensor logits = model_(batch.x);
    sum.correct += count_correct(logits, batch.y);
    sum.loss += cross_entropy(logits, batch.y).item() * static_cast<double>(size);
  }
  if (sum.size > 0) sum.loss /= static_cast<double>(sum.size);
  return sum;
}

std::optional<EpochRecord> Trainer::finish_epoch(const Cancelled& cancelled) {
  check(epoch_ended(), "Trainer::finish_epoch: batch ", batch_, " of ", config_.steps_per_epoch());
  const bool last = epoch_ + 1 == config_.epochs;
  EpochRecord record{.epoch = epoch_ + 1,
                     .step = steps(),
                     .learning_rate = schedule_(steps() - 1),
                     .loss = mean_loss(),
                     .accuracy = online_accuracy(),
                     .clean_accuracy = clean_.accuracy(),
                     .corrupted_accuracy = corrupted_.accuracy()};
  const bool due = last || record.epoch % config_.evaluate_every == 0;
  const bool fits_online = record.accuracy == 1 && record.loss < config_.stop.loss;
  if (due) {
    record.test = evaluate(data_.test, cancelled);
    if (!record.test) return std::nullopt;
  }
  if (last || fits_online || (due && record.accuracy >= worth_evaluating)) {
    record.train = evaluate(data_.train, cancelled);
    if (!record.train) return std::nullopt;
  }
  if (due) {
    const NoGrad guard;
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
  const auto train = latest_ ? latest_->first : evaluate(data_.train, cancelled);
  if (!train) return std::nullopt;
  const auto test = latest_ ? latest_->second : evaluate(data_.test, cancelled);
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
  return all_.seen ? loss_sum_ / static_cast<double>(all_.seen) : 0;
}

double Trainer::online_accuracy() const {
  return all_.accuracy().value_or(0);
}

NamedTensors Trainer::state() const {
  NamedTensors state;
  for (const NamedTensor& entry : named_state(model_)) {
    state.tensors["model." + entry.name] = entry.tensor.detach();
  }
  for (const NamedTensor& entry : sgd_.state()) state.tensors[entry.name] = entry.tensor;
  state.metadata = {{"epoch", exact(epoch_)},
                    {"batch", exact(batch_)},
                    {"loss_sum", exact(loss_sum_)},
                    {"correct", exact(all_.correct)},
                    {"seen", exact(all_.seen)},
                    {"clean_correct", exact(clean_.correct)},
                    {"clean_seen", exact(clean_.seen)},
                    {"corrupted_correct", exact(corrupted_.correct)},
                    {"corrupted_seen", exact(corrupted_.seen)},
                    {"fitted_epochs", exact(fitted_)},
                    {"stopped", exact(std::int64_t(stopped_))},
                    {"last_loss", exact(last_loss_)}};
  return state;
}

void Trainer::restore(const NamedTensors& saved, const std::string& where) {
  const auto whole = [&](const char* key) { return number<std::int64_t>(saved, key, where); };
  const std::int64_t epoch = whole("epoch"), batch = whole("batch");
  const double loss_sum = number<double>(saved, "loss_sum", where);
  const double last_loss = number<double>(saved, "last_loss", where);
  const Count all{whole("correct"), whole("seen")},
      clean{whole("clean_correct"), whole("clean_seen")},
      corrupted{whole("corrupted_correct"), whole("corrupted_seen")};
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
  begin_epoch();
  batch_ = batch;
  loss_sum_ = loss_sum;
  all_ = all, clean_ = clean, corrupted_ = corrupted;
  fitted_ = fitted;
  stopped_ = stopped != 0;
  last_loss_ = last_loss;
  latest_.reset();
  sgd_.set_steps(epoch * config_.steps_per_epoch() + batch);
}

}  // namespace shatter::experiments
