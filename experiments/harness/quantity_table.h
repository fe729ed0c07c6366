// A table with one line for each number: ours, the paper's, the difference, the verdict.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <shatter/experiments/harness/options.h>
#include <shatter/experiments/harness/statistics.h>
#include <shatter/experiments/harness/verdict.h>

namespace shatter::experiments {

/// A number an experiment yields, and how it is judged. Ends of intervals may be infinite.
struct Quantity {
  std::string name;   ///< in JSON and CSV: "test_error"
  std::string title;  ///< as printed, with its unit: "test error, %"
  std::string format = "%.2f";
  std::optional<double> paper;       ///< the published value
  std::optional<Interval> accepted;  ///< where the mean must lie at full size
  std::optional<Interval> quick;     ///< where it must lie in quick, reduced and synthetic runs
};

/// One number as it came out.
struct QuantityLine {
  std::string row;  ///< what it was measured on: "MNIST, pixels"
  Quantity quantity;
  std::string mark;            ///< "", or some of "quick", "reduced", "synthetic" joined by ", "
  std::vector<double> values;  ///< one for each seed; not finite where it has no such number
  int wanted = 1;              ///< seeds asked for
  bool seeded = true;          ///< has random parts: one run alone says too little
  double seconds = 0;          ///< mean over the seeds
  std::vector<std::string> notes = {};  ///< why values are missing

  Sample sample() const;  ///< of the finite values
  /// Values that are not finite: runs that never came to it.
  int censored() const;
  const std::optional<Interval>& range() const {
    return mark.empty() ? quantity.accepted : quantity.quick;
  }
  /// inconclusive: values are censored; or, where seeded, fewer than three seeds, or the
  /// t-interval's half-width exceeds the accepted interval's, or it holds the end of a half-open
  /// one. Else whether the mean is accepted. Only where a range is.
  Verdict verdict() const;
  /// What is printed: the verdict at full size, else the mark with whether it is as expected.
  std::string judgement() const;
  /// Complete; and where there is a range, reproduced (full size) or as expected (marked).
  bool passes() const;
};

struct QuantityTable {
  std::string title;
  std::vector<QuantityLine> lines;
  std::vector<std::string> footer;
};
std::string render(const QuantityTable& table, Format format);

/// The parts of tables. Markdown and LaTeX cells, a field of CSV, a JSON number or null.
std::string csv_field(const std::string& value);
std::string latex_escaped(const std::string& value);

}  // namespace shatter::experiments
