// Programs whose rows are training runs.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <shatter/experiments/report/program_info.h>
#include <shatter/experiments/report/reading.h>
#include <shatter/experiments/report/table.h>
#include <shatter/experiments/train/cell_trainer.h>

namespace shatter::experiments {

/// A training run as the paper has it. The two configurations lack what the command line decides:
/// data set identity, seed, precision, device.
struct TrainingRow {
  std::string name;   ///< "inception/crop+wd": what --rows matches
  std::string title;  ///< as printed: "Inception"
  CellConfig full, quick;
  /// Of a row that is printed without readings: training and test accuracy, in percent.
  std::vector<Quantity> quantities = {};
};

struct TrainingProgram {
  ProgramInfo info;
  std::string title;  ///< "Table 1: ..."
  std::vector<TrainingRow> rows;
  /// Makes what a cell trains, from the cell's configuration and data.
  std::function<TrainingTask(const CellConfig&, const data::TrainTest&)> task;
  /// What is printed of the runs; without any, the accuracies of each row.
  std::vector<Reading> readings = {};
};

/// Training and test accuracy in percent, with the paper's numbers and accepted ranges at full
/// size.
std::vector<Quantity> accuracies(std::optional<double> paper_train = {},
                                 std::optional<Interval> train = {},
                                 std::optional<double> paper_test = {},
                                 std::optional<Interval> test = {});

/// How a configuration falls short of the full-size row: "", or some of "quick", "reduced",
/// "changed", "synthetic" joined by ", ". Reduced means fewer images or epochs than the full row,
/// changed another optimizer, batch, rate, stop rule, or more epochs.
std::string marks(const TrainingRow& row, const CellConfig& config);

/// The row without results, as `config` runs it with so many seeds.
RowReport report_of(const TrainingRow& row, const CellConfig& config, int wanted);

/// The program's table of these reports: its readings, or the rows' accuracies.
Table table_of(const TrainingProgram& program, const std::string& title,
               std::vector<RowReport> reports, std::vector<std::string> footer);

/// One table for each size, data set, device and precision among the results: full-size ones first.
/// Results that belong to no row of the program are passed over.
std::vector<Table> kept_tables(const TrainingProgram& program, const std::vector<Result>& results);

}  // namespace shatter::experiments
