// Rows filled by results, their judgements, and tables of them in four formats.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <shatter/experiments/report/quantity.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/progress.h>
#include <shatter/experiments/runs/result.h>

namespace shatter::experiments {

/// A row of a table with the results that fill it.
struct RowReport {
  std::string name;   ///< "inception/crop+wd": what --rows matches
  std::string title;  ///< as printed
  std::vector<Quantity> quantities = {};
  bool seeded = true;                        ///< has random parts: a verdict needs several seeds
  std::string precision = "fp32";            ///< what it computes in, as printed
  nlohmann::json parameters = {};            ///< of a training run its whole configuration
  std::string mark = {};                     ///< "quick, synthetic"; empty at full size
  std::vector<Result> runs = {};             ///< finished ones, in the order of their seeds
  std::vector<Result> diverged = {};         ///< training runs that did
  std::vector<std::string> notes = {};       ///< why others are missing: "failed", "not finished"
  int wanted = 0;                            ///< seeds asked for
  std::optional<std::int64_t> classes = {};  ///< judged below full size by FitCheck

  /// Adds a note unless it is there.
  void note(const std::string& text);
  /// Of one quantity over the runs that have it.
  Sample sample(const Quantity& quantity) const;
  /// Of all runs.
  std::vector<Origin> origins() const;
  /// Of the finished runs, else of those that diverged.
  double median_seconds() const;

  /// judge() of the runs; where any diverged, not reproduced (inconclusive below three). What is
  /// missing is noted, and runs without a finite value as censored: no verdict is given then.
  Judgement judgement(const Quantity& quantity) const;
  /// Of all quantities together.
  Judgement judgement() const;
  /// Complete, and the judgement accepted.
  bool accepted() const;
};

struct Table {
  /// A line for each quantity, or, as in the paper's Table 1, one for each training run with its
  /// first two quantities: training and test accuracy.
  enum class Layout { quantities, accuracies };
  std::string title;
  std::vector<RowReport> rows = {};
  std::vector<std::string> footer = {};  ///< "commit: 1a2b3c"
  Layout layout = Layout::quantities;
  std::vector<std::string> sources = {};  ///< names of the rows whose results it shows
  std::string mark = {};                  ///< of the first of them
};
std::string render(const Table& table, Format format);
/// Whether every row is accepted, and anything has a range to be in; what is not is said.
bool accepted(const Table& table, Progress& progress);

/// Names of rows joined by commas, by the number of seeds they have: more than one command where
/// the numbers differ.
using RowsBySeeds = std::map<int, std::string, std::greater<>>;

/// Where all runs of the table were computed.
std::vector<Origin> origins(const std::vector<RowReport>& rows);
/// Device, threads, commit, data set and its provenance, where the results agree or each in turn;
/// and the commands that repeat them.
std::vector<std::string> footer(const std::vector<RowReport>& rows,
                                const std::vector<std::string>& commands);
/// "stored by another build of this program: 3 of 5 results"; nothing where there is none.
std::vector<std::string> other_builds(const std::vector<Origin>& results);

}  // namespace shatter::experiments
