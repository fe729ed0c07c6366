// The paper's cells as users of the trainer.
#pragma once

#include <vector>

#include <shatter/experiments/train/cell.h>
#include <shatter/experiments/train/trainer.h>

namespace shatter::experiments {

/// What is trained: a model, which of its parameters CellConfig::weight_decay applies to, and data
/// with the corruption already applied.
struct TrainingTask {
  Module model;
  std::vector<NamedTensor> decayed;
  data::TrainTest data;
  std::vector<Metric> metrics = {};  ///< their names belong into CellConfig::probes
  data::Dataset held_out = {};       ///< evaluated with the test set; may be empty
};

struct TrainerOptions {
  Device device{};
  bool capture = true;  ///< on a CUDA device, replay captured steps; the same bits either way
};

class CellTrainer : public Trainer {
 public:
  /// Throws (usage) where config and data disagree.
  CellTrainer(const CellConfig& config, TrainingTask task, const TrainerOptions& options = {});
};

}  // namespace shatter::experiments
