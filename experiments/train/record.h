// What a run reports: epochs for its curves, and a result. Nothing here depends on time or threads.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace shatter::experiments {

/// Stop once the training accuracy is 100 % (where labels are classes) and the epoch's mean loss
/// below `loss`, for `epochs` epochs in a row; 0 epochs: never.
struct StopRule {
  double loss = 1e-3;
  std::int64_t epochs = 5;

  friend bool operator==(const StopRule&, const StopRule&) = default;
};

/// A pass over a data set in inference mode, centre crop.
struct Evaluation {
  std::int64_t correct = 0, size = 0;
  double loss = 0;           ///< mean; NaN of an empty set
  bool has_accuracy = true;  ///< false where labels are no classes
  /// In [0, 1]; NaN where there is none.
  double accuracy() const {
    if (!has_accuracy || size == 0) return std::numeric_limits<double>::quiet_NaN();
    return static_cast<double>(correct) / static_cast<double>(size);
  }
};

struct EpochRecord {
  std::int64_t epoch = 0;  ///< 1 is the first
  std::int64_t step = 0;   ///< steps done at its end
  double learning_rate = 0;
  double loss = 0;      ///< mean over the epoch's images of the minibatch losses, as trained
  double accuracy = 0;  ///< of the same minibatches: the online training accuracy, or NaN
  /// Online, of the images whose label is true or not; empty where no label was changed.
  std::optional<double> clean_accuracy = {}, corrupted_accuracy = {};
  std::optional<Evaluation> train = {}, test = {}, held_out = {};
  std::vector<std::pair<std::string, double>> metrics = {};  ///< further numbers, by name
};

struct RunResult {
  bool diverged = false;
  std::int64_t epochs = 0, steps = 0;
  bool stopped_early = false;
  Evaluation train = {}, test = {};  ///< after the last epoch; empty when diverged
  double learning_rate = 0;          ///< of the last step, or of the step that diverged
  double last_loss = 0;              ///< the last finite minibatch loss
};

nlohmann::json to_json(const EpochRecord& record);
nlohmann::json to_json(const RunResult& result);
/// Throws (data) naming `where`.
RunResult run_result(const nlohmann::json& json, const std::string& where);

}  // namespace shatter::experiments
