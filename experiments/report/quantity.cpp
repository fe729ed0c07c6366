// Verdicts over seeds, and the check a small run can pass.
#include <shatter/experiments/report/quantity.h>

#include <cmath>
#include <cstdio>

namespace shatter::experiments {

using Outcome = Judgement::Outcome;

namespace {

/// Whether the mean of a seeded row is known too poorly to say if it lies in `range`.
bool uncertain(const Sample& sample, const Interval& range) {
  if (sample.n < 3) return true;
  if (std::isfinite(range.low) && std::isfinite(range.high)) {
    return sample.half_width > (range.high - range.low) / 2;
  }
  const double bound = std::isfinite(range.low) ? range.low : range.high;
  return std::isfinite(bound) && std::abs(sample.mean - bound) < sample.half_width;
}

std::string percent(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.1f %%", value);
  return digits;
}

std::string word(Outcome outcome) {
  switch (outcome) {
    case Outcome::reproduced: return "reproduced";
    case Outcome::not_reproduced: return "not reproduced";
    case Outcome::inconclusive: return "inconclusive";
    case Outcome::as_expected: return "as expected";
    case Outcome::not_as_expected: return "NOT as expected";
    case Outcome::unjudged:
    case Outcome::incomplete: break;
  }
  return "";
}

}  // namespace

std::string printed(const Quantity& quantity, double value) {
  if (!std::isfinite(value)) return "-";
  char text[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(text, sizeof text, quantity.format.c_str(), value);
#pragma GCC diagnostic pop
  return text;
}

std::string printed(const Quantity& quantity, const Sample& sample, const char* plus_minus) {
  if (sample.n == 0) return "-";
  const std::string mean = printed(quantity, sample.mean);
  return sample.n > 1 ? mean + plus_minus + printed(quantity, sample.deviation) : mean;
}

bool Judgement::accepted() const {
  return outcome == Outcome::unjudged || outcome == Outcome::reproduced ||
         outcome == Outcome::as_expected;
}

std::string Judgement::text() const {
  std::string body;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) body += (body.empty() ? "" : "; ") + part;
  };
  for (const std::string& note : notes) add(note);
  add(finding.empty() ? word(outcome) : finding);
  if (body.empty() && outcome == Outcome::incomplete) body = "not run";
  if (body.empty()) return mark.empty() ? "-" : mark;
  return mark.empty() ? body : mark + ": " + body;
}

Judgement judge(const Quantity& quantity, const Sample& sample, const std::string& mark,
                bool seeded) {
  const bool full = mark.empty();
  const auto& range = full ? quantity.accepted : quantity.quick;
  if (!range) return {.mark = mark};
  const bool inside = sample.n > 0 && sample.mean >= range->low && sample.mean <= range->high;
  if (!full)
    return {.outcome = inside ? Outcome::as_expected : Outcome::not_as_expected, .mark = mark};
  if (seeded && sample.n > 0 && uncertain(sample, *range))
    return {.outcome = Outcome::inconclusive};
  return {.outcome = inside ? Outcome::reproduced : Outcome::not_reproduced};
}

Judgement judge(const FitCheck& check, const std::string& mark) {
  const double chance = 100.0 / static_cast<double>(check.classes);
  const std::int64_t trials = check.test_size * check.seeds;
  const auto successes = std::llround(check.test / 100 * static_cast<double>(trials));
  const auto passed = [&](const char* finding) {
    return Judgement{.outcome = Outcome::as_expected, .mark = mark, .finding = finding};
  };
  const auto fails = [&](const std::string& finding) {
    return Judgement{
        .outcome = Outcome::not_as_expected, .mark = mark, .finding = "FAILS: " + finding};
  };
  if (check.random_labels) {
    const Interval test = binomial_interval(successes, trials, 4);
    if (check.train < 99)
      return fails("does not fit: training " + percent(check.train) + " < 99 %");
    if (100 * test.low <= chance && chance <= 100 * test.high)
      return passed("fits; test at chance");
    return fails("test " + percent(check.test) + " is not chance");
  }
  const bool above = 100 * binomial_interval(successes, trials).low > 1.5 * chance;
  return above ? passed("generalises")
               : fails("test " + percent(check.test) + " not clearly above chance");
}

}  // namespace shatter::experiments
