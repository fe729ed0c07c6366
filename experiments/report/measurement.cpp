// Rows that compute: their jobs, marks and tables.
#include <shatter/experiments/report/measurement.h>

#include <algorithm>
#include <map>

#include <shatter/core/file.h>
#include <shatter/core/text.h>
#include <shatter/experiments/train/cell.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// "table3-mnist-pixels-1a2b3c4d", with "-seed2" before the hash where it has one.
std::string folder_name(const json& config) {
  std::string name =
      config.at("program").get<std::string>() + "-" + config.at("row").get<std::string>();
  for (char& c : name) c = c == '/' ? '-' : c;
  if (config.contains("seed")) name += "-seed" + config["seed"].dump();
  return name + "-" + hash8(config);
}

/// Seconds that earlier sessions spent, from a file in the work folder.
double earlier_seconds(const fs::path& work) {
  const fs::path path = work / "seconds.json";
  return fs::exists(path) ? read_json(path).value("seconds", 0.0) : 0;
}

MeasurementContext context_of(const json& config, const DataSource* source, const JobContext& job) {
  MeasurementContext context{.parameters = config["parameters"],
                             .seed = config.value("seed", std::uint64_t{1}),
                             .data = {},
                             .threads = job.settings.threads,
                             .device = job.device,
                             .label = job.label,
                             .progress = job.settings.progress,
                             .stop = job.settings.stop,
                             .folder = job.folder.work_path()};
  if (source) {
    const json& data = config["data"];
    context.data = source->first(data["train_size"], data["test_size"]);
  }
  return context;
}

std::optional<Computed> compute(const MeasurementRow& row, const json& config,
                                const DataSource* source, const JobContext& job) {
  const RunSettings& settings = job.settings;
  const fs::path work = job.folder.work_path();
  fs::create_directories(work);
  job.folder.add_session(session_entry(job));
  if (settings.progress) settings.progress->begin(job.label, 0);
  const double before = earlier_seconds(work);
  const Stopwatch watch;
  const std::optional<Measured> measured = row.compute(context_of(config, source, job));
  const double seconds = before + watch.seconds();
  if (!measured) {
    write_file_atomically(work / "seconds.json", json{{"seconds", seconds}}.dump() + "\n");
    return std::nullopt;
  }
  return Computed{
      {{"status", "done"}, {"numbers", measured->numbers}, {"curves", measured->curves}}, seconds};
}

/// What a finished measurement says in one line.
std::string describe(const std::vector<Quantity>& quantities, const Result& result) {
  std::string line;
  for (const Quantity& quantity : quantities) {
    const json value = result.numbers.value(quantity.name, json(nullptr));
    line += quantity.title + " " +
            (value.is_number() ? printed(quantity, value.get<double>()) : "-") + ", ";
  }
  return line + duration(result.seconds);
}

/// "key=value" where that is not the row's at full size, else "".
std::string change(const MeasurementRow& row, const std::string& key, const json& value) {
  if (row.full.contains(key) && row.full[key] == value) return "";
  return key + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
}

/// With the parameters it names, "n = {n}", filled in, and what else differs from full size.
std::string title_of(const MeasurementRow& row, const json& parameters) {
  std::string title = row.title, words;
  for (const auto& [key, value] : parameters.items()) {
    const std::string name = "{" + key + "}";
    if (const std::size_t at = title.find(name); at != std::string::npos) {
      title.replace(at, name.size(),
                    value.is_number_integer() ? grouped(value.get<std::int64_t>()) : value.dump());
    } else if (const std::string word = change(row, key, value); !word.empty()) {
      words += (words.empty() ? " (" : ", ") + word;
    }
  }
  if (parameters == row.quick) return title;
  return title + (words.empty() ? "" : words + ")");
}

/// Results with equal keys stand in one table: the kind of size, then what differs.
struct Key {
  int kind = 0;
  std::string where, changes;
  auto operator<=>(const Key&) const = default;
};

const MeasurementRow* row_of(const MeasurementProgram& program, const Result& run) {
  const auto found = std::find_if(
      program.rows.begin(), program.rows.end(),
      [&](const MeasurementRow& row) { return row.name == run.config.value("row", ""); });
  return found == program.rows.end() ? nullptr : &*found;
}

Key key(const MeasurementRow& row, const Result& run) {
  const std::string mark = marks(row, run.config["parameters"], run.origin.data);
  const std::string where =
      (run.origin.data == "synthetic" ? "synthetic " : "") + run.config.value("device", "cpu");
  if (mark.empty() || mark == "synthetic") return {mark.empty() ? 0 : 3, where, ""};
  if (mark.starts_with("quick")) return {2, where, ""};
  std::string all;
  for (const std::string& word : changes(row, run.config["parameters"])) {
    all += (all.empty() ? "" : ", ") + word;
  }
  return {1, where, all};
}

