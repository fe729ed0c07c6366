// An experiment from its command line to its exit code: plan, run, judge, print.
#pragma once

#include <functional>
#include <vector>

#include <shatter/experiments/cli/launch.h>
#include <shatter/experiments/report/table.h>
#include <shatter/experiments/runs/job.h>

namespace shatter::experiments {

/// A row without results, and the jobs that fill it, in the order of their seeds.
struct PlannedRow {
  RowReport report;
  std::vector<Job> jobs;
};

/// What rows that train and rows that compute do differently.
struct Experiment {
  ProgramInfo info;
  /// Throws (usage) for options that make no sense; nothing is written.
  std::function<std::vector<PlannedRow>(const Options&, Progress&)> plan;
  /// The table of filled rows.
  std::function<Table(std::vector<RowReport>, std::vector<std::string> footer)> table;
  /// The tables of kept results, of the rows that the options ask for.
  std::function<std::vector<Table>(const std::vector<Result>&, const Options&)> kept;
};

/// Runs the experiment as its options say, cheapest jobs first; the exit code. Results go to
/// stdout, all else to stderr.
int run_experiment(const Experiment& experiment, int argc, const char* const* argv);

}  // namespace shatter::experiments
