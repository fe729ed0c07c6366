// What a finished job left: numbers, curves and where they come from, in its folder or kept as one
// small file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <shatter/experiments/runs/version.h>

namespace shatter::experiments {

/// Where a result was computed, and on which data.
struct Origin {
  std::string commit, device;
  int threads = 0;
  std::string data, provenance;
  std::string executable = executable_id();  ///< of the program that computed it
};

struct Result {
  nlohmann::json config;  ///< everything that decides the numbers: what is hashed
  /// By name. Of a training run "epochs", "steps", "learning_rate" and "last_loss", and of its last
  /// evaluations "train_percent" and "test_percent" (accuracies in percent), "train_correct",
  /// "train_size", "train_loss" and the same of "test".
  nlohmann::json numbers = nlohmann::json::object();
  /// Columns of equal length. A training run has a row for each epoch ("epoch", "step", "loss",
  /// "accuracy", "train_accuracy", "test_accuracy", ...), NaN where an epoch has no such number.
  std::map<std::string, std::vector<double>> curves = {};
  bool diverged = false;  ///< a training run whose loss was not finite; it has no accuracies
  double seconds = 0;
  Origin origin = {};

  std::uint64_t seed() const { return config.value("seed", std::uint64_t{0}); }
  /// A number by name; throws (data) without it.
  double number(const std::string& name) const;
};

/// Whether a configuration is that of a training run, a CellConfig; else it is a measurement's.
bool trains(const nlohmann::json& config);

/// A finished folder as one object: configuration, environment, result and curves. --keep stores
/// it.
nlohmann::json compact_result(const std::filesystem::path& folder);
/// Throws (data) naming `where` for what compact_result did not make.
Result result_of(const nlohmann::json& compact, const std::string& where);

/// The kept result of a job's name, if `folder` has it. Throws (data) when it is that of another
/// configuration, naming the keys.
std::optional<Result> find_kept(const std::filesystem::path& folder, const std::string& name,
                                const nlohmann::json& config);
/// Stores a finished folder as folder/<its name>.json.
void keep_result(const std::filesystem::path& folder, const std::filesystem::path& finished);
/// All results in `folder` and below, by path: of kept files and of finished folders. Throws (data)
/// without a folder.
std::vector<Result> kept_results(const std::filesystem::path& folder);

/// Reads JSON; throws (data) naming the path.
nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace shatter::experiments
