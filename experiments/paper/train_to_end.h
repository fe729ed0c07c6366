// A training run inside a measurement.
#pragma once

#include <optional>

#include <shatter/experiments/report/measurement.h>
#include <shatter/experiments/train/cell_trainer.h>

namespace shatter::experiments {

/// What a row that trains keeps of a run: sizes, epochs, batch, rates and stop rule.
nlohmann::json training_parameters(const CellConfig& config);
/// The run of `model` that context.parameters, seed, device and data ask for, without corruption.
CellConfig training_cell(const std::string& model, const MeasurementContext& context);

/// Trains task.model to the end in steps, saving into context.folder every minute and when stopped,
/// going on from what lies there. Empty when stopped; throws (diverged) when a loss is not finite.
std::optional<RunResult> train_to_end(const CellConfig& config, const TrainingTask& task,
                                      const MeasurementContext& context);

}  // namespace shatter::experiments
