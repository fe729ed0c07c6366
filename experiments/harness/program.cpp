// Running a table: from the command line to stdout and the exit code.
#include <shatter/experiments/harness/program.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <thread>

#include <shatter/core/file.h>
#include <shatter/experiments/harness/exit_code.h>
#include <shatter/experiments/harness/interrupt.h>
#include <shatter/experiments/harness/plan.h>
#include <shatter/experiments/harness/report.h>
#include <shatter/experiments/harness/sweep.h>
#include <shatter/experiments/harness/version.h>
#include <shatter/experiments/models/models.h>

namespace shatter::experiments {

namespace fs = std::filesystem;

namespace {

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name"))
      return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "CPU";
}

Device chosen_device(const Options& options) {
  const Device device = Device::parse(options.device);
  if (device.is_cpu() && options.precision != "fp32") {
    fail(ErrorKind::device, "--precision ", options.precision,
         ": the CPU computes in fp32 only; tf32 and bf16 are for GPUs");
  }
  return device;
}

DataSource open_data(const TableProgram& program, const Options& options, Progress& progress) {
  const fs::path folder = data::data_folder(options.data);
  const bool absent = !options.synthetic && options.quick && options.data.empty() &&
                      !DataSource::available("cifar10", folder);
  if (absent) progress.say("no CIFAR-10 in " + folder.string() + ": drawing images instead");
  if (!options.synthetic && !absent) return DataSource::open("cifar10", folder);
  return DataSource::synthetic(synthetic_train(program, options).size,
                               synthetic_test(program, options).size);
}

RunSettings run_settings(const Options& options, Device device, const DataSource& source) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return {.runs = options.out / "runs",
          .keep = options.keep,
          .resume = options.resume,
          .checkpoint_every = options.checkpoint_every,
          .device = device,
          .threads = options.threads > 0 ? options.threads : cores,
          .device_name = device.is_cpu() ? cpu_name() : device.name(),
          .provenance = source.provenance(),
          .progress = nullptr,
          .stop = [] { return Interrupt::signal() != 0; }};
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

void write_reports(const fs::path& folder, const Table& table) {
  fs::create_directories(folder);
  write_file_atomically(folder / "table.md", render(table, Format::markdown));
  write_file_atomically(folder / "table.csv", render(table, Format::csv));
  write_file_atomically(folder / "table.tex", render(table, Format::latex));
}

int status_of(const std::vector<Outcome>& outcomes, const Table& table, const Options& options,
              Progress& progress) {
  if (const int signal = Interrupt::signal()) {
    progress.say("interrupted and saved: the same command goes on from here");
    return 128 + signal;
  }
  std::vector<ErrorKind> failures;
  for (const Outcome& outcome : outcomes) {
    const bool failed = outcome.status == Outcome::Status::failed;
    if (failed || outcome.status == Outcome::Status::diverged) failures.push_back(outcome.kind);
  }
  if (!failures.empty()) return exit_code(failures);
  if (!options.check) return exit_done;
  for (const RowReport& row : table.rows) {
    if (!row.accepted()) progress.say("check: " + row.row.name + ": " + row.judgement());
  }
  const bool accepted = std::all_of(table.rows.begin(), table.rows.end(),
                                    [](const RowReport& row) { return row.accepted(); });
  return accepted ? exit_done : exit_check;
}

Table final_table(const TableProgram& program, const Plan& plan,
                  const std::vector<Outcome>& outcomes, const RunSettings& settings,
                  const Options& options, const std::string& command) {
  Table table{.title = program.title, .rows = reports(plan, outcomes), .footer = {}};
  std::vector<FinishedCell> cells;
  for (const RowReport& row : table.rows)
    cells.insert(cells.end(), row.cells.begin(), row.cells.end());
  if (cells.empty()) {
    cells.push_back({.config = plan.base.front(),
                     .result = {},
                     .commit = build_info().commit,
                     .device = settings.device_name,
                     .provenance = settings.provenance,
                     .threads = settings.threads});
  }
  table.footer = footer(cells, options.precision, command);
  return table;
}

int report(const TableProgram& program, const Options& options) {
  std::string all, full_size;
  for (const Table& table : kept_tables(program, kept_results(options.report))) {
    const std::string text = render(table, options.format);
    all += (all.empty() ? "" : "\n") + text;
    if (table.title == program.title + ", full size") full_size = text;
  }
  if (options.into.empty()) {
    std::cout << all;
    return exit_done;
  }
  const std::string document = read_file(options.into), name = program.info.name;
  const bool whole = document.find("<!-- " + name + "-full-size:begin -->") == std::string::npos;
  write_file_atomically(options.into,
                        whole ? replace_section(document, name, all)
                              : replace_section(document, name + "-full-size", full_size));
  return exit_done;
}

int run(const TableProgram& program, const Options& options, const std::string& command) {
  if (!options.report.empty()) return report(program, options);
  const Device device = chosen_device(options);
  Progress progress(std::cerr, Progress::settle(options.progress));
  const DataSource source = open_data(program, options, progress);
  const Plan plan = make_plan(program, options, source, device);
  RunSettings settings = run_settings(options, device, source);
  settings.progress = &progress;
  if (options.dry_run) {
    std::cout << describe_plan(plan, settings, source, options.jobs);
    return exit_done;
  }
  const Interrupt interrupt;
  std::vector<Cell> cells;
  for (const PlannedCell& planned : plan.cells) cells.push_back(planned.cell);
  progress.set_cells(static_cast<std::int64_t>(cells.size()));
  const std::vector<Outcome> outcomes = run_sweep(
      cells,
      {.run = settings, .jobs = options.jobs, .fail_fast = options.fail_fast, .finished = {}});
  const Table table = final_table(program, plan, outcomes, settings, options, command);
  write_reports(options.out / "reports" / program.info.name, table);
  std::cout << render(table, options.format) << std::flush;
  return status_of(outcomes, table, options, progress);
}

}  // namespace

int run_table(const TableProgram& program, int argc, const char* const* argv) {
  const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  try {
    const ParsedOptions parsed = parse_options(program.info, arguments);
    if (parsed.exit_code) {
      (*parsed.exit_code == exit_done ? std::cout : std::cerr) << parsed.text;
      return *parsed.exit_code;
    }
    return run(program, parsed.options, command_line(program.info.name, arguments));
  } catch (const Error& error) {
    std::cerr << program.info.name << ": " << error.what() << "\n";
    return exit_code(error.kind());
  } catch (const std::exception& error) {
    std::cerr << program.info.name << ": unexpected: " << error.what() << "\n";
    return exit_unexpected;
  }
}

TrainingTask paper_task(const CellConfig& config, const data::TrainTest& data) {
  const std::int64_t classes = data.train.classes > 0 ? data.train.classes : 10;
  TrainingTask task{.model = make_model(config.model, classes, {config.crop, config.crop, 3}),
                    .decayed = {},
                    .data = data,
                    .probes = {}};
  if (config.weight_decay > 0) task.decayed = decayed_parameters(config.model, task.model);
  return task;
}

}  // namespace shatter::experiments
