// From a command line to finished measurements, their table and the exit code.
#include <shatter/core/text.h>
#include <shatter/experiments/cli/measurements.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <set>

#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/cli/measurement_run.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/interrupt.h>
#include <shatter/experiments/runs/version.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

/// Rows selected, with their parameters as the command line leaves them.
struct Selected {
  std::vector<MeasurementRow> rows;
  std::vector<json> parameters;
};

std::string keys_of(const Selected& selected) {
  std::set<std::string> keys;
  for (const json& parameters : selected.parameters) {
    for (const auto& [key, value] : parameters.items()) keys.insert(key);
  }
  return keys.empty() ? "none" : joined(keys);
}

/// `word` as a value of the same kind as `present`.
json parsed(const std::string& option, const json& present, const std::string& word) {
  if (present.is_string()) return word;
  const json value = json::parse(word, nullptr, false);
  const bool fits = !value.is_discarded() &&
                    (present.is_number_integer() ? value.is_number_integer()
                                                 : (present.is_number() && value.is_number()) ||
                                                       present.type() == value.type());
  check(fits, option, " ", word, ": not a value like ", present.dump());
  for (const json& entry : value.is_array() ? value : json::array()) {
    check(entry.is_number() && present.front().is_number(), option, " ", word,
          ": not a value like ", present.dump());
  }
  return present.is_number_float() ? json(value.get<double>()) : value;
}

void set_parameter(Selected& selected, const std::string& option, const std::string& key,
                   const std::string& word) {
  bool known = false;
  for (json& parameters : selected.parameters) {
    if (!parameters.contains(key)) continue;
    parameters[key] = parsed(option, parameters[key], word);
    known = true;
  }
  check(known, option, ": no selected row has a parameter ", key, "; they have ",
        keys_of(selected));
}

Selected select(const MeasurementProgram& program, const Options& options, Progress& progress) {
  Selected selected;
  for (const MeasurementRow& row : matching_rows(program.rows, options.rows)) {
    if (options.quick && row.quick.is_null()) {
      progress.say(row.name + ": no quick version, left out");
      continue;
    }
    selected.rows.push_back(row);
    selected.parameters.push_back(options.quick ? row.quick : row.full);
  }
  check(!selected.rows.empty(), "--rows ", options.rows,
        ": none of these rows has a quick version");
  const auto number = [&](const char* option, const char* key, const auto& value) {
    if (value) set_parameter(selected, option, key, json(*value).dump());
  };
  number("--train-size", "train_size", options.train_size);
  number("--test-size", "test_size", options.test_size);
  number("--epochs", "epochs", options.epochs);
  number("--evaluate-every", "evaluate_every", options.evaluate_every);
  number("--batch", "batch", options.batch);
  number("--learning-rate", "learning_rate", options.learning_rate);
  number("--learning-rate-decay", "learning_rate_decay", options.learning_rate_decay);
  number("--optimizer", "optimizer", options.optimizer);
  number("--schedule", "schedule", options.schedule);
  number("--warm-up", "warm_up", options.warm_up);
  number("--momentum", "momentum", options.momentum);
  number("--weight-decay", "weight_decay", options.weight_decay);
  for (const auto& [key, value] : options.set) set_parameter(selected, "--set " + key, key, value);
  for (std::size_t i = 0; i < selected.rows.size(); ++i) {
    if (selected.rows[i].check) selected.rows[i].check(selected.parameters[i]);
  }
  return selected;
}

Device device_of(const MeasurementRow& row, const Options& options) {
  if (options.device == "auto" && !row.gpu) return {};
  const Device device = Device::parse(options.device);
  if (device.is_cuda() && !row.gpu) {
    fail(ErrorKind::device, "--device ", options.device, ": ", row.name,
         " is computed on the CPU only");
  }
  return device;
}

constexpr std::int64_t synthetic_train = 2000, synthetic_test = 1000;  // of rows without a size

DataSizes sizes_of(const Selected& selected) {
  DataSizes sizes;
  for (std::size_t i = 0; i < selected.rows.size(); ++i) {
    if (selected.rows[i].dataset.empty()) continue;
    auto& [train, test] = sizes[selected.rows[i].dataset];
    train = std::max(train, selected.parameters[i].value("train_size", synthetic_train));
    test = std::max(test, selected.parameters[i].value("test_size", synthetic_test));
  }
  return sizes;
}

