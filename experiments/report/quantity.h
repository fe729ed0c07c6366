// Numbers that are compared with what the paper says, and the judgement of them.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <shatter/experiments/report/statistics.h>

namespace shatter::experiments {

/// A number that results have, and where its mean over the seeds must lie.
struct Quantity {
  std::string name;   ///< its key in Result::numbers: "test_error"
  std::string title;  ///< as printed, with its unit: "test error, %"
  std::string format = "%.2f";
  std::optional<double> paper = {};  ///< the published value, printed beside ours
  std::optional<Interval> accepted =
      {};  ///< where the mean must lie at full size; ends may be infinite
  std::optional<Interval> quick = {};  ///< where it must lie in quick, reduced and synthetic runs
};

/// Ranges with one end, and of one value.
inline Interval at_most(double high) {
  return {-std::numeric_limits<double>::infinity(), high};
}
inline Interval at_least(double low) {
  return {low, std::numeric_limits<double>::infinity()};
}
inline Interval exactly(double value) {
  return {value, value};
}

/// `value` in the quantity's format; "-" where it is not finite.
std::string printed(const Quantity& quantity, double value);
/// "89.05", "89.05 ± 0.21", "-".
std::string printed(const Quantity& quantity, const Sample& sample, const char* plus_minus = " ± ");

struct Judgement {
  enum class Outcome {
    unjudged,  ///< nothing is expected
    reproduced,
    not_reproduced,
    inconclusive,  ///< full size: too few seeds, or a mean known too poorly
    as_expected,   ///< below full size
    not_as_expected,
    incomplete  ///< runs that are missing, diverged or never came to the number
  };
  Outcome outcome = Outcome::unjudged;
  std::string mark = {};                ///< "quick"; empty at full size
  std::vector<std::string> notes = {};  ///< what is missing: "1 diverged", "not finished"
  std::string finding = {};  ///< what a run below full size shows, instead of "as expected"

  /// Nothing expected, or what is expected.
  bool accepted() const;
  /// "reproduced", "quick: as expected", "1 diverged; not reproduced", "-" where nothing is to say.
  std::string text() const;
};

/// At full size (mark empty): reproduced when the mean lies in quantity.accepted, not reproduced
/// otherwise; of seeded rows inconclusive below three seeds, when the 95 % interval's half-width
/// exceeds half of a two-sided range, or when it crosses the bound of a one-sided one. Else by
/// quantity.quick.
Judgement judge(const Quantity& quantity, const Sample& sample, const std::string& mark,
                bool seeded);

/// What any training run, however small, must show: it fits its training labels where it can be
/// asked to, and generalises clearly above chance exactly if its labels are true.
struct FitCheck {
  bool random_labels = false;
  double train = 0, test = 0;  ///< means, in percent
  std::int64_t test_size = 0, seeds = 1;
  std::int64_t classes = 10;
};
/// as_expected or not_as_expected, with the finding: "fits; test at chance". Random labels: at
/// least 99 % training accuracy, and chance inside the 4-sigma binomial interval of the test
/// accuracy (predictions are alike within a class, so their spread exceeds binomial's). True
/// labels: the lower end of the 95 % interval above one and a half times chance.
Judgement judge(const FitCheck& check, const std::string& mark);

}  // namespace shatter::experiments
