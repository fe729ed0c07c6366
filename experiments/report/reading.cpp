// From finished runs to the numbers of a figure.
#include <shatter/experiments/report/reading.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

namespace shatter::experiments {
namespace {

const std::vector<double>& column_of(const FinishedCell& cell, std::string_view name) {
  const auto found = cell.curve.find(std::string(name));
  check(found != cell.curve.end() && !found->second.empty(), folder_name(cell.config),
        ": its curve has no column ", name);
  return found->second;
}

/// The values of a column at the epochs that were evaluated.
std::vector<double> evaluated(const FinishedCell& cell, const std::string& name) {
  std::vector<double> values = column_of(cell, name);
  std::erase_if(values, [](double value) { return std::isnan(value); });
  check(!values.empty(), folder_name(cell.config), ": ", name, " was never evaluated");
  return values;
}

/// The value at epoch `i` with what stands in for it.
double value_at(const FinishedCell& cell, const std::string& name, std::size_t i) {
  const auto found = cell.curve.find(name);
  const double value = found == cell.curve.end() ? std::nan("") : found->second.at(i);
  if (!std::isnan(value) || name != "train_accuracy") return value;
  return column_of(cell, "accuracy").at(i);
}

/// The runs of each seed among the needed rows; complete seeds only.
std::map<std::uint64_t, SeedRuns> by_seed(const std::vector<std::string>& needs,
                                          const std::map<std::string, const RowReport*>& rows) {
  std::map<std::uint64_t, SeedRuns> seeds;
  for (const std::string& name : needs) {
    for (const FinishedCell& cell : rows.at(name)->cells) {
      if (!cell.result.diverged) seeds[cell.config.seed][name] = &cell;
    }
  }
  const std::size_t all = std::set<std::string>(needs.begin(), needs.end()).size();
  std::erase_if(seeds, [&](const auto& entry) { return entry.second.size() < all; });
  return seeds;
}

MeasurementReport report_of(const Reading& reading,
                            const std::map<std::string, const RowReport*>& rows) {
  MeasurementReport report{.row = {.name = reading.needs.front(),
                                   .title = reading.title,
                                   .seeded = true,
                                   .precision = "fp32",
                                   .quantities = reading.quantities,
                                   .compute = {}},
                           .parameters = {},
                           .mark = {},
                           .runs = {},
                           .notes = {},
                           .wanted = 0};
  for (const std::string& name : std::set(reading.needs.begin(), reading.needs.end())) {
    const RowReport& row = *rows.at(name);
    if (!row.mark.empty()) report.mark = row.mark;
    report.wanted = std::max(report.wanted, row.wanted);
    report.diverged += row.diverged;
    for (const std::string& note : row.notes) {
      if (std::find(report.notes.begin(), report.notes.end(), note) == report.notes.end()) {
        report.notes.push_back(note);
      }
    }
  }
  for (const auto& [seed, runs] : by_seed(reading.needs, rows)) {
    FinishedMeasurement run{.config = {{"seed", seed}}, .measured = {}, .origin = {}};
    for (const auto& [name, value] : reading.numbers(runs)) run.measured.numbers[name] = value;
    for (const auto& [name, cell] : runs) {
      run.seconds += cell->seconds;
      run.origin = origin(*cell);
    }
    report.runs.push_back(std::move(run));
  }
  return report;
}

}  // namespace

MeasurementTable read(const std::vector<Reading>& readings, const Table& table) {
  std::map<std::string, const RowReport*> rows;
  for (const RowReport& report : table.rows) rows[report.row.name] = &report;
  MeasurementTable result{.title = table.title, .rows = {}, .footer = table.footer};
  for (const Reading& reading : readings) {
    const bool asked = std::all_of(reading.needs.begin(), reading.needs.end(),
                                   [&](const std::string& name) { return rows.contains(name); });
    if (asked) result.rows.push_back(report_of(reading, rows));
  }
  return result;
}

double first_step(const FinishedCell& cell, const std::string& column, double level, bool rising) {
  const std::vector<double>& steps = column_of(cell, "step");
  double before = std::nan(""), at = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const double value = value_at(cell, column, i);
    if (std::isnan(value)) continue;
    if (rising ? value >= level : value <= level) {
      if (std::isnan(before)) return steps[i];
      return at + (steps[i] - at) * (level - before) / (value - before);
    }
    before = value;
    at = steps[i];
  }
  return std::numeric_limits<double>::infinity();
}

double relative_time(double time, double base) {
  return std::isfinite(time) && std::isfinite(base) ? time / base : std::nan("");
}

double largest(const FinishedCell& cell, const std::string& column) {
  return std::ranges::max(evaluated(cell, column));
}

double unsteadiness(const FinishedCell& cell, const std::string& column) {
  const std::vector<double> values = evaluated(cell, column);
  std::vector<double> changes;
  for (std::size_t i = std::max<std::size_t>(1, values.size() / 2); i < values.size(); ++i) {
    changes.push_back(values[i] - values[i - 1]);
  }
  return summarize(changes).deviation;
}

double early_stopping_gain(const FinishedCell& cell, const std::string& column,
                           const std::string& chosen_by) {
  const std::vector<double> values = evaluated(cell, column);
  const std::vector<double> choice = evaluated(cell, chosen_by);
  check(values.size() == choice.size(), folder_name(cell.config), ": ", column, " and ", chosen_by,
        " were not evaluated together");
  const auto best = std::ranges::max_element(choice) - choice.begin();
  return values[std::size_t(best)] - values.back();
}

}  // namespace shatter::experiments
