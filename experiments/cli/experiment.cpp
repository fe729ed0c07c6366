// Running an experiment, whatever its rows do.
#include <shatter/experiments/cli/experiment.h>

#include <algorithm>
#include <iostream>
#include <numeric>

#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/runs/interrupt.h>

namespace shatter::experiments {
namespace {

using Status = Outcome::Status;

/// All rows' jobs, cheapest first, and the row of each.
struct Agenda {
  std::vector<Job> jobs;
  std::vector<std::size_t> rows;
};

Agenda agenda_of(const std::vector<PlannedRow>& plan) {
  Agenda all;
  for (std::size_t row = 0; row < plan.size(); ++row) {
    for (const Job& job : plan[row].jobs) {
      all.jobs.push_back(job);
      all.rows.push_back(row);
    }
  }
  std::vector<std::size_t> order(all.jobs.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return all.jobs[i].need.seconds; });
  Agenda sorted;
  for (const std::size_t i : order) {
    sorted.jobs.push_back(std::move(all.jobs[i]));
    sorted.rows.push_back(all.rows[i]);
  }
  return sorted;
}

std::vector<RowReport> filled(std::vector<PlannedRow> plan, const Agenda& agenda,
                              const std::vector<Outcome>& outcomes) {
  std::vector<RowReport> reports;
  for (PlannedRow& row : plan) reports.push_back(std::move(row.report));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    RowReport& report = reports[agenda.rows[i]];
    switch (outcomes[i].status) {
      case Status::done: report.runs.push_back(outcomes[i].result); break;
      case Status::diverged: report.diverged.push_back(outcomes[i].result); break;
      case Status::failed: report.note("failed"); break;
      default: report.note("not finished");
    }
  }
  return reports;
}

int status_of(const std::vector<Outcome>& outcomes, const Table& table, const Options& options,
              Progress& progress) {
  if (const int status = interrupted_status(options, progress)) return status;
  std::vector<ErrorKind> failures;
  for (const Outcome& outcome : outcomes) {
    if (outcome.status == Status::failed || outcome.status == Status::diverged)
      failures.push_back(outcome.kind);
  }
  if (!failures.empty()) return exit_code(failures);
  if (!options.check) return exit_done;
  return accepted(table, progress) ? exit_done : exit_check;
}

int report(const Experiment& experiment, const Options& options) {
  Progress progress(std::cerr, ProgressMode::plain);
  bool all_accepted = true;
  const std::vector<Table> tables = experiment.kept(kept_results(options.report), options);
  for (const Table& table : tables) {
    if (options.check) all_accepted = accepted(table, progress) && all_accepted;
  }
  const int status = put_report(experiment.info, options, tables);
  return all_accepted ? status : exit_check;
}

int run(const Experiment& experiment, const Options& options, const std::string& command) {
  if (!options.report.empty()) return report(experiment, options);
  Progress progress(std::cerr, Progress::settle(options.progress));
  std::vector<PlannedRow> plan = experiment.plan(options, progress);
  const Agenda agenda = agenda_of(plan);
  RunSettings settings = run_settings(options);
  settings.progress = &progress;
  if (options.dry_run) {
    std::cout << describe_jobs(agenda.jobs, settings);
    return exit_done;
  }
  check_writable(options, experiment.info.name);
  const Interrupt interrupt;
  progress.set_cells(static_cast<std::int64_t>(agenda.jobs.size()));
  const std::vector<Outcome> outcomes = run_jobs(agenda.jobs, settings);
  std::vector<RowReport> reports = filled(std::move(plan), agenda, outcomes);
  std::vector<std::string> lines = footer(reports, {command});
  for (const std::string& line : other_builds(origins(reports))) lines.push_back(line);
  const Table table = experiment.table(std::move(reports), std::move(lines));
  const auto text = [&](Format format) { return render(table, format); };
  std::cout << text(options.format) << std::flush;
  write_reports(options, experiment.info.name, text);
  return status_of(outcomes, table, options, progress);
}

}  // namespace

int run_experiment(const Experiment& experiment, int argc, const char* const* argv) {
  return launch(experiment.info, argc, argv,
                [&](const Options& options, const std::string& command) {
                  return run(experiment, options, command);
                });
}

}  // namespace shatter::experiments
