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

/// The experiment of a program of either kind of rows, but for plan and table. It refers to the
/// program, which must outlive it.
template <class Program>
Experiment experiment_of(const Program& program) {
  Experiment experiment{.info = program.info, .plan = {}, .table = {}, .kept = {}};
  experiment.info.row_names = names_of(program.rows);
  experiment.kept = [&program](const std::vector<Result>& results, const Options& options) {
    Program asked = program;
    std::erase_if(asked.rows, [&](const auto& row) { return !matches(row.name, options.rows); });
    return kept_tables(asked, results);
  };
  return experiment;
}

/// Runs the experiment as its options say, cheapest jobs first; the exit code. Results go to
/// stdout, all else to stderr.
int run_experiment(const Experiment& experiment, int argc, const char* const* argv);

}  // namespace shatter::experiments