std::vector<std::string> commands(const MeasurementProgram& program, const Key& key,
                                  const MeasurementRow& first, const std::vector<RowReport>& rows) {
  std::string line = program.info.name;
  if (key.kind == 2) line += " --quick";
  if (key.where.starts_with("synthetic")) line += " --synthetic";
  if (key.kind == 1) {
    for (const std::string& word : changes(first, rows.front().parameters))
      line += " --set '" + word + "'";
  }
  int most = 0;
  for (const RowReport& report : rows) {
    if (report.seeded) most = std::max(most, report.wanted);
  }
  RowsBySeeds names;
  for (const RowReport& report : rows) {
    std::string& group = names[report.seeded ? report.wanted : most];
    group += (group.empty() ? "" : ",") + report.name;
  }
  std::vector<std::string> lines;
  for (const auto& [seeds, group] : names) {
    lines.push_back(line);
    if (seeds > 0) lines.back() += " --seeds " + std::to_string(seeds);
    const bool all = names.size() == 1 && rows.size() == program.rows.size();
    if (!all) lines.back() += " --rows '" + group + "'";
  }
  return lines;
}

}  // namespace

void require_positive(const json& parameters, std::initializer_list<const char*> keys) {
  for (const char* const key : keys) {
    const json& value = parameters.at(key);
    const json list = value.is_array() ? value : json{value};
    const bool positive = std::all_of(list.begin(), list.end(), [](const json& entry) {
      return entry.is_number() && entry.get<double>() > 0;
    });
    shatter::check(positive && !list.empty(), key, " ", value.dump(), ": must be positive");
  }
}

std::vector<std::string> changes(const MeasurementRow& row, const json& parameters) {
  std::vector<std::string> words;
  for (const auto& [key, value] : parameters.items()) {
    if (std::string word = change(row, key, value); !word.empty()) words.push_back(word);
  }
  return words;
}

std::string marks(const MeasurementRow& row, const json& parameters, const std::string& dataset) {
  std::string mark;
  const auto add = [&](const char* word) {
    mark += (mark.empty() ? "" : ", ") + std::string(word);
  };
  const auto smaller = [&](const char* key) {
    return parameters.contains(key) && parameters[key] < row.full[key];
  };
  if (parameters != row.full) {
    if (parameters == row.quick) {
      add("quick");
    } else if (smaller("train_size") || smaller("test_size") || smaller("epochs")) {
      add("reduced");
    } else {
      add("changed");
    }
  }
  if (dataset == "synthetic") add("synthetic");
  return mark;
}

RowReport report_of(const MeasurementRow& row, const json& parameters, const std::string& dataset,
                    int wanted) {
  return {.name = row.name,
          .title = title_of(row, parameters),
          .quantities = row.quantities,
          .seeded = row.seeded,
          .precision = row.precision,
          .parameters = parameters,
          .mark = marks(row, parameters, dataset),
          .wanted = wanted};
}

Job measurement_job(const MeasurementRow& row, const json& config, const std::string& label,
                    Device device, std::shared_ptr<const DataSource> source) {
  return {.name = folder_name(config),
          .config = config,
          .label = label,
          .device = device,
          .provenance = source ? source->provenance() : std::string(),
          .need = row.need ? row.need(config["parameters"], device) : Need{},
          .compute = [row, config, source](
                         const JobContext& job) { return compute(row, config, source.get(), job); },
          .describe = [quantities = row.quantities](
                          const Result& result) { return describe(quantities, result); }};
}

std::vector<Table> kept_tables(const MeasurementProgram& program,
                               const std::vector<Result>& results) {
  std::map<Key, std::vector<Result>> groups;
  for (const Result& run : results) {
    if (run.config.value("program", "") != program.info.name) continue;
    if (const MeasurementRow* row = row_of(program, run)) groups[key(*row, run)].push_back(run);
  }
  std::vector<Table> tables;
  for (const auto& [group, runs] : groups) {
    std::vector<RowReport> reports;
    const MeasurementRow* first = nullptr;
    for (const MeasurementRow& row : program.rows) {
      std::vector<Result> own;
      for (const Result& run : runs) {
        if (row_of(program, run) == &row) own.push_back(run);
      }
      if (own.empty()) continue;
      if (!first) first = &row;
      std::sort(own.begin(), own.end(),
                [](const Result& a, const Result& b) { return a.seed() < b.seed(); });
      reports.push_back(report_of(row, own.front().config["parameters"], own.front().origin.data,
                                  static_cast<int>(own.size())));
      reports.back().runs = std::move(own);
    }
    Table table{.title = program.title, .mark = reports.front().mark};
    table.title += table.mark.empty() ? ", full size" : ", " + table.mark;
    if (!group.changes.empty()) table.title += " (" + group.changes + ")";
    table.footer = footer(reports, commands(program, group, *first, reports));
    for (const RowReport& report : reports) table.sources.push_back(report.name);
    table.rows = std::move(reports);
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace shatter::experiments
