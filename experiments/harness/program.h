// A whole experiment program from its rows: options, cells, training, table, exit code.
#pragma once

#include <functional>

#include <shatter/experiments/harness/reading.h>
#include <shatter/experiments/harness/run.h>
#include <shatter/experiments/harness/table.h>

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

/// Runs the program as its options say; the exit code. Results go to stdout, all else to stderr.
int run_table(const TableProgram& program, int argc, const char* const* argv);

/// The model CellConfig::model names, with its recipe's decayed parameters: the `task` of the
/// paper's tables.
TrainingTask paper_task(const CellConfig& config, const data::TrainTest& data);

}  // namespace shatter::experiments
