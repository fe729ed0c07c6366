// The paper's training runs on CIFAR-10 (ICLR 2017, section 3 and appendix A), at its size and in
// small.
#pragma once

#include <string>

#include <shatter/experiments/train/cell.h>
#include <shatter/experiments/train/cell_trainer.h>

namespace shatter::experiments {

/// A model with its recipe: 100 epochs, batch 128, momentum 0.9, centre crop 28, no regulariser.
CellConfig paper_run(const std::string& model, const data::Corruption& corruption = {});

/// The same on fewer images, until it fits them. The rates and small batches give every run steps
/// enough to fit its images and Inception's running averages time to settle.
CellConfig quick_run(const CellConfig& full);

/// The model CellConfig::model names, with its recipe's decayed parameters: the `task` of the
/// paper's tables.
TrainingTask paper_task(const CellConfig& config, const data::TrainTest& data);

}  // namespace shatter::experiments
