// The verdict of a row and the check a small run can pass.
#include <shatter/experiments/report/verdict.h>

#include <cmath>
#include <cstdio>

namespace shatter::experiments {
namespace {

std::string percent(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.1f %%", value);
  return digits;
}

}  // namespace

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced: return "reproduced";
    case Verdict::inconclusive: return "inconclusive";
    case Verdict::not_reproduced: break;
  }
  return "not reproduced";
}

Verdict verdict(const Sample& train, const Sample& test, int diverged, const Reference& reference) {
  if (test.n + diverged < 3) return Verdict::inconclusive;
  if (diverged > 0) return Verdict::not_reproduced;
  if (!(test.half_width <= reference.tolerance)) return Verdict::inconclusive;
  const bool near = std::abs(test.mean - reference.target) <= reference.tolerance;
  return near && train.mean >= reference.train_least ? Verdict::reproduced
                                                     : Verdict::not_reproduced;
}

OwnCheck own_check(const OwnCheckInput& input) {
  if (input.diverged > 0) return {false, "diverged"};
  const double chance = 100.0 / static_cast<double>(input.classes);
  const std::int64_t trials = input.test_size * input.seeds;
  const auto successes = std::llround(input.test / 100 * static_cast<double>(trials));
  if (input.random_labels) {
    const Interval test = binomial_interval(successes, trials, 4);
    const bool fits = input.train >= 99;
    const bool at_chance = 100 * test.low <= chance && chance <= 100 * test.high;
    if (fits && at_chance) return {true, "fits; test at chance"};
    return {false, !fits ? "does not fit: training " + percent(input.train) + " < 99 %"
                         : "test " + percent(input.test) + " is not chance"};
  }
  const bool above = 100 * binomial_interval(successes, trials).low > 1.5 * chance;
  if (above) return {true, "generalises"};
  return {false, "test " + percent(input.test) + " not clearly above chance"};
}

}  // namespace shatter::experiments
