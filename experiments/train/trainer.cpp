// The training loop, its evaluations and its state.
#include <shatter/experiments/train/trainer.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include <shatter/core/autograd.h>
#include <shatter/core/indexing.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>
#include <shatter/core/text.h>
#include <shatter/data/checksum.h>

namespace shatter::experiments {
namespace {

constexpr std::int64_t evaluation_batch = 256;
/// Steps in one capture, so that short steps are not bound by the time it takes to replay one.
constexpr std::int64_t steps_at_once = 16;
constexpr const char* identity_key = "training";  // of a checkpoint's metadata

/// Whether each label is what it was before the corruption; empty without one.
std::vector<std::uint8_t> true_labels(const data::Dataset& dataset) {
  if (!dataset.true_labels.defined()) return {};
  const auto now = dataset.labels.values<std::int32_t>();
  const auto before = dataset.true_labels.values<std::int32_t>();
  std::vector<std::uint8_t> same(now.size());
  for (std::size_t i = 0; i < now.size(); ++i) same[i] = now[i] == before[i];
  return same;
}

void check_training(const Training& training, const data::TrainTest& data,
                    const data::Dataset& held_out) {
  check(training.batch > 0 && training.epochs > 0 && training.evaluate_every > 0 &&
            data.train.size() > 0,
        "Trainer: batch ", training.batch, ", ", training.epochs, " epochs, evaluated every ",
        training.evaluate_every, ", ", data.train.size(), " images; all must be positive");
  check(static_cast<bool>(training.optimizer) && static_cast<bool>(training.loss),
        "Trainer: an optimizer and a loss must be given");
  check(std::isfinite(training.clip_norm) && training.clip_norm >= 0, "Trainer: clip_norm is ",
        training.clip_norm, ", expected a norm, or 0 for none");
  data::check_dataset("Trainer", data.train);
  data::check_labels("Trainer", data.train);
  for (const data::Dataset* other : {&data.test, &held_out}) {
    if (other->size() == 0) continue;
    data::check_dataset("Trainer", *other);
    data::check_labels("Trainer", *other);
    check(other->labels.dtype() == data.train.labels.dtype(), "Trainer: ", other->name,
          " has labels ", other->labels.str(), ", the training set ", data.train.labels.str());
  }
  const std::set<std::string> known = precisions(training.device);
  check(known.contains(name_of(training.precision)), "Trainer: precision ",
        name_of(training.precision), " on ", training.device.name(), "; it has ", joined(known));
}

/// Checked, and the model on its device with its first values.
Training prepared(Training training, const data::TrainTest& data, const data::Dataset& held_out) {
  check_training(training, data, held_out);
  if (training.initialize)
    initialize(training.model, {.seed = derive_seed(training.seed, "initialize")});
  to(training.model, training.device);
  return training;
}

/// The learning rate of every step of the run.
std::vector<double> all_rates(const optim::Optimizer& optimizer, std::int64_t steps) {
  std::vector<double> rates(static_cast<std::size_t>(steps));
  for (std::size_t i = 0; i < rates.size(); ++i)
    rates[i] = optimizer.learning_rate_at(std::int64_t(i));
  return rates;
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

/// Eight hexadecimal digits of what a tensor holds.
std::string digest(const Tensor& tensor) {
  const Tensor here = tensor.to(Device::cpu()).packed();
  return data::sha256({reinterpret_cast<const char*>(here.raw()), here.bytes()}).substr(0, 8);
}

}  // namespace

Metric test_metric(std::string name,
                   std::function<double(const Tensor& outputs, const Tensor& targets)> of) {
  return {std::move(name), [of = std::move(of)](Trainer& trainer) {
            const data::Dataset& test = trainer.data().test;
            return of(trainer.outputs(test), test.labels);
          }};
}

Trainer::Trainer(Training training, data::TrainTest data, data::Dataset held_out)
    : training_(prepared(std::move(training), data, held_out)),
      shuffle_seed_(derive_seed(training_.seed, "shuffle")),
      augment_seed_(derive_seed(training_.seed, "augment")),
      data_{packed(data.train.to(training_.device)), packed(data.test.to(training_.device))},
      held_out_(packed(held_out.to(training_.device))),
      optimizer_(training_.optimizer(training_.model)),
      state_(training_.device, data_.train.size(),
             all_rates(*optimizer_, training_.epochs * steps_per_epoch()), true_labels(data.train)),
      one_batch_(
          training_.device, [this] { give_step(training_.batch); }, training_.capture),
      sixteen_batches_(
          training_.device,
          [this] {
            for (std::int64_t i = 0; i < steps_at_once; ++i) give_step(training_.batch);
          },
          training_.capture),
      last_batch_(
          training_.device, [this] { give_step((data_.train.size() - 1) % training_.batch + 1); },
          training_.capture),
      evaluate_train_(*this, data_.train),
      evaluate_test_(*this, data_.test) {
  if (held_out_.size() > 0) evaluate_held_out_.emplace(*this, held_out_);
  set_step(training_.model, state_.step());
  optimizer_->rate().fill(optimizer_->learning_rate_at(0));
  begin_epoch();
}

void Trainer::on_step(std::function<void(Trainer&, std::int64_t, double)> callback) {
  on_step_ = std::move(callback);
}

void Trainer::on_epoch(std::function<void(Trainer&, const EpochRecord&)> callback) {
  on_epoch_ = std::move(callback);
}

void Trainer::checkpoint(const std::filesystem::path& path, double seconds) {
  checkpoint_ = path;
  checkpoint_seconds_ = seconds;
  const data::Pipeline& in = training_.input;
  std::string decays;
  for (const optim::ParameterGroup& group : optimizer_->groups())
    decays += text(" ", group.parameters.size(), " with decay ", exact(group.weight_decay));
  identity_ = text(
      training_.epochs, " epochs, batch ", training_.batch, ", seed ", training_.seed, ", ",
      name_of(training_.precision), ", ", data_.train.name, " ", data_.train.images.str(), " ",
      digest(data_.train.images), " with labels ", digest(data_.train.labels), ", crop ", in.crop,
      " padding ", in.padding, in.random_crop ? " random" : "", in.flip ? " flip" : "",
      in.whiten ? " whiten" : "", ", rotation ", in.rotation, ", clip ", training_.clip_norm,
      ", stop ", training_.stop.loss, " ", training_.stop.epochs, ", ", optimizer_->name(), decays,
      ", first rate ", exact(optimizer_->learning_rate_at(0)), ", last ",
      exact(optimizer_->learning_rate_at(training_.epochs * steps_per_epoch())));
}

void Trainer::save() {
  NamedTensors content = state();
  content.metadata[identity_key] = identity_;
  save_safetensors(checkpoint_.string(), content);
}

void Trainer::load() {
  const std::string where = checkpoint_.string();
  const NamedTensors saved = load_safetensors(where);
  const auto found = saved.metadata.find(identity_key);
  const std::string other = found == saved.metadata.end() ? "it does not say which" : found->second;
  if (other != identity_)
    fail(ErrorKind::data, where, " is of another training: ", other, "\nhere: ", identity_);
  restore(saved, where);
}

std::optional<RunResult> Trainer::run(const Cancelled& cancelled) {
  const bool saves = !checkpoint_.empty();
  if (saves && std::filesystem::exists(checkpoint_)) load();
  stop_asked_ = false;
  const Cancelled leaves = [&] { return stop_asked_ || (cancelled && cancelled()); };
  using Clock = std::chrono::steady_clock;
  Clock::time_point saved_at = Clock::now();
  while (!finished() && !leaves()) {
    std::int64_t number = steps();
    const std::int64_t count = training_.device.is_cuda() ? 64 : 1;
    for (const double loss : epoch_ended() ? std::vector<double>() : advance(count)) {
      if (!std::isfinite(loss))
        fail(ErrorKind::diverged, "the loss at step ", steps() + 1, " is not finite");
      if (on_step_) on_step_(*this, ++number, loss);
    }
    if (epoch_ended()) {
      const std::optional<EpochRecord> record = finish_epoch(leaves);
      if (record && on_epoch_) on_epoch_(*this, *record);
    }
    const std::chrono::duration<double> since = Clock::now() - saved_at;
    if (saves && since.count() >= checkpoint_seconds_) {
      save();
      saved_at = Clock::now();
    }
  }
  if (saves) save();
  return finished() ? result(leaves) : std::nullopt;
}

Tensor Trainer::outputs(const data::Dataset& dataset) {
  const NoGrad no_grad;
  const PrecisionGuard precision(training_.device, training_.precision);
  set_training(training_.model, false);
  std::vector<Tensor> parts;
  for (const data::Batch& batch : data::batches(
           dataset.to(training_.device),
           {.size = evaluation_batch, .shuffle = false, .input = training_.input.deterministic()}))
    parts.push_back(outputs_of(batch.x));
  return concat(parts, 0);
}

void Trainer::begin_epoch() {
  batches_done_ = 0;
  counts_ = {};
  if (finished()) return;
  if (drawn_epoch_ != epochs_done_) draw_order(epochs_done_);
  state_.set_order(drawn_order_);
  state_.set(epochs_done_, 0, epochs_done_ * steps_per_epoch(), counts_);
}

void Trainer::draw_order(std::int64_t epoch) {
  drawn_order_ = random_permutation(
      {shuffle_seed_, Stream::shuffle, static_cast<std::uint32_t>(epoch)}, data_.train.size());
  drawn_epoch_ = epoch;
}

void Trainer::draw_next_order() {
  if (drawn_epoch_ <= epochs_done_ && epochs_done_ + 1 < training_.epochs)
    draw_order(epochs_done_ + 1);
}

Tensor Trainer::outputs_of(const Tensor& x) {
  if (training_.precision != Precision::bfloat16) return training_.model(x);
  return training_.model(x.to(DType::bfloat16)).to(DType::float32);
}

Tensor Trainer::loss_of(const Tensor& outputs, const Tensor& targets) const {
  check(!has_accuracy() || (outputs.rank() == 2 && outputs.dim(0) == targets.dim(0) &&
                            outputs.dim(1) >= data_.train.classes),
        "Trainer: the model's outputs are ", outputs.str(), ", expected a score for each of ",
        data_.train.classes, " classes; without them set Training::accuracy = false");
  const Tensor loss = training_.loss(outputs, targets);
  check(loss.numel() == 1 && (loss.dtype() == DType::float32 || loss.dtype() == DType::float64),
        "Trainer: the loss is ", loss.str(), ", expected one float32 or float64 number");
  return loss;
}

void Trainer::give_step(std::int64_t size) {
  const PrecisionGuard precision(training_.device, training_.precision);
  Module& model = training_.model;
  const data::Batch batch = data::empty_batch(data_.train, training_.input, size);
  data::fill_batch(data_.train, state_.order(), state_.position(), training_.input, augment_seed_,
                   batch.x, batch.y);
  set_training(model, true);
  const Tensor outputs = outputs_of(batch.x);
  const Tensor loss = loss_of(outputs, batch.y);
  state_.check_loss(loss);
  zero_grad(model);
  backward(loss);
  if (training_.clip_norm > 0)
    optim::clip_gradient_norm(optimizer_->parameters(), training_.clip_norm);
  optimizer_->update(state_.stopped());
  state_.finish_step(outputs, batch.y, loss, optimizer_->rate(), has_accuracy());
}

std::vector<double> Trainer::advance(std::int64_t count) {
  check(!epoch_ended() && !finished() && count >= 1,
        "Trainer::advance: the epoch or the run has ended, or no step was asked for");
  count = std::min({count, steps_per_epoch() - batches_done_, StepState::ring});
  const std::int64_t first = steps();
  const std::int64_t whole = data_.train.size() / training_.batch;  // full batches of an epoch
  for (std::int64_t given = 0; given < count;) {
    const std::int64_t full = std::min(count - given, whole - batches_done_ - given);
    if (full >= steps_at_once) {
      sixteen_batches_();
      given += steps_at_once;
    } else {
      full > 0 ? one_batch_() : last_batch_();
      ++given;
    }
  }
  draw_next_order();  // while a GPU works
  const StepState::Values values = state_.read();
  std::vector<double> losses = values.losses_from(first);
  if (!losses.empty()) {
    latest_.reset();
    last_loss_ = losses.back();
  }
  counts_ = values.counts;
  batches_done_ += values.step - first;
  optimizer_->set_steps(values.step);
  if (values.stopped) losses.push_back(std::numeric_limits<double>::quiet_NaN());
  return losses;
}

Trainer::Evaluator::Evaluator(Trainer& trainer, const data::Dataset& dataset)
    : trainer_(trainer),
      dataset_(dataset),
      state_(trainer.training_.device, dataset.size(), {0.0}, {}),
      full_batch_(
          trainer.training_.device, [this] { batch(evaluation_batch); }, trainer.training_.capture),
      last_batch_(
          trainer.training_.device, [this] { batch(dataset_.size() % evaluation_batch); },
          trainer.training_.capture) {
  std::vector<std::int64_t> order(std::size_t(dataset.size()));
  std::iota(order.begin(), order.end(), 0);
  state_.set_order(order);
}

void Trainer::Evaluator::batch(std::int64_t size) {
  const NoGrad no_grad;
  const Training& training = trainer_.training_;
  const PrecisionGuard precision(training.device, training.precision);
  set_training(training.model, false);
  const data::Pipeline input = training.input.deterministic();
  const data::Batch batch = data::empty_batch(dataset_, input, size);
  data::fill_batch(dataset_, state_.order(), state_.position(), input, 0, batch.x, batch.y);
  const Tensor outputs = trainer_.outputs_of(batch.x);
  state_.finish_step(outputs, batch.y, trainer_.loss_of(outputs, batch.y),
                     Tensor::zeros({1}, DType::float64, training.device), trainer_.has_accuracy());
}

std::optional<Evaluation> Trainer::Evaluator::operator()(const Cancelled& cancelled) {
  state_.set(0, 0, 0, {});
  for (std::int64_t i = 0; i < dataset_.size(); i += evaluation_batch) {
    if (cancelled && cancelled()) return std::nullopt;
    i + evaluation_batch <= dataset_.size() ? full_batch_() : last_batch_();
  }
  const kernels::StepCounts counts = state_.read().counts;
  const std::int64_t size = dataset_.size();
  return Evaluation{.correct = counts.correct,
                    .size = size,
                    .loss = counts.loss / static_cast<double>(size),
                    .has_accuracy = trainer_.has_accuracy()};
}

std::optional<EpochRecord> Trainer::finish_epoch(const Cancelled& cancelled) {
  check(epoch_ended(), "Trainer::finish_epoch: batch ", batches_done_, " of ", steps_per_epoch());
  const bool last = epochs_done_ + 1 == training_.epochs;
  EpochRecord record{
      .epoch = epochs_done_ + 1,
      .step = steps(),
      .learning_rate = optimizer_->learning_rate_at(steps() - 1),
      .loss = mean_loss(),
      .accuracy = online_accuracy(),
      .clean_accuracy = share(counts_.clean_correct, counts_.clean_seen),
      .corrupted_accuracy = share(counts_.corrupted_correct, counts_.corrupted_seen)};
  const auto satisfies = [&](double accuracy) {
    return (!has_accuracy() || accuracy == 1) && record.loss < training_.stop.loss;
  };
  const bool due = last || record.epoch % training_.evaluate_every == 0;
  if (due) {
    record.test = evaluate_test_(cancelled);
    if (!record.test) return std::nullopt;
    if (evaluate_held_out_) {
      record.held_out = (*evaluate_held_out_)(cancelled);
      if (!record.held_out) return std::nullopt;
    }
  }
  const bool worth = !has_accuracy() || record.accuracy >= worth_evaluating;
  if (last || satisfies(record.accuracy) || (due && worth)) {
    record.train = evaluate_train_(cancelled);
    if (!record.train) return std::nullopt;
  }
  if (due) {
    for (const Metric& metric : training_.metrics) {
      const NoGrad no_grad;
      set_training(training_.model, false);
      record.metrics.emplace_back(metric.name, metric.measure(*this));
    }
  }
  if (record.train && record.test) latest_ = {*record.train, *record.test};
  const bool fits = satisfies(record.train ? record.train->accuracy() : record.accuracy);
  fitted_epochs_ = fits ? fitted_epochs_ + 1 : 0;
  stopped_ = training_.stop.epochs > 0 && fitted_epochs_ >= training_.stop.epochs;
  ++epochs_done_;
  begin_epoch();
  return record;
}

std::optional<RunResult> Trainer::result(const Cancelled& cancelled) {
  const auto train = latest_ ? latest_->first : evaluate_train_(cancelled);
  if (!train) return std::nullopt;
  const auto test = latest_ ? latest_->second : evaluate_test_(cancelled);
  if (!test) return std::nullopt;
  return RunResult{
      .epochs = epochs_done_,
      .steps = steps(),
      .stopped_early = epochs_done_ < training_.epochs,
      .train = *train,
      .test = *test,
      .learning_rate = optimizer_->learning_rate_at(std::max<std::int64_t>(steps() - 1, 0)),
      .last_loss = last_loss_};
}

RunResult Trainer::diverged() const {
  return {.diverged = true,
          .epochs = epochs_done_,
          .steps = steps(),
          .learning_rate = learning_rate(),
          .last_loss = last_loss_};
}

std::int64_t Trainer::steps_per_epoch() const {
  return (data_.train.size() + training_.batch - 1) / training_.batch;
}

std::int64_t Trainer::images() const {
  return epochs_done_ * data_.train.size() +
         std::min(batches_done_ * training_.batch, data_.train.size());
}

double Trainer::mean_loss() const {
  return counts_.seen ? counts_.loss / static_cast<double>(counts_.seen) : 0;
}

double Trainer::online_accuracy() const {
  if (!has_accuracy()) return std::numeric_limits<double>::quiet_NaN();
  return share(counts_.correct, counts_.seen).value_or(0);
}

NamedTensors Trainer::state() const {
  NamedTensors state;
  for (const NamedTensor& entry : named_state(training_.model)) {
    state.tensors["model." + entry.name] = entry.tensor.detach();
  }
  for (const NamedTensor& entry : optimizer_->state()) state.tensors[entry.name] = entry.tensor;
  state.metadata = {{"epoch", exact(epochs_done_)},
                    {"batch", exact(batches_done_)},
                    {"loss_sum", exact(counts_.loss)},
                    {"correct", exact(counts_.correct)},
                    {"seen", exact(counts_.seen)},
                    {"clean_correct", exact(counts_.clean_correct)},
                    {"clean_seen", exact(counts_.clean_seen)},
                    {"corrupted_correct", exact(counts_.corrupted_correct)},
                    {"corrupted_seen", exact(counts_.corrupted_seen)},
                    {"fitted_epochs", exact(fitted_epochs_)},
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
  if (epoch < 0 || epoch > training_.epochs || batch < 0 || batch > steps_per_epoch()) {
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
  for (const auto& [name, tensor] : saved.tensors)
    if (!own.tensors.contains(name))
      fail(ErrorKind::data, where, ": tensor ", name, " is of another model or optimizer");
  for (const auto& [name, tensor] : own.tensors) tensor.copy_from(saved.tensors.at(name));
  epochs_done_ = epoch;
  stopped_ = stopped != 0;
  begin_epoch();
  batches_done_ = batch;
  counts_ = counts;
  fitted_epochs_ = fitted;
  last_loss_ = last_loss;
  latest_.reset();
  optimizer_->set_steps(epoch * steps_per_epoch() + batch);
  optimizer_->rate().fill(optimizer_->learning_rate());
  state_.set(epoch, batch * training_.batch, steps(), counts_);
}

}  // namespace shatter::experiments
