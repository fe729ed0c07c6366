// Measurements as they are stored, judged and printed: a line for each quantity of each row.
#pragma once

#include <string>
#include <vector>

#include <shatter/experiments/report/measurement.h>
#include <shatter/experiments/report/origin.h>
#include <shatter/experiments/report/text_table.h>

namespace shatter::experiments {

/// A finished measurement, read from its folder or from a kept file.
struct FinishedMeasurement {
  /// {program, row, data, parameters, seed where seeded, device, precision}: what is hashed.
  nlohmann::json config;
  Measured measured;
  double seconds = 0;
  Origin origin;
};
/// Throws (data) naming `where` for what compact_result did not make.
FinishedMeasurement finished_measurement(const nlohmann::json& compact, const std::string& where);

/// How parameters and data fall short of the row's full size: "" or some of "quick", "reduced" (a
/// size is smaller), "changed" (other parameters differ) and "synthetic" joined by ", ".
std::string marks(const MeasurementRow& row, const nlohmann::json& parameters,
                  const std::string& dataset);
/// "train_size=500, gamma=0.01": where parameters differ from the row's full ones.
std::vector<std::string> changes(const MeasurementRow& row, const nlohmann::json& parameters);

/// `value` in the quantity's format; "-" where it is not finite.
std::string printed(const Quantity& quantity, double value);

struct Judgement {
  std::string text;      ///< "reproduced", "quick: as expected", "-" where nothing is expected
  bool accepted = true;  ///< nothing expected, or what is expected
};
/// At full size (mark empty): reproduced when the mean lies in quantity.accepted, not reproduced
/// otherwise; of seeded rows inconclusive below three seeds, when the 95 % interval's half-width
/// exceeds half of a two-sided range, or when it crosses the bound of a one-sided one. Else by
/// quantity.quick.
Judgement judge(const Quantity& quantity, const Sample& sample, const std::string& mark,
                bool seeded);

struct MeasurementReport {
  MeasurementRow row;
  nlohmann::json parameters;
  std::string mark;
  std::vector<FinishedMeasurement> runs;  ///< finished, one for each seed
  std::vector<std::string> notes;         ///< why others are not: "failed", "not finished"
  int diverged = 0;                       ///< training runs that did, among those it is read off
  int wanted = 1;

  /// Of one quantity over the runs that have it.
  Sample sample(const Quantity& quantity) const;
  /// Runs without a finite value of it: those never came to it, and no verdict is given.
  int censored(const Quantity& quantity) const;
  /// judge() of the runs; where any diverged, not reproduced (inconclusive below three). What is
  /// missing comes first.
  Judgement judgement(const Quantity& quantity) const;
  /// Complete, and every quantity is.
  bool accepted() const;
};

struct MeasurementTable {
  std::string title;
  std::vector<MeasurementReport> rows;
  std::vector<std::string> footer;
};
std::string render(const MeasurementTable& table, Format format);
/// Whether every row is accepted, and any quantity has a range to be in; what is not is said.
bool accepted(const MeasurementTable& table, Progress& progress);

/// Where each of the rows' runs was computed.
std::vector<Origin> origins(const std::vector<MeasurementReport>& rows);

/// Commit, device, precision, data and commands of the rows' runs.
std::vector<std::string> footer(const std::vector<MeasurementReport>& rows,
                                const std::vector<std::string>& commands);

/// One table for each kind of size, data and device among the program's results, full-size ones
/// first; those of rows it no longer has are passed over.
std::vector<MeasurementTable> kept_tables(const MeasurementProgram& program,
                                          const std::vector<FinishedMeasurement>& results);

}  // namespace shatter::experiments
