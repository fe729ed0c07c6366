// Training runs as jobs.
#pragma once

#include <functional>
#include <string>

#include <shatter/experiments/runs/job.h>
#include <shatter/experiments/train/cell_trainer.h>

namespace shatter::experiments {

/// Makes what a cell trains; called when the run begins, on its thread.
using MakeTask = std::function<TrainingTask(const CellConfig&)>;

/// What a model costs: forward multiply-adds for an image, parameters.
struct ModelCost {
  std::int64_t multiply_adds = 0, parameters = 0;
};
ModelCost model_cost(Module model, std::int64_t crop, std::int64_t channels);

/// What a run takes at most, guessed from its arithmetic: training costs three forward passes.
Need estimated_need(const CellConfig& config, const ModelCost& cost, int threads);

/// Trains the cell on `device`, saving its state at the settings' intervals: an interrupted run
/// goes on to the same bits. Its folder holds the epochs' numbers, the weights, corrupted labels,
/// and on a GPU the convolutions' plans.
Job training_job(const CellConfig& config, const std::string& label, MakeTask task,
                 Device device = {}, const std::string& provenance = {}, const Need& need = {});

}  // namespace shatter::experiments
