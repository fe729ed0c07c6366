// Statistics against tabulated values, and the verdicts made of them.
#include <shatter/experiments/report/statistics.h>
#include <shatter/experiments/report/training.h>

#include <cmath>

#include "tests/support/catch.h"

using namespace shatter::experiments;

TEST_CASE("Student's t quantiles agree with the printed tables") {
  // freedom, 0.975 quantile, 0.95 quantile
  const double table[][3] = {{1, 12.7062047, 6.31375151},  {2, 4.30265273, 2.91998558},
                             {3, 3.18244631, 2.35336343},  {4, 2.77644511, 2.13184679},
                             {9, 2.26215716, 1.83311293},  {30, 2.04227246, 1.69726089},
                             {120, 1.97993041, 1.65765090}};
  for (const auto& [freedom, q975, q95] : table) {
    CHECK(student_t_quantile(0.975, freedom) == Approx(q975).epsilon(1e-8));
    CHECK(student_t_quantile(0.95, freedom) == Approx(q95).epsilon(1e-8));
    CHECK(student_t_quantile(0.025, freedom) == Approx(-q975).epsilon(1e-8));
    CHECK(student_t_cdf(q975, freedom) == Approx(0.975).epsilon(1e-8));
  }
  CHECK(student_t_quantile(0.5, 3) == Approx(0).margin(1e-12));
  CHECK(student_t_quantile(0.975, 1e7) == Approx(1.959964).epsilon(1e-6));
  CHECK_THROWS(student_t_quantile(1, 3));
  CHECK_THROWS(student_t_quantile(0.5, 0));
}

TEST_CASE("Means, deviations and t-intervals") {
  const Sample s = summarize({50.0, 51.0, 52.0});
  CHECK(s.n == 3);
  CHECK(s.mean == 51.0);
  CHECK(s.deviation == Approx(1.0));
  CHECK(s.half_width == Approx(4.30265273 / std::sqrt(3.0)).epsilon(1e-8));
  CHECK(std::isnan(summarize({}).mean));
  CHECK(summarize({7}).mean == 7);
  CHECK(std::isnan(summarize({7}).deviation));
  CHECK(std::isnan(summarize({7}).half_width));
  CHECK(summarize({3, 3, 3}).half_width == 0);
}

TEST_CASE("Medians") {
  CHECK(median({}) == 0);
  CHECK(median({3}) == 3);
  CHECK(median({68.4, 4.0, 21.2, 4.1, 4.2}) == 4.2);
  CHECK(median({4, 1, 3, 2}) == 2.5);
}

TEST_CASE("Wilson intervals") {
  const Interval half = binomial_interval(50, 100);
  CHECK(half.low == Approx(0.40383).epsilon(1e-4));
  CHECK(half.high == Approx(0.59617).epsilon(1e-4));
  const Interval none = binomial_interval(0, 10);
  CHECK(none.low == Approx(0).margin(1e-12));
  CHECK(none.high == Approx(0.27753).epsilon(1e-4));
  CHECK(binomial_interval(0, 0).high == 1);
}

namespace {

using Outcome = Judgement::Outcome;

/// A full-size row of training runs with these accuracies: training 99.9 at least, test 50.5 +- 2.
Outcome of(const std::vector<double>& train, const std::vector<double>& test, int diverged = 0) {
  RowReport row{.name = "x",
                .title = "x",
                .quantities = accuracies(100, at_least(99.9), 50.5, Interval{48.5, 52.5})};
  for (std::size_t i = 0; i < train.size(); ++i) {
    row.runs.push_back(
        {.config = {}, .numbers = {{"train_percent", train[i]}, {"test_percent", test[i]}}});
  }
  for (int i = 0; i < diverged; ++i) row.diverged.push_back({.config = {}, .diverged = true});
  return row.judgement().outcome;
}

}  // namespace

TEST_CASE("Verdicts") {
  CHECK(of({100, 100, 100}, {50, 50.5, 51}) == Outcome::reproduced);
  CHECK(of({100, 100, 100}, {52.4, 52.5, 52.4}) == Outcome::reproduced);
  CHECK(of({100, 100, 100}, {52.6, 52.7, 52.6}) == Outcome::not_reproduced);
  CHECK(of({100, 100, 100}, {47.1, 47.0, 47.2}) == Outcome::not_reproduced);
  CHECK(of({99.8, 99.8, 99.8}, {50, 50.5, 51}) == Outcome::not_reproduced);
}

TEST_CASE("Noise and too few seeds never buy a pass") {
  CHECK(of({100, 100}, {50.5, 50.5}) == Outcome::inconclusive);
  CHECK(of({}, {}) == Outcome::incomplete);
  CHECK(of({100, 100, 100}, {48, 50.5, 53}) == Outcome::inconclusive);  // half-width 6.2
  CHECK(of({100, 100, 100}, {30, 40, 50}) == Outcome::inconclusive);
  CHECK(of({99.7, 100, 100}, {50, 50.5, 51}) == Outcome::inconclusive);  // 99.9, half-width 0.4
}

TEST_CASE("Diverged seeds are not dropped") {
  CHECK(of({100, 100, 100}, {50, 50.5, 51}, 1) == Outcome::not_reproduced);
  CHECK(of({100, 100}, {50, 50.5}, 1) == Outcome::not_reproduced);
  CHECK(of({}, {}, 3) == Outcome::not_reproduced);
  CHECK(of({100}, {50}, 1) == Outcome::inconclusive);
}

TEST_CASE("What any training run must show") {
  const auto random = [](double train, double test) {
    return judge({.random_labels = true, .train = train, .test = test, .test_size = 1000}, "quick");
  };
  CHECK(random(100, 10.3).accepted());
  CHECK(random(99, 13).accepted());
  CHECK(!random(98.9, 10).accepted());
  CHECK(random(98.9, 10).text() == "quick: FAILS: does not fit: training 98.9 % < 99 %");
  CHECK(!random(100, 20).accepted());
  CHECK(!random(100, 3).accepted());
  const auto labelled = [](double train, double test, std::int64_t size) {
    return judge({.random_labels = false, .train = train, .test = test, .test_size = size}, "")
        .accepted();
  };
  CHECK(labelled(100, 35, 1000));
  CHECK(labelled(60, 35, 1000));
  CHECK(!labelled(100, 16, 1000));
  CHECK(!labelled(100, 20, 20));  // four of twenty may be luck
}
