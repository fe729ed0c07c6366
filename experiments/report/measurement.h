// Experiments that compute numbers outright instead of training a cell: kernel regression, a
// theorem, a norm. A measurement is stored like a training run, and computed once.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <shatter/core/device.h>
#include <shatter/data/randomize.h>
#include <shatter/experiments/report/program_info.h>
#include <shatter/experiments/report/table.h>
#include <shatter/experiments/runs/data_source.h>
#include <shatter/experiments/runs/job.h>
#include <nlohmann/json.hpp>

namespace shatter::experiments {

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

/// How parameters and data fall short of the row's full size: "" or some of "quick", "reduced" (a
/// size is smaller), "changed" (other parameters differ) and "synthetic" joined by ", ".
std::string marks(const MeasurementRow& row, const nlohmann::json& parameters,
                  const std::string& dataset);
/// "train_size=500, gamma=0.01": where parameters differ from the row's full ones.
std::vector<std::string> changes(const MeasurementRow& row, const nlohmann::json& parameters);

/// The row without results, with these parameters on a data set of this name, for so many seeds.
RowReport report_of(const MeasurementRow& row, const nlohmann::json& parameters,
                    const std::string& dataset, int wanted);

/// Computes the row. `config` is {program, row, data, parameters, seed where seeded, device,
/// precision}; `source` is null for rows without data.
Job measurement_job(const MeasurementRow& row, const nlohmann::json& config,
                    const std::string& label, Device device,
                    std::shared_ptr<const DataSource> source);

/// One table for each kind of size, data and device among the program's results, full-size ones
/// first; those of rows it no longer has are passed over.
std::vector<Table> kept_tables(const MeasurementProgram& program,
                               const std::vector<Result>& results);

}  // namespace shatter::experiments
