// A training run inside a measurement.
#pragma once

#include <optional>

#include <shatter/experiments/harness/measurement.h>
#include <shatter/experiments/harness/trainer.h>

namespace shatter::experiments {

/// Trains task.model to the end in steps, saving into context.folder every minute and when stopped,
/// going on from what lies there. Empty when stopped; throws (diverged) when a loss is not finite.
std::optional<RunResult> train_to_end(const CellConfig& config, const TrainingTask& task,
                                      const MeasurementContext& context);

}  // namespace shatter::experiments
