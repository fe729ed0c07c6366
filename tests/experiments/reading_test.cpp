// Numbers read off finished runs, and the programs made of them.
#include <shatter/experiments/report/reading.h>
#include <shatter/experiments/train/cell.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/experiments/process.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

const double none = std::nan("");

Result cell(std::uint64_t seed) {
  CellConfig config;
  config.model = "mlp-1x512";
  config.seed = seed;
  return {.config = to_json(config),
          .curves = {{"step", {10, 20, 30, 40}},
                     {"loss", {2.0, 1.0, 0.5, 0.1}},
                     {"accuracy", {0.2, 0.5, 0.9, 1.0}},
                     {"train_accuracy", {none, none, 0.95, 1.0}},
                     {"test_accuracy", {0.3, 0.6, 0.5, 0.4}}},
          .seconds = 10};
}

RowReport row(const std::string& name, const std::vector<Result>& results, int wanted,
              const std::string& mark = "") {
  RowReport report{.name = name, .title = name, .mark = mark, .wanted = wanted};
  for (const Result& one : results) (one.diverged ? report.diverged : report.runs).push_back(one);
  return report;
}

Reading sum_of_seeds(const std::string& a, const std::string& b) {
  return {.title = a + "+" + b,
          .needs = {a, b},
          .quantities = {{.name = "seeds", .title = "sum of seeds", .accepted = Interval{2, 10}}},
          .numbers = [=](const SeedRuns& runs) -> std::map<std::string, double> {
            return {{"seeds", double(runs.at(a)->seed() + runs.at(b)->seed())}};
          }};
}

Finished tiny(const std::string& program, const std::filesystem::path& out,
              std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--synthetic", "--train-size", "64",        "--test-size",
                                        "50",          "--epochs",     "2",         "--threads",
                                        "1",           "--out",        out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/" + program, arguments);
}

}  // namespace

TEST_CASE("The step of a level lies between the ends of epochs") {
  const Result one = cell(1);
  CHECK(first_step(one, "loss", 0.75, false) == Approx(25));
  CHECK(first_step(one, "loss", 2.5, false) == 10);
  CHECK(first_step(one, "loss", 0.01, false) == INFINITY);
  CHECK(first_step(one, "test_accuracy", 0.45, true) == Approx(15));
  // from 0.5 while training to 0.95 over all images
  CHECK(first_step(one, "train_accuracy", 0.8, true) == Approx(20 + 10 * 0.3 / 0.45));
  CHECK(first_step(one, "train_accuracy", 0.99, true) == Approx(38));
  CHECK(relative_time(30, 20) == 1.5);
  CHECK(std::isnan(relative_time(30, INFINITY)));
  CHECK(std::isnan(relative_time(INFINITY, 20)));
  CHECK(largest(one, "test_accuracy") == 0.6);
  CHECK(largest(one, "train_accuracy") == 1.0);
  CHECK_THROWS_WITH(largest(one, "held_out_accuracy"), Contains("held_out_accuracy"));
}

TEST_CASE("Steadiness and early stopping are read off the evaluated epochs") {
  Result one = cell(1);
  one.curves["held_out_accuracy"] = {0.2, 0.5, 0.9, 0.9};
  // the later half: changes of -0.1 and -0.1
  CHECK(unsteadiness(one, "test_accuracy") == Approx(0).margin(1e-12));
  CHECK(early_stopping_gain(one, "test_accuracy", "held_out_accuracy") == Approx(0.1));
  CHECK(early_stopping_gain(one, "test_accuracy", "test_accuracy") == Approx(0.2));
  CHECK(std::isnan(unsteadiness(one, "train_accuracy")));  // evaluated twice: one change
  one.curves["test_accuracy"] = {none, 0.1, none, 0.4, none, 0.2, none, 0.6};
  one.curves["held_out_accuracy"] = {none, 0.1, none, 0.3, none, 0.5, none, 0.4};
  // of 0.1, 0.4, 0.2, 0.6 the last two changes, -0.2 and 0.4
  CHECK(unsteadiness(one, "test_accuracy") == Approx(std::sqrt(2 * 0.3 * 0.3)));
  CHECK(early_stopping_gain(one, "test_accuracy", "held_out_accuracy") == Approx(-0.4));
  one.curves["held_out_accuracy"].back() = none;
  CHECK_THROWS_WITH(early_stopping_gain(one, "test_accuracy", "held_out_accuracy"),
                    Contains("not evaluated together"));
  one.curves["held_out_accuracy"].assign(8, none);
  CHECK_THROWS_WITH(largest(one, "held_out_accuracy"), Contains("never evaluated"));
}

TEST_CASE("A reading pairs the runs of each seed, and waits for both") {
  Table table{.title = "T",
              .rows = {row("a", {cell(1), cell(2), cell(3)}, 3), row("b", {cell(3), cell(1)}, 3)},
              .footer = {"commit: c"}};
  const Table result = read({sum_of_seeds("a", "b"), sum_of_seeds("a", "c")}, table);
  REQUIRE(result.rows.size() == 1);  // nobody asked for c
  const RowReport& report = result.rows[0];
  REQUIRE(report.runs.size() == 2);
  CHECK(report.runs[0].numbers["seeds"] == 2.0);
  CHECK(report.runs[1].numbers["seeds"] == 6.0);
  CHECK(report.runs[0].seconds == 20);
  CHECK(report.wanted == 3);
  CHECK_FALSE(report.accepted());
  CHECK(report.judgement(report.quantities[0]).text() == "inconclusive");
  CHECK(result.footer == table.footer);
}

