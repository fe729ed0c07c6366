// Jobs: computations that are stored in folders of their own, done once, left when asked to, taken
// up again, and kept. A training run is a job, and so is a measurement.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <shatter/core/device.h>
#include <shatter/experiments/runs/progress.h>
#include <shatter/experiments/runs/result.h>
#include <shatter/experiments/runs/run_folder.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

/// How often a job saves its state: after so many seconds, steps or epochs, whichever are not 0.
struct CheckpointInterval {
  double seconds = 60;
  std::int64_t steps = 0, epochs = 0;
};

/// What a job needs, as far as it is known before it starts; else 0.
struct Need {
  double bytes = 0;  ///< of memory; a job that does not fit is refused
  double seconds = 0;
  double stored_bytes = 0;  ///< of its folder
};

/// How jobs are run; none of it changes their numbers.
struct RunSettings {
  std::filesystem::path runs = "runs";  ///< where the folders lie
  std::filesystem::path keep = {};      ///< empty: nothing is kept
  bool resume = true;                   ///< false: everything is computed afresh
  CheckpointInterval checkpoint_every = {};
  int threads = 1;                  ///< of all jobs together
  int jobs = 1;                     ///< so many at once
  bool fail_fast = false;           ///< begins no job after one failed or diverged
  Progress* progress = nullptr;     ///< may be null
  std::function<bool()> stop = {};  ///< true: finish the step, save, leave
};

/// What a job's computation is given.
struct JobContext {
  RunFolder& folder;  ///< locked
  Device device;
  std::string label, provenance;
  const RunSettings& settings;  ///< threads: this job's own, which cpu_context() has
};

/// What a computation gives back: result.json's content, and the seconds of all its sessions.
struct Computed {
  nlohmann::json result;
  double seconds = 0;
};

struct Job {
  std::string name;       ///< of its folder and kept file; ends in hash8(config)
  nlohmann::json config;  ///< Result::config
  std::string label;      ///< what progress calls it: "mnist/pixels seed 2 (quick)"
  Device device = {};
  std::string provenance = {};  ///< of its data, for env.json
  std::string size = {};        ///< for --dry-run: "39,100 steps of cifar10"; may be empty
  Need need = {};
  /// Goes on where the folder was left. Empty when it was asked to stop, everything saved.
  std::function<std::optional<Computed>(const JobContext&)> compute = {};
  /// A result in one line.
  std::function<std::string(const Result&)> describe = {};
};

struct Outcome {
  enum class Status { done, diverged, interrupted, failed, busy };
  Status status = Status::failed;
  Result result = {};                      ///< when done or diverged
  bool stored = false;                     ///< computed before, found in its folder or kept
  ErrorKind kind = ErrorKind::unexpected;  ///< when failed or diverged
  std::string message = {};                ///< when failed
};

/// Finds the job's result or computes it, on this thread and in a context of its own. busy: another
/// process has its folder. Errors become Status::failed.
Outcome run_job(const Job& job, const RunSettings& settings);

/// The outcomes in the order of `jobs`; interrupted for those never begun. A job that another
/// process holds is taken up again after the others, and waited for.
std::vector<Outcome> run_jobs(const std::vector<Job>& jobs, const RunSettings& settings);

/// What a command would do: a line for each job with its state (new, begun, done, kept, or afresh
/// with settings.resume off), its size and time, and the sum of what is to do.
std::string describe_jobs(const std::vector<Job>& jobs, const RunSettings& settings);

/// An entry of env.json: when, with what and on what this session runs.
nlohmann::json session_entry(const JobContext& context);

/// "1.2 GB"
std::string bytes_text(double bytes);

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace shatter::experiments
