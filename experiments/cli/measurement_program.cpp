// From options and measurement rows to jobs.
#include <shatter/experiments/cli/measurement_program.h>

#include <algorithm>
#include <set>

#include <shatter/core/text.h>
#include <shatter/experiments/cli/experiment.h>

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
  for (const auto& [option, value] : options.row_options.items()) {
    std::string key = option.substr(2);
    std::replace(key.begin(), key.end(), '-', '_');
    set_parameter(selected, option, key,
                  value.is_string() ? value.get<std::string>() : value.dump());
  }
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

PlannedRow planned(const MeasurementProgram& program, const MeasurementRow& row,
                   const json& parameters, const Options& options, const DataSources& sources) {
  const auto found = sources.find(row.dataset);
  const auto source = found == sources.end() ? nullptr : found->second;
  const Device device = device_of(row, options);
  json config = {{"program", program.info.name},
                 {"row", row.name},
                 {"parameters", parameters},
                 {"precision", row.precision},
                 {"device", device.is_cpu() ? "cpu" : "cuda"},
                 {"data", source ? data_json(*source, parameters) : json(nullptr)}};
  const bool less = options.quick && row.quick != row.full;
  const int seeds = row.seeded ? options.seeds.value_or(less ? 1 : 3) : 1;
  PlannedRow result{.report = report_of(row, parameters, source ? source->name() : "", seeds),
                    .jobs = {}};
  for (int k = 0; k < seeds; ++k) {
    if (row.seeded) config["seed"] = options.seed + std::uint64_t(k);
    std::string label = row.name;
    if (seeds > 1) label += " seed " + config["seed"].dump();
    if (!result.report.mark.empty()) label += " (" + result.report.mark + ")";
    result.jobs.push_back(measurement_job(row, config, label, device, source));
  }
  return result;
}

std::vector<PlannedRow> plan(const MeasurementProgram& program, const Options& options,
                             Progress& progress) {
  check(options.precision == "fp32", "--precision ", options.precision,
        ": each measurement has a precision of its own");
  check(!options.autotune, "--autotune: ", program.info.name, " trains nothing on a GPU");
  const Selected selected = select(program, options, progress);
  const DataSources sources = open_data(sizes_of(selected), options, progress);
  std::vector<PlannedRow> rows;
  for (std::size_t i = 0; i < selected.rows.size(); ++i)
    rows.push_back(planned(program, selected.rows[i], selected.parameters[i], options, sources));
  return rows;
}

}  // namespace

int run_measurements(const MeasurementProgram& program, int argc, const char* const* argv) {
  Experiment experiment = experiment_of(program);
  experiment.plan = [&](const Options& options, Progress& progress) {
    return plan(program, options, progress);
  };
  experiment.table = [&](std::vector<RowReport> reports, std::vector<std::string> footer) {
    return Table{.title = program.title, .rows = std::move(reports), .footer = std::move(footer)};
  };
  return run_experiment(experiment, argc, argv);
}

}  // namespace shatter::experiments