TEST_CASE("Diverged, censored and reduced runs are said to be so") {
  Result bad = cell(2);
  bad.diverged = true;
  Table table{.title = "T",
              .rows = {row("a", {cell(1), bad}, 2), row("b", {cell(1), cell(2)}, 2, "reduced")},
              .footer = {}};
  Reading reading = sum_of_seeds("a", "b");
  RowReport report = read({reading}, table).rows.at(0);
  CHECK(report.runs.size() == 1);
  CHECK(report.judgement(report.quantities[0]).text() == "reduced: 1 diverged");
  reading.numbers = [](const SeedRuns&) -> std::map<std::string, double> {
    return {{"seeds", INFINITY}};
  };
  report = read({reading}, table).rows.at(0);
  CHECK(report.judgement(report.quantities[0]).text() == "reduced: 1 diverged; 1 censored");
}

TEST_CASE("A diverged seed keeps a full-size reading from being reproduced") {
  Result bad = cell(2);
  bad.diverged = true;
  const auto read_of = [](std::vector<Result> cells) {
    const int wanted = int(cells.size());
    Reading reading = sum_of_seeds("a", "a");  // a row needed twice counts once
    reading.quantities[0].accepted = Interval{0, 100};
    return read({reading},
                {.title = "T", .rows = {row("a", std::move(cells), wanted)}, .footer = {}})
        .rows.at(0);
  };
  const Quantity quantity = read_of({cell(1)}).quantities[0];
  CHECK(read_of({cell(1), cell(3), cell(4)}).judgement(quantity).text() == "reproduced");
  const RowReport spoilt = read_of({cell(1), bad, cell(3), cell(4)});
  CHECK(spoilt.judgement(quantity).text() == "1 diverged; not reproduced");
  CHECK_FALSE(spoilt.accepted());
  CHECK(read_of({cell(1), bad}).judgement(quantity).text() == "1 diverged; inconclusive");
  CHECK(read_of({bad}).judgement(quantity).text() == "1 diverged; inconclusive");
}

TEST_CASE("figure1, figure2 and table4 train their rows and print what they say") {
  const TemporaryFolder folder;
  const Finished one = tiny("figure1", folder.path(), {"--rows", "mlp-1x512/*", "--seeds", "1"});
  INFO(one.err);
  REQUIRE(one.status == 0);
  CHECK(contains(one.out, "| (a) MLP 1x512, gaussian | training accuracy, % |"));
  CHECK(contains(one.out, "| (c) MLP 1x512, p = 40 % | test error, % |"));
  CHECK(contains(one.out, "| (b) MLP 1x512, p = 100 % |"));
  CHECK(contains(one.out, "reduced, synthetic"));
  CHECK(!contains(one.out, "AlexNet"));
  CHECK(get(folder / "reports/figure1/table.md") == one.out);

  const Finished four =
      tiny("table4", folder.path(),
           {"--rows", "mlp-1x512/*", "--seeds", "1", "--keep", (folder / "kept").string()});
  INFO(four.err);
  REQUIRE(four.status == 0);
  CHECK(contains(four.out, "| MLP 1x512, weight decay | training accuracy, % |"));
  const Finished report = run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/table4",
                                      {"--report", (folder / "kept").string(), "--format", "json"});
  INFO(report.err);
  REQUIRE(report.status == 0);
  CHECK(nlohmann::json::parse(report.out)[0]["rows"].size() == 1);
  const Finished other = run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/figure1",
                                     {"--report", (folder / "kept").string(), "--format", "json"});
  CHECK(other.status == 0);
  CHECK(nlohmann::json::parse(other.out).empty());

  const Finished two = tiny("figure2", folder.path(), {"--seeds", "1", "--dry-run"});
  INFO(two.err);
  REQUIRE(two.status == 0);
  CHECK(contains(two.out, "inception-no-bn/held-out"));
  CHECK(contains(two.out, "4 jobs; to do"));
}

TEST_CASE("figure2 reads the gain of stopping early off held-out images") {
  const TemporaryFolder folder;
  const Finished two =
      run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/figure2", {"--quick",
                                                                     "--synthetic",
                                                                     "--rows",
                                                                     "inception-no-bn/held-out",
                                                                     "--train-size",
                                                                     "16",
                                                                     "--test-size",
                                                                     "20",
                                                                     "--epochs",
                                                                     "4",
                                                                     "--evaluate-every",
                                                                     "2",
                                                                     "--threads",
                                                                     "1",
                                                                     "--out",
                                                                     folder.path().string(),
                                                                     "--keep",
                                                                     (folder / "kept").string(),
                                                                     "--format",
                                                                     "json"});
  INFO(two.err);
  REQUIRE(two.status == 0);
  const auto table = nlohmann::json::parse(two.out);
  const double gain = table["rows"][0]["runs"][0]["numbers"]["honest_gain"];
  const auto kept =
      nlohmann::json::parse(get(*std::filesystem::directory_iterator(folder / "kept")));
  const auto& curve = kept["curve"];
  const int best = curve["held_out_accuracy"][3] > curve["held_out_accuracy"][1] ? 3 : 1;
  CHECK(curve["held_out_accuracy"][0].is_null());
  CHECK(gain == Approx(100 * (double(curve["test_accuracy"][std::size_t(best)]) -
                              double(curve["test_accuracy"][3]))));
}