json data_json(const DataSource& source, const json& parameters) {
  const data::TrainTest& raw = source.raw();
  const DataConfig data =
      source.describe({.name = source.name(),
                       .checksums = {},
                       .train_size = parameters.value("train_size", raw.train.size()),
                       .test_size = parameters.value("test_size", raw.test.size())});
  return {{"name", data.name},
          {"checksums", data.checksums},
          {"train_size", data.train_size},
          {"test_size", data.test_size}};
}

std::vector<PlannedMeasurement> make_plan(const MeasurementProgram& program,
                                          const Selected& selected, const Options& options,
                                          const DataSources& sources) {
  std::vector<PlannedMeasurement> plan;
  for (std::size_t i = 0; i < selected.rows.size(); ++i) {
    const MeasurementRow& row = selected.rows[i];
    const auto source = sources.find(row.dataset);
    PlannedMeasurement planned{.row = &row,
                               .index = i,
                               .config = {{"program", program.info.name},
                                          {"row", row.name},
                                          {"parameters", selected.parameters[i]},
                                          {"precision", row.precision},
                                          {"data", nullptr}},
                               .label = row.name,
                               .device = device_of(row, options),
                               .source = source == sources.end() ? nullptr : &source->second};
    planned.config["device"] = planned.device.is_cpu() ? "cpu" : "cuda";
    if (planned.source) {
      planned.config["data"] = data_json(*planned.source, selected.parameters[i]);
    }
    const std::string mark =
        marks(row, selected.parameters[i], planned.source ? planned.source->name() : "");
    const bool less = options.quick && row.quick != row.full;
    const int seeds = row.seeded ? options.seeds.value_or(less ? 1 : 3) : 1;
    for (int k = 0; k < seeds; ++k) {
      PlannedMeasurement run = planned;
      if (row.seeded) run.config["seed"] = options.seed + std::uint64_t(k);
      if (seeds > 1) run.label += " seed " + run.config["seed"].dump();
      if (!mark.empty()) run.label += " (" + mark + ")";
      plan.push_back(std::move(run));
    }
  }
  return plan;
}

std::string describe_plan(const std::vector<PlannedMeasurement>& plan,
                          const RunSettings& settings) {
  std::string text;
  double seconds = 0, largest = 0;
  for (const PlannedMeasurement& planned : plan) {
    const std::string state = state_of(planned, settings);
    const Need need = need_of(planned);
    if (state != "done" && state != "kept") {
      seconds += need.seconds;
      largest = std::max(largest, need.bytes);
    }
    text += folder_name(planned.config) + "  " + planned.label + "  " + state + "  " +
            (planned.row->need ? bytes_text(need.bytes) + "  about " + duration(need.seconds)
                               : "cost unknown") +
            "\n";
  }
  return text + std::to_string(plan.size()) + " measurements; to do: at most " +
         bytes_text(largest) + " at once of " + bytes_text(available_bytes({})) +
         " available, about " + duration(seconds) + " with " + std::to_string(settings.threads) +
         " threads\n";
}

/// What a finished measurement says in one line.
std::string describe(const PlannedMeasurement& planned, const FinishedMeasurement& finished) {
  std::string line;
  for (const Quantity& quantity : planned.row->quantities) {
    const json value = finished.measured.numbers.value(quantity.name, json(nullptr));
    line += quantity.title + " " +
            (value.is_number() ? printed(quantity, value.get<double>()) : "-") + ", ";
  }
  return line + duration(finished.seconds);
}

std::vector<MeasurementOutcome> run_all(const std::vector<PlannedMeasurement>& plan,
                                        RunSettings settings, bool fail_fast) {
  using Status = MeasurementOutcome::Status;
  std::vector<MeasurementOutcome> outcomes(plan.size());
  for (MeasurementOutcome& outcome : outcomes) outcome.status = Status::interrupted;
  for (std::size_t i = 0; i < plan.size() && !settings.stop(); ++i) {
    settings.device = plan[i].device;
    outcomes[i] = run_measurement(plan[i], settings);
    const MeasurementOutcome& outcome = outcomes[i];
    if (outcome.status == Status::interrupted) continue;
    settings.progress->end(
        plan[i].label,
        plan[i].label + ": " +
            (outcome.stored ? stored_text(outcome.finished->origin.executable) : std::string()) +
            (outcome.finished ? describe(plan[i], *outcome.finished)
                              : "failed: " + outcome.message));
    if (outcome.status == Status::failed && fail_fast) break;
  }
  return outcomes;
}

