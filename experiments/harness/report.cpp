// Grouping kept results into tables.
#include <shatter/experiments/harness/report.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include <shatter/experiments/harness/origin.h>
#include <shatter/experiments/harness/text_table.h>

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
         config.rotation == full.rotation && config.weight_decay == full.weight_decay &&
         config.crop == full.crop && data_fits;
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
  return {1, where + " " + std::to_string(config.dataset.train_size) + " images, at most " +
                 std::to_string(config.epochs) + " epochs, batch " + std::to_string(config.batch) +
                 ", test " + std::to_string(config.dataset.test_size) + rate};
}

std::string command(const TableProgram& program, const std::string& mark, const Row& row,
                    const CellConfig& config, std::size_t seeds, const std::string& rows) {
  std::string line = program.info.name;
  if (mark.starts_with("quick")) line += " --quick";
  if (config.dataset.name == "synthetic") line += " --synthetic";
  if (mark.starts_with("reduced") || mark.starts_with("changed")) {
    const auto add = [&](const char* option, auto value, auto usual) {
      if (value != usual) line += std::string(" ") + option + " " + nlohmann::json(value).dump();
    };
    add("--train-size", config.dataset.train_size, row.full.dataset.train_size);
    add("--test-size", config.dataset.test_size, row.full.dataset.test_size);
    add("--epochs", config.epochs, row.full.epochs);
    add("--evaluate-every", config.evaluate_every, row.full.evaluate_every);
    add("--batch", config.batch, row.full.batch);
    add("--learning-rate", config.learning_rate, row.full.learning_rate);
    add("--learning-rate-decay", config.learning_rate_decay, row.full.learning_rate_decay);
  }
  if (config.precision != "fp32") line += " --precision " + config.precision;
  if (config.autotune) line += " --autotune";
  line += " --device " + config.device + " --seeds " + std::to_string(seeds);
  return rows.empty() ? line : line + " --rows '" + rows + "'";
}

Table make_table(const TableProgram& program, const std::vector<const FinishedCell*>& group,
                 const std::string& mark) {
  Table table{.title = program.title + (mark.empty() ? ", full size" : ", " + mark),
              .rows = {},
              .footer = {}};
  std::vector<Origin> all;
  std::string rows;
  std::size_t seeds = 0;
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
    seeds = std::max(seeds, cells.size());
    rows += (rows.empty() ? "" : ",") + row.name;
    const int n = static_cast<int>(cells.size());
    const CellConfig config = cells.front().config;
    table.rows.push_back(make_report(row, config, std::move(cells), {}, n));
  }
  const bool every = table.rows.size() == program.rows.size();
  const CellConfig& config = table.rows.front().config;
  table.footer =
      footer(all, precision_text(config),
             command(program, mark, table.rows.front().row, config, seeds, every ? "" : rows));
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
