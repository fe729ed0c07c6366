// Grouping kept results into tables.
#include <shatter/core/text.h>
#include <shatter/experiments/report/report.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include <shatter/experiments/report/origin.h>
#include <shatter/experiments/report/text_table.h>

namespace shatter::experiments {
namespace {

/// Whether a run is this row's, of whatever size, batch and learning rates.
bool belongs(const CellConfig& config, const Row& row) {
  const CellConfig& full = row.full;
  const bool data_fits =
      (config.dataset.name == full.dataset.name || config.dataset.name == "synthetic") &&
      (config.dataset.held_out > 0) == (full.dataset.held_out > 0);
  return config.model == full.model && config.corruption == full.corruption &&
         (full.corruption != data::Corruption::partial_labels ||
          config.corruption_probability == full.corruption_probability) &&
         config.random_crop == full.random_crop && config.flip == full.flip &&
         config.rotation == full.rotation && config.whiten == full.whiten &&
         config.weight_decay == full.weight_decay && config.crop == full.crop && data_fits;
}

/// Results with equal keys stand in one table: the kind of size, then what differs.
using Key = std::pair<int, std::string>;

Key key(const Row& row, const CellConfig& config) {
  const std::string mark = marks(row, config);
  const std::string where =
      config.dataset.name + " " + config.device + " " + precision_text(config);
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
std::string command(const TableProgram& program, const std::string& mark, const Row& row,
                    const CellConfig& config) {
  std::string line = program.info.name;
  const bool quick = mark.starts_with("quick");
  const CellConfig& usual = quick ? row.quick : row.full;
  if (quick) line += " --quick";
  if (config.dataset.name == "synthetic") line += " --synthetic";
  const auto add = [&](const char* option, auto value, auto own) {
    if (value == own) return;
    if constexpr (std::is_same_v<decltype(value), std::string>)
      line += std::string(" ") + option + " " + value;
    else
      line += std::string(" ") + option + " " + nlohmann::json(value).dump();
  };
  add("--train-size", config.dataset.train_size, usual.dataset.train_size);
  add("--test-size", config.dataset.test_size, usual.dataset.test_size);
  add("--epochs", config.epochs, usual.epochs);
  add("--evaluate-every", config.evaluate_every, usual.evaluate_every);
  add("--batch", config.batch, usual.batch);
  add("--learning-rate", config.learning_rate, usual.learning_rate);
  add("--learning-rate-decay", config.learning_rate_decay, usual.learning_rate_decay);
  add("--optimizer", config.optimizer, usual.optimizer);
  add("--schedule", config.schedule, usual.schedule);
  add("--warm-up", config.warm_up, usual.warm_up);
  if (has_momentum(config.optimizer)) add("--momentum", config.momentum, usual.momentum);
  if (config.precision != "fp32") line += " --precision " + config.precision;
  if (config.autotune) line += " --autotune";
  return line + " --device " + config.device;
}

Table make_table(const TableProgram& program, const std::vector<const FinishedCell*>& group,
                 const std::string& mark) {
  Table table{.title = program.title + (mark.empty() ? ", full size" : ", " + mark),
              .rows = {},
              .footer = {}};
  std::vector<Origin> all;
  RowsBySeeds names;
  for (const Row& row : program.rows) {
    std::vector<FinishedCell> cells;
    for (const FinishedCell* cell : group) {
      if (belongs(cell->config, row)) cells.push_back(*cell);
    }
    if (cells.empty()) continue;
    std::sort(cells.begin(), cells.end(), [](const FinishedCell& a, const FinishedCell& b) {
      return a.config.seed < b.config.seed;
    });
    for (const FinishedCell& cell : cells) all.push_back(origin(cell));
    const int n = static_cast<int>(cells.size());
    names[n] += (names[n].empty() ? "" : ",") + row.name;
    const CellConfig config = cells.front().config;
    table.rows.push_back(make_report(row, config, std::move(cells), {}, n));
  }
  const bool every = names.size() == 1 && table.rows.size() == program.rows.size();
  const CellConfig& config = table.rows.front().config;
  std::vector<std::string> commands;
  for (const auto& [seeds, rows] : names) {
    commands.push_back(command(program, mark, table.rows.front().row, config) + " --seeds " +
                       std::to_string(seeds) + (every ? "" : " --rows '" + rows + "'"));
  }
  table.footer = footer(all, precision_text(config), commands);
  return table;
}

}  // namespace

std::vector<Table> kept_tables(const TableProgram& program,
                               const std::vector<FinishedCell>& results) {
  std::map<Key, std::pair<std::string, std::vector<const FinishedCell*>>> groups;
  for (const FinishedCell& cell : results) {
    for (const Row& row : program.rows) {
      if (!belongs(cell.config, row)) continue;
      auto& [mark, members] = groups[key(row, cell.config)];
      mark = marks(row, cell.config);
      members.push_back(&cell);
      break;
    }
  }
  std::vector<Table> tables;
  for (const auto& [name, group] : groups) {
    tables.push_back(make_table(program, group.second, group.first));
    if (name.first == 1) tables.back().title += " (" + name.second + ")";
  }
  return tables;
}

std::string replace_section(const std::string& document, const std::string& name,
                            const std::string& section) {
  const std::string first = "<!-- " + name + ":begin -->", last = "<!-- " + name + ":end -->";
  const std::size_t begin = document.find(first), end = document.find(last);
  check(begin != std::string::npos && end != std::string::npos && begin < end,
        "the document has no ", first, " ... ", last);
  return document.substr(0, begin + first.size()) + "\n" + section + document.substr(end);
}

}  // namespace shatter::experiments
