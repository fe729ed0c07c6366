// The folder of one cell: runs/<cell>-<hash8>/ with
//   config.json             what the run is; a folder whose configuration differs is refused
//   env.json                where it was computed, one entry for each session
//   metrics.jsonl           one line every few steps and one every epoch
//   checkpoint.safetensors  the state: weights, the optimizer's, position, metrics.jsonl's length
//   labels.npy              int32, the training labels where they are not the data set's own
//   plans.json              on a GPU: which plan computes each convolution, taken up on resuming
//   model.safetensors       the weights alone, as PyTorch names and lays them out
//   result.json             written last: the run is done (or diverged)
//   timing.json             wall times, apart from everything that is compared
//   work/                   what an interrupted measurement goes on from
//   lock                    held while a process works here
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <shatter/core/safetensors.h>
#include <shatter/experiments/train/cell.h>
#include <shatter/experiments/train/record.h>
#include <nlohmann/json_fwd.hpp>

namespace shatter::experiments {

/// A locked folder; one process at a time holds it.
class RunFolder {
 public:
  /// Creates and locks runs/<folder_name(config)>. Empty when another process holds it. Throws
  /// (data) when its config.json differs, naming the keys, or the system refuses.
  static std::optional<RunFolder> open(const std::filesystem::path& runs, const CellConfig& config);
  /// The same with runs/<name> for any configuration.
  static std::optional<RunFolder> open(const std::filesystem::path& runs, const std::string& name,
                                       const nlohmann::json& config);
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  ~RunFolder();

  const std::filesystem::path& path() const { return path_; }
  bool has_result() const;
  /// Removes everything but the configuration.
  void start_over();

  /// Adds a session to env.json.
  void add_session(const nlohmann::json& session);
  /// Adds one line, given without its end.
  void append_metrics(std::string_view line);
  /// Syncs metrics.jsonl, then saves the state with its length and the seconds trained so far.
  void save(NamedTensors state, double seconds);
  struct Saved {
    NamedTensors state;
    double seconds = 0;
  };
  /// The checkpoint, with metrics.jsonl cut to its length then; without one metrics.jsonl is
  /// emptied. Throws (data), saying how to go on, for a damaged file.
  std::optional<Saved> load();
  /// The convolution plans of earlier sessions; null without any. See convolution_plans.h.
  nlohmann::json plans() const;
  void save_plans(const nlohmann::json& plans);
  /// timing.json, then result.json.
  void finish(const nlohmann::json& result, double seconds);

  std::filesystem::path checkpoint_path() const { return path_ / "checkpoint.safetensors"; }
  /// For what a measurement needs to go on.
  std::filesystem::path work_path() const { return path_ / "work"; }

 private:
  RunFolder(std::filesystem::path path, int lock, std::string hash);
  void open_metrics(std::uintmax_t length);

  std::filesystem::path path_;
  std::string hash_;
  int lock_ = -1, metrics_ = -1;
};

/// The configuration and result of a finished run with where and how fast it was computed.
struct FinishedCell {
  CellConfig config;
  RunResult result;
  double seconds = 0;
  std::string commit, device, provenance, executable = {};
  int threads = 0;
  /// A column for each number of its epochs ("epoch", "step", "loss", "accuracy", "train_accuracy",
  /// "test_accuracy", ...), NaN where an epoch has none.
  std::map<std::string, std::vector<double>> curve = {};
};

/// A run as one small object: configuration, environment, result and a column for each number of
/// its epochs; of a measurement its own curves, with {status, numbers} as the result. This is what
/// --keep stores.
nlohmann::json compact_result(const std::filesystem::path& run_folder);
/// Throws (data) naming `where` for anything else.
FinishedCell finished_cell(const nlohmann::json& compact, const std::string& where);
/// Throws (data) unless `compact` holds the configuration its file is named for.
void check_kept(const std::filesystem::path& path, const nlohmann::json& expected,
                const nlohmann::json& compact);
/// What is kept in `folder` and below, by name: every JSON file with its content, every finished
/// run's folder with its compact_result. Throws (data) without a folder.
std::vector<std::pair<std::filesystem::path, nlohmann::json>> kept_files(
    const std::filesystem::path& folder);
/// Reads JSON; throws (data) naming the path.
nlohmann::json read_json(const std::filesystem::path& path);

/// The kept result of a cell in `folder`, if it is there.
std::optional<FinishedCell> find_kept(const std::filesystem::path& folder,
                                      const CellConfig& config);
void keep_result(const std::filesystem::path& folder, const CellConfig& config,
                 const std::filesystem::path& run_folder);
/// Whether a kept file holds a measurement, not a training run.
bool is_measurement(const nlohmann::json& compact);
/// All kept runs in `folder` and below, by path; measurements are passed over.
std::vector<FinishedCell> kept_results(const std::filesystem::path& folder);

}  // namespace shatter::experiments
