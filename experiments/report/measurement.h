// Experiments that compute numbers outright instead of training a cell: kernel regression, a
// theorem, a norm. A measurement is stored like a training run, and computed once.
#pragma once

#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <shatter/core/device.h>
#include <shatter/data/randomize.h>
#include <shatter/experiments/report/program_info.h>
#include <shatter/experiments/report/statistics.h>
#include <shatter/experiments/report/verdict.h>
#include <shatter/experiments/runs/progress.h>
#include <nlohmann/json.hpp>

namespace shatter::experiments {

/// A number a measurement yields, and how it is judged.
struct Quantity {
  std::string name;   ///< its key in Measured::numbers: "test_error"
  std::string title;  ///< as printed, with its unit: "test error, %"
  std::string format = "%.2f";
  std::optional<double> paper = {};  ///< the published value, printed beside ours
  std::optional<Interval> accepted =
      {};  ///< where the mean must lie at full size; ends may be infinite
  std::optional<Interval> quick = {};  ///< where it must lie in quick, reduced and synthetic runs
};

/// Ranges with one end, and of one value.
inline Interval at_most(double high) {
  return {-std::numeric_limits<double>::infinity(), high};
}
inline Interval at_least(double low) {
  return {low, std::numeric_limits<double>::infinity()};
}
inline Interval exactly(double value) {
  return {value, value};
}

/// Numbers by name, and curves: columns of equal length by name ({"gamma": [...], "norm": [...]}).
struct Measured {
  nlohmann::json numbers = nlohmann::json::object();
  nlohmann::json curves = nlohmann::json::object();
};

/// What a computation is given.
struct MeasurementContext {
  nlohmann::json parameters;  ///< the row's, with what the command line changed
  std::uint64_t seed = 1;
  data::TrainTest
      data;           ///< cut to parameters train_size and test_size; empty for rows without data
  int threads = 1;    ///< cpu_context() already has as many
  Device device;      ///< the CPU unless the row can use a GPU
  std::string label;  ///< what progress calls it
  Progress* progress = nullptr;  ///< may be null
  /// True: save what is needed to go on and return nothing.
  std::function<bool()> stop;
  /// Exists, and is its own: for files that let an interrupted one go on. Removed at the end.
  std::filesystem::path folder;

  bool stopped() const { return stop && stop(); }
  /// Says that `part` in [0, 1] is done, and what is done now.
  void show(double part, const std::string& what) const {
    if (progress) progress->update(label, part, what);
  }
};

/// What it needs, known before it starts: programs print it, and refuse what does not fit.
struct Need {
  double bytes = 0, seconds = 0;
};

struct MeasurementRow {
  std::string name;          ///< "mnist/pixels": what --rows matches
  std::string title;         ///< as printed: "MNIST, pixels"; "n = {n}" shows a parameter
  std::string dataset = {};  ///< "mnist", "cifar10", or "" for none
  /// Everything that changes the numbers but data, seed, device and precision. The keys train_size
  /// and test_size, where present, cut the data; --set KEY=VALUE changes any. quick null: the row
  /// has no quick version, and --quick leaves it out.
  nlohmann::json full = {}, quick = {};
  bool seeded = false;             ///< has random parts: runs for every seed
  bool gpu = false;                ///< computes on context.device; others take the CPU only
  std::string precision = "fp64";  ///< what it computes in
  std::vector<Quantity> quantities = {};
  std::function<Need(const nlohmann::json& parameters, Device device)> need = {};  ///< may be empty
  /// Throws (usage), before anything is begun, for parameters that make no sense; may be empty.
  std::function<void(const nlohmann::json& parameters)> check = {};
  /// Empty when stopped. Deterministic in parameters, seed and data, whatever the threads.
  std::function<std::optional<Measured>(const MeasurementContext&)> compute = {};
};

struct MeasurementProgram {
  ProgramInfo info;
  std::string title;
  std::vector<MeasurementRow> rows{};
};

/// Throws (usage) unless each of these parameters is positive, or a list of positive numbers.
void require_positive(const nlohmann::json& parameters, std::initializer_list<const char*> keys);

}  // namespace shatter::experiments
