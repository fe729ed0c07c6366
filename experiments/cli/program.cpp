// Running a table: from the command line to stdout and the exit code.
#include <shatter/core/text.h>
#include <shatter/experiments/cli/program.h>

#include <algorithm>
#include <iostream>

#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/cli/launch.h>
#include <shatter/experiments/cli/plan.h>
#include <shatter/experiments/report/report.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/interrupt.h>
#include <shatter/experiments/runs/sweep.h>
#include <shatter/experiments/runs/version.h>

namespace shatter::experiments {

namespace {

Device chosen_device(const Options& options) {
  const Device device = Device::parse(options.device);
  const std::set<std::string> known = precisions(device);
  if (!known.contains(options.precision))
    fail(ErrorKind::device, "--precision ", options.precision, ": ", device.name(), " has ",
         joined(known));
  check(!options.autotune || device.is_cuda(),
        "--autotune: measures convolution plans of a CUDA device, and this run is on the CPU");
  return device;
}

std::vector<RowReport> reports(const Plan& plan, const std::vector<Outcome>& outcomes) {
  using Status = Outcome::Status;
  std::vector<RowReport> rows;
  for (std::size_t row = 0; row < plan.rows.size(); ++row) {
    std::vector<FinishedCell> cells;
    std::vector<std::string> notes;
    const auto note = [&](const std::string& text) {
      if (std::find(notes.begin(), notes.end(), text) == notes.end()) notes.push_back(text);
    };
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      if (plan.cells[i].row != row) continue;
      const Status status = outcomes[i].status;
      if (status == Status::done || status == Status::diverged)
        cells.push_back(outcomes[i].finished);
      if (status == Status::failed) note("failed");
      if (status == Status::interrupted) note("not finished");
    }
    rows.push_back(make_report(plan.rows[row], plan.base[row], std::move(cells), std::move(notes),
                               plan.seeds));
  }
  return rows;
}

std::string rendered(const TableProgram& program, const Table& table, Format format) {
  return program.readings.empty() ? render(table, format)
                                  : render(read(program.readings, table), format);
}

/// Whether everything in the table is as it must be; what is not, is said.
bool accepted(const TableProgram& program, const Table& table, Progress& progress) {
  if (!program.readings.empty()) return accepted(read(program.readings, table), progress);
  bool all = true;
  for (const RowReport& row : table.rows) {
    if (row.accepted()) continue;
    progress.say("check: " + row.row.name + ": " + row.judgement());
    all = false;
  }
  return all;
}

int status_of(const TableProgram& program, const std::vector<Outcome>& outcomes, const Table& table,
              const Options& options, Progress& progress) {
  if (const int status = interrupted_status(options, progress)) return status;
  std::vector<ErrorKind> failures;
  for (const Outcome& outcome : outcomes) {
    const bool failed = outcome.status == Outcome::Status::failed;
    if (failed || outcome.status == Outcome::Status::diverged) failures.push_back(outcome.kind);
  }
  if (!failures.empty()) return exit_code(failures);
  if (!options.check) return exit_done;
  return accepted(program, table, progress) ? exit_done : exit_check;
}

/// No title shall claim a data set whose images were drawn.
std::string title_of(const TableProgram& program, const std::string& dataset) {
  return program.title + (dataset == "synthetic" ? " (synthetic: drawn images instead)" : "");
}

Table final_table(const TableProgram& program, const Plan& plan,
                  const std::vector<Outcome>& outcomes, const RunSettings& settings,
                  const std::string& command) {
  Table table{.title = title_of(program, plan.base.front().dataset.name),
              .rows = reports(plan, outcomes),
              .footer = {}};
  std::vector<Origin> origins;
  for (const RowReport& row : table.rows) {
    for (const FinishedCell& cell : row.cells) origins.push_back(origin(cell));
  }
  if (origins.empty()) {
    origins.push_back({.commit = build_info().commit,
                       .device = hardware_name(settings.device),
                       .threads = settings.threads,
                       .data = plan.base.front().dataset.name,
                       .provenance = plan.cells.front().cell.provenance});
  }
  table.footer = footer(origins, precision_text(plan.base.front()), {command});
  for (const std::string& line : other_builds(origins)) table.footer.push_back(line);
  return table;
}

int report(const TableProgram& program, const Options& options) {
  TableProgram asked = program;
  std::erase_if(asked.rows, [&](const Row& row) { return !matches(row.name, options.rows); });
  Progress progress(std::cerr, ProgressMode::plain);
  bool all_accepted = true;
  std::vector<ReportTable> tables;
  for (const Table& table : kept_tables(asked, kept_results(options.report))) {
    if (options.check) all_accepted = accepted(program, table, progress) && all_accepted;
    tables.push_back({.text = rendered(program, table, options.format),
                      .rows = {},
                      .full_size = table.rows.front().mark.empty()});
    for (const RowReport& row : table.rows) tables.back().rows.push_back(row.row.name);
  }
  const int status = put_report(program.info, options, names_of(program.rows), tables);
  return all_accepted ? status : exit_check;
}

int run(const TableProgram& program, const Options& options, const std::string& command) {
  check(options.set.empty(), "--set ", options.set.empty() ? "" : options.set.front().first, ": ",
        program.info.name, " trains, and has no parameters but its options");
  if (!options.report.empty()) return report(program, options);
  const Device device = chosen_device(options);
  Progress progress(std::cerr, Progress::settle(options.progress));
  const DataSources sources = open_data(data_sizes(program, options), options, progress);
  const Plan plan = make_plan(program, options, sources, device);
  RunSettings settings = run_settings(options, device);
  settings.progress = &progress;
  if (options.dry_run) {
    std::cout << describe_plan(plan, settings, options.jobs);
    return exit_done;
  }
  check_writable(options, program.info.name);
  const Interrupt interrupt;
  std::vector<Cell> cells;
  for (const PlannedCell& planned : plan.cells) cells.push_back(planned.cell);
  progress.set_cells(static_cast<std::int64_t>(cells.size()));
  const std::vector<Outcome> outcomes = run_sweep(
      cells,
      {.run = settings, .jobs = options.jobs, .fail_fast = options.fail_fast, .finished = {}});
  const Table table = final_table(program, plan, outcomes, settings, command);
  const auto text = [&](Format format) { return rendered(program, table, format); };
  std::cout << text(options.format) << std::flush;
  write_reports(options, program.info.name, text);
  return status_of(program, outcomes, table, options, progress);
}

}  // namespace

int run_table(const TableProgram& given, int argc, const char* const* argv) {
  TableProgram program = given;
  program.info.row_names = names_of(program.rows);
  return launch(program.info, argc, argv, [&](const Options& options, const std::string& command) {
    return run(program, options, command);
  });
}

}  // namespace shatter::experiments
