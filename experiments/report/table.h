// Rows of a table, filled by finished runs, and their rendering.
#pragma once

#include <string>
#include <vector>

#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/report/verdict.h>
#include <shatter/experiments/runs/run_folder.h>

namespace shatter::experiments {

/// A row as the paper has it. The two configurations lack what the command line decides: data set
/// identity, seed, precision, device.
struct Row {
  std::string name;   ///< "inception/crop+wd": what --rows matches
  std::string model;  ///< as printed: "Inception"
  bool random_crop = false, random_labels = false;
  Reference paper;
  CellConfig full, quick;
};

/// How a configuration falls short of the full-size row: "", or some of "quick", "reduced",
/// "changed", "synthetic" joined by ", ". Reduced means fewer images or epochs than the full row,
/// changed another optimizer, batch, rate, stop rule, or more epochs.
std::string marks(const Row& row, const CellConfig& config);

struct RowReport {
  Row row;
  CellConfig config;  ///< of its first seed
  std::string mark;
  std::vector<FinishedCell> cells;  ///< one for each seed that has finished, diverged ones included
  std::vector<std::string> notes;   ///< why other seeds have not
  int wanted = 0;                   ///< seeds asked for

  Sample train, test;  ///< percent
  int diverged = 0;
  double epochs = 0;   ///< mean
  double seconds = 0;  ///< median
  Verdict verdict = Verdict::inconclusive;
  OwnCheck check;

  /// The paper's verdict if the row is full-size, else the mark with the row's own check; what is
  /// missing comes first.
  std::string judgement() const;
  /// Complete, and reproduced (full-size) or its own check passed (marked).
  bool accepted() const;
};

/// Computes the statistics and verdicts of a row.
RowReport make_report(const Row& row, const CellConfig& config, std::vector<FinishedCell> cells,
                      std::vector<std::string> notes, int wanted);

struct Table {
  std::string title;
  std::vector<RowReport> rows;
  std::vector<std::string> footer;  ///< "commit: 1a2b3c"
};
std::string render(const Table& table, Format format);

/// "89.05", "89.05 ± 0.21", "diverged", "-".
std::string mean_and_deviation(const Sample& sample, const char* plus_minus = " ± ");

}  // namespace shatter::experiments
