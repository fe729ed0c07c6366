// Numbers computed from the finished runs of a program, seed by seed: what figures and claims say.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <shatter/experiments/report/table.h>

namespace shatter::experiments {

/// The runs of one seed by the names of their rows.
using SeedRuns = std::map<std::string, const Result*>;

/// A line of the table for each quantity.
struct Reading {
  std::string title;               ///< "AlexNet, 40 % corrupted"
  std::vector<std::string> needs;  ///< names of the rows it is computed from
  std::vector<Quantity> quantities;
  /// Their values by name; not finite where a run never came to it (censored). Called with a
  /// finished, not diverged run of each row it needs.
  std::function<std::map<std::string, double>(const SeedRuns&)> numbers;
};

/// The table of the readings whose rows were asked for, over the seeds that all their rows have
/// finished.
Table read(const std::vector<Reading>& readings, const Table& table);

/// Of a run's curve: the step, interpolated between the ends of epochs, where `column` first
/// reaches `level` (from below if rising, else from above); infinite when it never does. Where
/// "train_accuracy" was not evaluated, "accuracy", measured while training, stands in.
double first_step(const Result& run, const std::string& column, double level, bool rising);
/// time / base, steps as first_step gives them; not a number when either never came.
double relative_time(double time, double base);
/// The largest value of a column.
double largest(const Result& run, const std::string& column);
/// How steady a column is: the standard deviation of its change from one evaluation to the next,
/// over the later half of the evaluations; not a number with fewer than two such changes.
double unsteadiness(const Result& run, const std::string& column);
/// What stopping early gains: `column` where `chosen_by` is first at its largest, less the last
/// value of `column`. Both must have been evaluated at the same epochs.
double early_stopping_gain(const Result& run, const std::string& column,
                           const std::string& chosen_by);

}  // namespace shatter::experiments
