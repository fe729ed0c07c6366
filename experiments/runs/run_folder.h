// The folder of one job: runs/<name>-<hash8>/ with
//   config.json             what the job is; a folder whose configuration differs is refused
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
#include <optional>
#include <string>
#include <string_view>

#include <shatter/core/safetensors.h>
#include <nlohmann/json_fwd.hpp>

namespace shatter::experiments {

/// A locked folder; one process at a time holds it.
class RunFolder {
 public:
  /// Creates and locks runs/<name>. Empty when another process holds it. Throws (data) when its
  /// config.json differs, naming the keys, or the system refuses.
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
  /// For what a measurement needs to go on; finish() removes it.
  std::filesystem::path work_path() const { return path_ / "work"; }

 private:
  RunFolder(std::filesystem::path path, int lock, std::string hash);
  void open_metrics(std::uintmax_t length);

  std::filesystem::path path_;
  std::string hash_;
  int lock_ = -1, metrics_ = -1;
};

}  // namespace shatter::experiments
