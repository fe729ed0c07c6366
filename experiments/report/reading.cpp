// From finished runs to the numbers of a figure.
#include <shatter/experiments/report/reading.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

#include <shatter/experiments/train/cell.h>

namespace shatter::experiments {
namespace {

/// "mlp-1x512-random-labels-seed1-1a2b3c4d"
std::string name_of(const Result& run) {
  return folder_name(cell_config(run.config, "a result"));
}

const std::vector<double>& column_of(const Result& run, std::string_view name) {
  const auto found = run.curves.find(std::string(name));
  check(found != run.curves.end() && !found->second.empty(), name_of(run),
        ": its curve has no column ", name);
  return found->second;
}

/// The values of a column at the epochs that were evaluated.
std::vector<double> evaluated(const Result& run, const std::string& name) {
  std::vector<double> values = column_of(run, name);
  std::erase_if(values, [](double value) { return std::isnan(value); });
  check(!values.empty(), name_of(run), ": ", name, " was never evaluated");
  return values;
}

/// The value at epoch `i` with what stands in for it.
double value_at(const Result& run, const std::string& name, std::size_t i) {
  const auto found = run.curves.find(name);
  const double value = found == run.curves.end() ? std::nan("") : found->second.at(i);
  if (!std::isnan(value) || name != "train_accuracy") return value;
  return column_of(run, "accuracy").at(i);
}

/// The runs of each seed among the needed rows; complete seeds only.
std::map<std::uint64_t, SeedRuns> by_seed(const std::vector<std::string>& needs,
                                          const std::map<std::string, const RowReport*>& rows) {
  std::map<std::uint64_t, SeedRuns> seeds;
  for (const std::string& name : needs) {
    for (const Result& run : rows.at(name)->runs) seeds[run.seed()][name] = &run;
  }
  const std::size_t all = std::set<std::string>(needs.begin(), needs.end()).size();
  std::erase_if(seeds, [&](const auto& entry) { return entry.second.size() < all; });
  return seeds;
}

RowReport report_of(const Reading& reading, const std::map<std::string, const RowReport*>& rows) {
  RowReport report{
      .name = reading.needs.front(), .title = reading.title, .quantities = reading.quantities};
  for (const std::string& name : std::set(reading.needs.begin(), reading.needs.end())) {
    const RowReport& row = *rows.at(name);
    if (!row.mark.empty()) report.mark = row.mark;
    report.precision = row.precision;
    report.wanted = std::max(report.wanted, row.wanted);
    report.diverged.insert(report.diverged.end(), row.diverged.begin(), row.diverged.end());
    for (const std::string& note : row.notes) report.note(note);
  }
  for (const auto& [seed, runs] : by_seed(reading.needs, rows)) {
    Result numbers{.config = {{"seed", seed}}};
    for (const auto& [name, value] : reading.numbers(runs)) numbers.numbers[name] = value;
    for (const auto& [name, run] : runs) {
      numbers.seconds += run->seconds;
      numbers.origin = run->origin;
    }
    report.runs.push_back(std::move(numbers));
  }
  return report;
}

}  // namespace

Table read(const std::vector<Reading>& readings, const Table& table) {
  std::map<std::string, const RowReport*> rows;
  for (const RowReport& report : table.rows) rows[report.name] = &report;
  Table result = table;
  result.rows.clear();
  result.layout = Table::Layout::quantities;
  for (const Reading& reading : readings) {
    const bool asked = std::all_of(reading.needs.begin(), reading.needs.end(),
                                   [&](const std::string& name) { return rows.contains(name); });
    if (asked) result.rows.push_back(report_of(reading, rows));
  }
  return result;
}

double first_step(const Result& run, const std::string& column, double level, bool rising) {
  const std::vector<double>& steps = column_of(run, "step");
  double before = std::nan(""), at = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const double value = value_at(run, column, i);
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

double largest(const Result& run, const std::string& column) {
  return std::ranges::max(evaluated(run, column));
}

double unsteadiness(const Result& run, const std::string& column) {
  const std::vector<double> values = evaluated(run, column);
  std::vector<double> changes;
  for (std::size_t i = std::max<std::size_t>(1, values.size() / 2); i < values.size(); ++i) {
    changes.push_back(values[i] - values[i - 1]);
  }
  return summarize(changes).deviation;
}

double early_stopping_gain(const Result& run, const std::string& column,
                           const std::string& chosen_by) {
  const std::vector<double> values = evaluated(run, column);
  const std::vector<double> choice = evaluated(run, chosen_by);
  check(values.size() == choice.size(), name_of(run), ": ", column, " and ", chosen_by,
        " were not evaluated together");
  const auto best = std::ranges::max_element(choice) - choice.begin();
  return values[std::size_t(best)] - values.back();
}

}  // namespace shatter::experiments
