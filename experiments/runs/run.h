// Trains one cell in its folder: resuming, saving, stopping when asked, and keeping the result.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <shatter/experiments/runs/progress.h>
#include <shatter/experiments/runs/run_folder.h>
#include <shatter/experiments/train/trainer.h>

namespace shatter::experiments {

/// How often a run saves its state: after so many seconds, steps or epochs, whichever are not 0.
struct CheckpointInterval {
  double seconds = 60;
  std::int64_t steps = 0, epochs = 0;
};

/// A configuration with what makes its model and data.
struct Cell {
  CellConfig config;
  std::string label;  ///< what progress calls it
  std::function<TrainingTask(const CellConfig&)> task;
  std::string provenance = {};  ///< of its images, for env.json
};

/// What holds for all cells of a sweep and does not change their numbers.
struct RunSettings {
  std::filesystem::path runs = "runs";
  std::filesystem::path keep;  ///< empty: nothing is kept
  bool resume = true;
  CheckpointInterval checkpoint_every;
  Device device;
  int threads = 1;
  Progress* progress = nullptr;
  std::function<bool()> stop;  ///< true: finish the step, save, leave
};

struct Outcome {
  enum class Status { done, diverged, interrupted, failed, busy };
  Status status = Status::failed;
  FinishedCell finished;                   ///< when done or diverged
  bool stored = false;                     ///< computed before, found in its folder or kept
  ErrorKind kind = ErrorKind::unexpected;  ///< when failed
  std::string message;
};

/// An entry of env.json: when, with what and on what this session runs.
nlohmann::json session_entry(Device device, int threads, const std::string& provenance);

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// busy: another process has the cell. Errors become Status::failed.
Outcome run_cell(const Cell& cell, const RunSettings& settings);

/// "stored: " or "stored by another build of this program: ": what a line about a stored result
/// begins with.
std::string stored_text(const std::string& executable);

/// What a finished or diverged cell says in one line.
std::string describe(const FinishedCell& cell);

}  // namespace shatter::experiments
