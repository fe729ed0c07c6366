// Rows that train: how they are told apart, marked and grouped into tables.
#include <shatter/experiments/report/training.h>

#include <algorithm>
#include <map>

#include <shatter/core/text.h>

namespace shatter::experiments {
namespace {

/// "tf32", "tf32, autotuned convolutions".
std::string precision_of(const CellConfig& config) {
  return config.precision + (config.autotune ? ", autotuned convolutions" : "");
}

/// Whether a run is this row's, of whatever size, batch and learning rates.
bool belongs(const CellConfig& config, const TrainingRow& row) {
  const CellConfig& full = row.full;
  const bool data_fits =
      (config.dataset.name == full.dataset.name || config.dataset.name == "synthetic") &&
      (config.dataset.held_out > 0) == (full.dataset.held_out > 0);
  return config.model == full.model && config.corruption == full.corruption &&
         config.random_crop == full.random_crop && config.flip == full.flip &&
         config.rotation == full.rotation && config.whiten == full.whiten &&
         config.weight_decay == full.weight_decay && config.crop == full.crop && data_fits;
}

/// Results with equal keys stand in one table: the kind of size, then what differs.
using Key = std::pair<int, std::string>;

Key key(const TrainingRow& row, const CellConfig& config) {
  const std::string mark = marks(row, config);
  const std::string where = config.dataset.name + " " + config.device + " " + precision_of(config);
  if (mark.empty()) return {0, where};
  if (mark.starts_with("quick")) return {2, where};
  std::string rate;
  if (config.learning_rate != row.full.learning_rate)
    rate = ", rate " + shortest(config.learning_rate);
  if (config.learning_rate_decay != row.full.learning_rate_decay)
    rate += ", times " + shortest(config.learning_rate_decay) + " per epoch";
  if (config.schedule != row.full.schedule) rate += ", " + config.schedule;
  if (config.warm_up != row.full.warm_up)
    rate += ", warm-up " + std::to_string(config.warm_up) + " epochs";
  if (config.optimizer != row.full.optimizer) rate += ", " + config.optimizer;
  if (config.momentum != row.full.momentum) rate += ", momentum " + shortest(config.momentum);
  return {1, where + " " + std::to_string(config.dataset.train_size) + " images, at most " +
                 std::to_string(config.epochs) + " epochs, batch " + std::to_string(config.batch) +
                 ", test " + std::to_string(config.dataset.test_size) + rate};
}

/// What repeats runs like `config` of rows like `row`, but for --seeds and --rows.
std::string command(const TrainingProgram& program, const std::string& mark, const TrainingRow& row,
                    const CellConfig& config) {
  std::string line = program.info.name;
  const bool quick = mark.starts_with("quick");
  const CellConfig& usual = quick ? row.quick : row.full;
  if (quick) line += " --quick";
  if (config.dataset.name == "synthetic") line += " --synthetic";
  CellConfig same = usual;  // but for the momentum of an optimizer that has none
  if (!has_momentum(config.optimizer)) same.momentum = config.momentum;
  line += options_between(same, config);
  if (config.precision != "fp32") line += " --precision " + config.precision;
  if (config.autotune) line += " --autotune";
  return line + " --device " + config.device;
}

/// A row of a group of results, which it takes its own from.
std::optional<RowReport> report_of(const TrainingRow& row,
                                   const std::vector<const Result*>& group) {
  std::vector<Result> own;
  for (const Result* result : group) {
    if (belongs(cell_config(result->config, row.name), row)) own.push_back(*result);
  }
  if (own.empty()) return std::nullopt;
  std::sort(own.begin(), own.end(),
            [](const Result& a, const Result& b) { return a.seed() < b.seed(); });
  RowReport report =
      report_of(row, cell_config(own.front().config, row.name), static_cast<int>(own.size()));
  for (Result& result : own)
    (result.diverged ? report.diverged : report.runs).push_back(std::move(result));
  return report;
}

Table table_of(const TrainingProgram& program, const std::vector<const Result*>& group,
               const std::string& mark, const std::string& differences) {
  std::vector<RowReport> reports;
  RowsBySeeds names;
  const TrainingRow* first = nullptr;
  for (const TrainingRow& row : program.rows) {
    std::optional<RowReport> report = report_of(row, group);
    if (!report) continue;
    if (!first) first = &row;
    std::string& same = names[report->wanted];
    same += (same.empty() ? "" : ",") + row.name;
    reports.push_back(std::move(*report));
  }
  const bool every = names.size() == 1 && reports.size() == program.rows.size();
  const CellConfig config = cell_config(reports.front().parameters, first->name);
  std::vector<std::string> commands;
  for (const auto& [seeds, rows] : names) {
    commands.push_back(command(program, mark, *first, config) + " --seeds " +
                       std::to_string(seeds) + (every ? "" : " --rows '" + rows + "'"));
  }
  const std::string title = program.title + (mark.empty() ? ", full size" : ", " + mark) +
                            (differences.empty() ? "" : " (" + differences + ")");
  std::vector<std::string> lines = footer(reports, commands);
  return table_of(program, title, std::move(reports), std::move(lines));
}

}  // namespace

std::vector<Quantity> accuracies(std::optional<double> paper_train, std::optional<Interval> train,
                                 std::optional<double> paper_test, std::optional<Interval> test) {
  return {
      {.name = "train_percent",
       .title = "training accuracy, %",
       .paper = paper_train,
       .accepted = train},
      {.name = "test_percent", .title = "test accuracy, %", .paper = paper_test, .accepted = test}};
}

std::string marks(const TrainingRow& row, const CellConfig& config) {
  std::string mark;
  const auto add = [&](const char* word) {
    mark += (mark.empty() ? "" : ", ") + std::string(word);
  };
  if (same_size(config, row.quick) && !same_size(config, row.full)) {
    add("quick");
  } else if (config.dataset.train_size < row.full.dataset.train_size ||
             config.dataset.test_size < row.full.dataset.test_size ||
             config.epochs < row.full.epochs) {
    add("reduced");
  } else if (!same_size(config, row.full)) {
    add("changed");
  }
  if (config.dataset.name == "synthetic") add("synthetic");
  return mark;
}

RowReport report_of(const TrainingRow& row, const CellConfig& config, int wanted) {
  return {.name = row.name,
          .title = row.title,
          .quantities = row.quantities.empty() ? accuracies() : row.quantities,
          .precision = precision_of(config),
          .parameters = to_json(config),
          .mark = marks(row, config),
          .wanted = wanted,
          .classes = 10};
}

Table table_of(const TrainingProgram& program, const std::string& title,
               std::vector<RowReport> reports, std::vector<std::string> footer) {
  Table table{.title = title,
              .footer = std::move(footer),
              .layout = Table::Layout::accuracies,
              .mark = reports.front().mark};
  for (const RowReport& report : reports) table.sources.push_back(report.name);
  table.rows = std::move(reports);
  return program.readings.empty() ? table : read(program.readings, table);
}

std::vector<Table> kept_tables(const TrainingProgram& program, const std::vector<Result>& results) {
  struct Group {
    std::string mark;
    std::vector<const Result*> members = {};
  };
  std::map<Key, Group> groups;
  for (const Result& result : results) {
    if (!trains(result.config)) continue;
    const CellConfig config = cell_config(result.config, "a kept result");
    for (const TrainingRow& row : program.rows) {
      if (!belongs(config, row)) continue;
      Group& group = groups[key(row, config)];
      group.mark = marks(row, config);
      group.members.push_back(&result);
      break;
    }
  }
  std::vector<Table> tables;
  for (const auto& [key, group] : groups) {
    const std::string differences = key.first == 1 ? key.second : "";
    tables.push_back(table_of(program, group.members, group.mark, differences));
  }
  return tables;
}

}  // namespace shatter::experiments
