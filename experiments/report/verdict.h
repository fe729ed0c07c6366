// Whether a row of ours agrees with the paper's: computed, never written by hand.
#pragma once

#include <cstdint>
#include <string>

#include <shatter/experiments/report/statistics.h>

namespace shatter::experiments {

/// What a row is compared with, in percent.
struct Reference {
  double train = 0, test = 0;  ///< the paper's numbers, as printed beside ours
  double target = 0;           ///< what the test accuracy should be: the paper's, or chance
  double tolerance = 0;        ///< on the mean test accuracy around `target`
  double train_least = 0;      ///< accepted mean training accuracy
};

enum class Verdict { reproduced, inconclusive, not_reproduced };
const char* name_of(Verdict verdict);

/// inconclusive: fewer than three seeds ran, or the t-interval's half-width exceeds the tolerance.
/// reproduced: no seed diverged, the mean test accuracy lies within the tolerance and the mean
/// training accuracy reaches train_least. not_reproduced otherwise.
Verdict verdict(const Sample& train, const Sample& test, int diverged, const Reference& reference);

/// What any run, however small, must show: a row fits its training labels where it can be asked to,
/// and generalises clearly above chance exactly if its labels are true.
struct OwnCheck {
  bool passed = false;
  std::string text;  ///< "fits, test at chance" or what is missing
};
struct OwnCheckInput {
  bool random_labels = false;
  double train = 0, test = 0;  ///< means, in percent
  int diverged = 0;
  std::int64_t test_size = 0, seeds = 1;
  std::int64_t classes = 10;
};
/// Random labels: at least 99 % training accuracy, and chance inside the 4-sigma binomial interval
/// of the test accuracy (predictions are alike within a class, so their spread exceeds binomial's).
/// True labels: the lower end of the 95 % interval above one and a half times chance.
OwnCheck own_check(const OwnCheckInput& input);

}  // namespace shatter::experiments