std::vector<MeasurementReport> reports(const Selected& selected,
                                       const std::vector<PlannedMeasurement>& plan,
                                       const std::vector<MeasurementOutcome>& outcomes) {
  using Status = MeasurementOutcome::Status;
  std::vector<MeasurementReport> rows;
  for (std::size_t row = 0; row < selected.rows.size(); ++row) {
    MeasurementReport report{.row = selected.rows[row],
                             .parameters = selected.parameters[row],
                             .mark = {},
                             .runs = {},
                             .notes = {},
                             .wanted = 0};
    std::set<std::string> notes;
    for (std::size_t i = 0; i < plan.size(); ++i) {
      if (plan[i].index != row) continue;
      ++report.wanted;
      report.mark =
          marks(report.row, report.parameters, plan[i].source ? plan[i].source->name() : "");
      if (outcomes[i].finished) report.runs.push_back(*outcomes[i].finished);
      if (outcomes[i].status == Status::failed) notes.insert("failed");
      if (outcomes[i].status == Status::interrupted) notes.insert("not finished");
    }
    report.notes.assign(notes.begin(), notes.end());
    rows.push_back(std::move(report));
  }
  return rows;
}

int status_of(const std::vector<MeasurementOutcome>& outcomes, const MeasurementTable& table,
              const Options& options, Progress& progress) {
  if (const int status = interrupted_status(options, progress)) return status;
  std::vector<ErrorKind> failures;
  for (const MeasurementOutcome& outcome : outcomes) {
    if (outcome.status == MeasurementOutcome::Status::failed) failures.push_back(outcome.kind);
  }
  if (!failures.empty()) return exit_code(failures);
  if (!options.check) return exit_done;
  return accepted(table, progress) ? exit_done : exit_check;
}

int report(const MeasurementProgram& program, const Options& options) {
  std::vector<FinishedMeasurement> results;
  for (const auto& [path, compact] : kept_files(options.report)) {
    const bool ours = is_measurement(compact) && compact["config"]["program"] == program.info.name;
    if (!ours) continue;  // a folder may hold the results of several programs
    results.push_back(finished_measurement(compact, path.string()));
  }
  MeasurementProgram asked = program;
  std::erase_if(asked.rows,
                [&](const MeasurementRow& row) { return !matches(row.name, options.rows); });
  Progress progress(std::cerr, ProgressMode::plain);
  bool all_accepted = true;
  std::vector<ReportTable> tables;
  for (const MeasurementTable& table : kept_tables(asked, results)) {
    if (options.check) all_accepted = accepted(table, progress) && all_accepted;
    tables.push_back({.text = render(table, options.format),
                      .rows = {},
                      .full_size = table.rows.front().mark.empty()});
    for (const MeasurementReport& row : table.rows) tables.back().rows.push_back(row.row.name);
  }
  const int status = put_report(program.info, options, names_of(program.rows), tables);
  return all_accepted ? status : exit_check;
}

int run(const MeasurementProgram& program, const Options& options, const std::string& command) {
  check(options.precision == "fp32", "--precision ", options.precision,
        ": each measurement has a precision of its own");
  check(!options.autotune, "--autotune: ", program.info.name, " trains nothing on a GPU");
  if (!options.report.empty()) return report(program, options);
  Progress progress(std::cerr, Progress::settle(options.progress));
  const Selected selected = select(program, options, progress);
  const DataSources sources = open_data(sizes_of(selected), options, progress);
  const std::vector<PlannedMeasurement> plan = make_plan(program, selected, options, sources);
  RunSettings settings = run_settings(options, {});
  settings.progress = &progress;
  if (options.dry_run) {
    std::cout << describe_plan(plan, settings);
    return exit_done;
  }
  check_writable(options, program.info.name);
  const Interrupt interrupt;
  progress.set_cells(static_cast<std::int64_t>(plan.size()));
  const std::vector<MeasurementOutcome> outcomes = run_all(plan, settings, options.fail_fast);
  MeasurementTable table{
      .title = program.title, .rows = reports(selected, plan, outcomes), .footer = {}};
  table.footer = footer(table.rows, {command});
  for (const std::string& line : other_builds(origins(table.rows))) table.footer.push_back(line);
  const auto text = [&](Format format) { return render(table, format); };
  std::cout << text(options.format) << std::flush;
  write_reports(options, program.info.name, text);
  return status_of(outcomes, table, options, progress);
}

}  // namespace

int run_measurements(const MeasurementProgram& given, int argc, const char* const* argv) {
  MeasurementProgram program = given;
  program.info.row_names = names_of(program.rows);
  return launch(program.info, argc, argv, [&](const Options& options, const std::string& command) {
    return run(program, options, command);
  });
}

}  // namespace shatter::experiments
