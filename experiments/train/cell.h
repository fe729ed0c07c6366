// A cell: one training run, by everything that changes its numbers. Cells are shared between
// programs: equal configurations have equal names and are trained once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <shatter/data/corruption.h>
#include <shatter/experiments/train/record.h>
#include <nlohmann/json_fwd.hpp>

namespace shatter::experiments {

/// Which images: by content, so that a damaged or changed file is another cell.
struct DataConfig {
  std::string name = "cifar10";
  std::map<std::string, std::string> checksums;        ///< MD5 by file name; empty for synthetic
  std::int64_t train_size = 50000, test_size = 10000;  ///< the first so many images
  std::int64_t held_out = 0;  ///< so many training images after those: evaluated, never trained on

  friend bool operator==(const DataConfig&, const DataConfig&) = default;
};

/// All of it is hashed. Threads, jobs, progress and folders are no part of it.
struct CellConfig {
  std::string model;
  DataConfig dataset;
  data::Corruption corruption;        ///< by name and parameters
  std::uint64_t corruption_seed = 1;  ///< hashed only where there is a corruption
  std::int64_t crop = 28;             ///< 0: the stored size
  bool random_crop = false, flip = false;
  double rotation = 0;            ///< degrees, uniform to both sides
  bool whiten = true;             ///< each image, as the paper does
  std::string optimizer = "sgd";  ///< one of optimizers()
  double learning_rate = 0.01;    ///< the largest
  /// "exponential": learning_rate_decay per epoch; "step": a tenth after half and after three
  /// quarters of the epochs; "cosine": down to 0 along half a cosine.
  std::string schedule = "exponential";
  double learning_rate_decay = 0.95;  ///< of the exponential schedule; 1 with the others
  std::int64_t warm_up = 0;           ///< epochs in which the rate rises, before the schedule
  double momentum = 0.9;              ///< of sgd and rmsprop; 0 with the others
  double weight_decay = 0;
  std::int64_t epochs = 100;
  std::int64_t batch = 128;
  std::uint64_t seed = 1;  ///< of first weights, order and crops, by derived seeds
  std::string precision = "fp32";
  std::string device = "cpu";  ///< the kind
  /// On a GPU the fastest convolution plans instead of cuDNN's first: they sum in another order.
  bool autotune = false;
  StopRule stop;
  std::int64_t evaluate_every = 1;  ///< epochs between test accuracies; the last is always there
  std::vector<std::string> probes;  ///< names of further metrics of each epoch

  std::int64_t steps_per_epoch() const { return (dataset.train_size + batch - 1) / batch; }
  friend bool operator==(const CellConfig&, const CellConfig&) = default;
};

/// How a field is stored and asked for.
struct FieldTraits {
  const char* option = nullptr;  ///< on the command line: "--epochs"
  bool is_size = false;          ///< part of how large or how long a run is
  /// Written where it is not the default alone, so that what is added later renames no earlier run.
  bool is_optional = false;
};

/// Calls visit(key in the JSON, member, traits) for every field, in the order of printed options.
/// The corruption comes with its seed, as a pair of references.
template <class Config, class Visit>
void for_each_field(Config& c, Visit&& visit) {
  visit("model", c.model, FieldTraits{});
  visit("data.name", c.dataset.name, FieldTraits{});
  visit("data.checksums", c.dataset.checksums, FieldTraits{});
  visit("data.train_size", c.dataset.train_size, FieldTraits{"--train-size", true});
  visit("data.test_size", c.dataset.test_size, FieldTraits{"--test-size", true});
  visit("data.held_out", c.dataset.held_out, FieldTraits{.is_optional = true});
  visit("data.corruption", std::tie(c.corruption, c.corruption_seed), FieldTraits{});
  visit("data.crop", c.crop, FieldTraits{});
  visit("data.random_crop", c.random_crop, FieldTraits{});
  visit("data.flip", c.flip, FieldTraits{.is_optional = true});
  visit("data.rotation", c.rotation, FieldTraits{.is_optional = true});
  visit("data.whiten", c.whiten, FieldTraits{.is_optional = true});
  visit("epochs", c.epochs, FieldTraits{"--epochs", true});
  visit("evaluate_every", c.evaluate_every, FieldTraits{"--evaluate-every"});
  visit("optimizer.batch", c.batch, FieldTraits{"--batch", true});
  visit("optimizer.learning_rate", c.learning_rate, FieldTraits{"--learning-rate", true});
  visit("optimizer.learning_rate_decay", c.learning_rate_decay,
        FieldTraits{"--learning-rate-decay", true});
  visit("optimizer.name", c.optimizer, FieldTraits{"--optimizer", true});
  visit("optimizer.schedule", c.schedule, FieldTraits{"--schedule", true, true});
  visit("optimizer.warm_up", c.warm_up, FieldTraits{"--warm-up", true, true});
  visit("optimizer.momentum", c.momentum, FieldTraits{"--momentum", true});
  visit("optimizer.weight_decay", c.weight_decay, FieldTraits{"--weight-decay", true});
  visit("stop.loss", c.stop.loss, FieldTraits{nullptr, true});
  visit("stop.epochs", c.stop.epochs, FieldTraits{nullptr, true});
  visit("probes", c.probes, FieldTraits{});
  visit("seed", c.seed, FieldTraits{});
  visit("precision", c.precision, FieldTraits{});
  visit("device", c.device, FieldTraits{});
  visit("autotune", c.autotune, FieldTraits{.is_optional = true});
}

/// Names of optimizers and schedules that CellConfig knows.
const std::vector<std::string>& optimizers();
const std::vector<std::string>& schedules();
/// Whether the optimizer has CellConfig::momentum.
bool has_momentum(const std::string& optimizer);

nlohmann::json to_json(const CellConfig& config);
/// Throws (data), naming `where`, for a missing, unknown or misspelt key.
CellConfig cell_config(const nlohmann::json& json, const std::string& where);
/// Sets the fields of these options: {"--epochs": 5}. Throws (usage) for an option of no field.
void set_options(CellConfig& config, const nlohmann::json& options);
/// The options that make `config` of `usual`: " --epochs 5 --batch 32".
std::string options_between(const CellConfig& usual, const CellConfig& config);
/// Whether both are equally large and long, in all fields of FieldTraits::is_size.
bool same_size(const CellConfig& a, const CellConfig& b);

/// Eight hexadecimal digits of the canonical JSON (keys sorted, no spaces): FNV-1a, folded.
std::string hash8(const nlohmann::json& json);
/// "mlp-1x512-random-labels-seed1-1a2b3c4d": model, data variant and seed, then the hash.
std::string folder_name(const CellConfig& config);

/// Where two configurations differ, one line per key: "optimizer.batch: 128, here 64".
std::vector<std::string> differences(const nlohmann::json& expected, const nlohmann::json& found);

/// The seeds of a run's parts. With another CellConfig::seed and the same corruption_seed the
/// corruption stays and everything else changes.
struct Seeds {
  std::uint64_t initialize = 0, shuffle = 0, augment = 0, corrupt = 0;
};
Seeds seeds_of(const CellConfig& config);

}  // namespace shatter::experiments
