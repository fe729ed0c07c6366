// Grouping kept measurements into tables.
#include <algorithm>
#include <map>
#include <set>

#include <shatter/core/text.h>
#include <shatter/experiments/report/measurement_table.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/version.h>

namespace shatter::experiments {
namespace {

/// Results with equal keys stand in one table: the kind of size, then what differs.
struct Key {
  int kind = 0;
  std::string where, changes;
  auto operator<=>(const Key&) const = default;
};

const MeasurementRow* row_of(const MeasurementProgram& program, const FinishedMeasurement& run) {
  const auto found = std::find_if(
      program.rows.begin(), program.rows.end(),
      [&](const MeasurementRow& row) { return row.name == run.config.value("row", ""); });
  return found == program.rows.end() ? nullptr : &*found;
}

Key key(const MeasurementRow& row, const FinishedMeasurement& run) {
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
                                  const std::vector<MeasurementReport>& rows) {
  std::string line = program.info.name;
  const MeasurementReport& first = rows.front();
  if (key.kind == 2) line += " --quick";
  if (key.where.starts_with("synthetic")) line += " --synthetic";
  if (key.kind == 1) {
    for (const std::string& word : changes(first.row, first.parameters))
      line += " --set '" + word + "'";
  }
  int most = 0;
  for (const MeasurementReport& report : rows) {
    if (report.row.seeded) most = std::max(most, report.wanted);
  }
  RowsBySeeds names;
  for (const MeasurementReport& report : rows) {
    std::string& group = names[report.row.seeded ? report.wanted : most];
    group += (group.empty() ? "" : ",") + report.row.name;
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

std::vector<Origin> origins(const std::vector<MeasurementReport>& rows) {
  std::vector<Origin> all;
  for (const MeasurementReport& report : rows) {
    for (const FinishedMeasurement& run : report.runs) all.push_back(run.origin);
  }
  return all;
}

std::vector<std::string> footer(const std::vector<MeasurementReport>& rows,
                                const std::vector<std::string>& commands) {
  std::vector<Origin> results = origins(rows);
  std::set<std::string> precisions;
  for (const MeasurementReport& report : rows) precisions.insert(report.row.precision);
  if (results.empty()) {  // nothing has finished
    results.push_back(
        {.commit = build_info().commit, .device = "-", .data = "-", .provenance = {}});
  }
  return footer(results, joined(precisions, "; "), commands);
}

std::vector<MeasurementTable> kept_tables(const MeasurementProgram& program,
                                          const std::vector<FinishedMeasurement>& results) {
  std::map<Key, std::vector<FinishedMeasurement>> groups;
  for (const FinishedMeasurement& run : results) {
    if (const MeasurementRow* row = row_of(program, run)) groups[key(*row, run)].push_back(run);
  }
  std::vector<MeasurementTable> tables;
  for (const auto& [group, runs] : groups) {
    MeasurementTable table{.title = program.title, .rows = {}, .footer = {}};
    for (const MeasurementRow& row : program.rows) {
      MeasurementReport report{
          .row = row, .parameters = {}, .mark = {}, .runs = {}, .notes = {}, .wanted = 1};
      for (const FinishedMeasurement& run : runs) {
        if (row_of(program, run) == &row) report.runs.push_back(run);
      }
      if (report.runs.empty()) continue;
      std::sort(report.runs.begin(), report.runs.end(), [](const auto& a, const auto& b) {
        return a.config.value("seed", 0) < b.config.value("seed", 0);
      });
      report.parameters = report.runs.front().config["parameters"];
      report.mark = marks(row, report.parameters, report.runs.front().origin.data);
      report.wanted = static_cast<int>(report.runs.size());
      table.rows.push_back(std::move(report));
    }
    const std::string& mark = table.rows.front().mark;
    table.title += mark.empty() ? ", full size" : ", " + mark;
    if (!group.changes.empty()) table.title += " (" + group.changes + ")";
    table.footer = footer(table.rows, commands(program, group, table.rows));
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace shatter::experiments
