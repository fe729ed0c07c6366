// The rows of a program that trains, and what is read off their runs.
#pragma once

#include <functional>

#include <shatter/experiments/report/program_info.h>
#include <shatter/experiments/report/reading.h>
#include <shatter/experiments/report/table.h>
#include <shatter/experiments/train/trainer.h>

namespace shatter::experiments {

struct TableProgram {
  ProgramInfo info;
  std::string title;  ///< "Table 1: ..."
  std::vector<Row> rows;
  /// Makes what a cell trains, from the cell's configuration and data.
  std::function<TrainingTask(const CellConfig&, const data::TrainTest&)> task;
  /// What is printed of the runs; without any, the accuracies of each row.
  std::vector<Reading> readings = {};
};

}  // namespace shatter::experiments
