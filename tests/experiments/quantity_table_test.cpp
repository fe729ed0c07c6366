// Numbers beside the paper's: when a line is reproduced, and what the table says.
#include <shatter/experiments/harness/quantity_table.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tests/support/catch.h"

using namespace shatter::experiments;
using Catch::Matchers::Contains;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const double none = std::nan("");

QuantityLine line(std::vector<double> values, Interval accepted = {45, 47}) {
  return {.row = "CIFAR-10, pixels",
          .quantity = {.name = "test_error",
                       .title = "test error, %",
                       .paper = 46,
                       .accepted = accepted,
                       .quick = Interval{0, 80}},
          .mark = "",
          .values = std::move(values),
          .wanted = 3};
}

QuantityLine marked(QuantityLine one, const char* mark) {
  one.mark = mark;
  return one;
}

}  // namespace

TEST_CASE("A mean inside the range is reproduced, outside it is not") {
  CHECK(line({46.1, 46.0, 46.2}).verdict() == Verdict::reproduced);
  CHECK(line({47.4, 47.5, 47.6}).verdict() == Verdict::not_reproduced);
  CHECK(line({0.99, 0.995, 0.992}, {0.98, infinity}).verdict() == Verdict::reproduced);
  CHECK(line({0.90, 0.91, 0.92}, {0.98, infinity}).verdict() == Verdict::not_reproduced);
}

TEST_CASE("Noise, few seeds and censored runs leave a number inconclusive") {
  CHECK(line({46.0, 46.0}).verdict() == Verdict::inconclusive);
  CHECK(line({45.0, 47.0, 46.0}).verdict() == Verdict::inconclusive);
  CHECK(line({46.0, 46.0, none}).verdict() == Verdict::inconclusive);
  CHECK(line({0.97, 1.0, 0.975}, {0.98, infinity}).verdict() == Verdict::inconclusive);
  CHECK(line({}).judgement() == "not run");
  CHECK(line({46.0, none, infinity}).judgement() == "2 censored; inconclusive");
}

TEST_CASE("A deterministic number needs one run") {
  QuantityLine one = line({46.0});
  one.seeded = false;
  one.wanted = 1;
  CHECK(one.verdict() == Verdict::reproduced);
  CHECK(one.passes());
}

TEST_CASE("Marked runs are judged by their own range and never called reproduced") {
  CHECK(marked(line({70}), "quick").judgement() == "quick: as expected");
  CHECK(marked(line({85}), "reduced").judgement() == "reduced: NOT AS EXPECTED");
  CHECK_FALSE(marked(line({85, 85, 85}), "reduced").passes());
  CHECK(marked(line({70, 70, 70}), "quick").passes());
  CHECK_FALSE(marked(line({70, 70}), "quick").passes());
}

TEST_CASE("The table shows ours, the paper's and the difference") {
  QuantityTable table{
      .title = "Table 3", .lines = {line({46.5, 46.0, 46.4})}, .footer = {"commit: x"}};
  const std::string text = render(table, Format::markdown);
  CHECK_THAT(text, Contains("| CIFAR-10, pixels | test error, % | 46.30 ± 0.26 | 46.00 | +0.30 | "
                            "45.00 to 47.00 | reproduced | 3 |"));
  CHECK_THAT(text, Contains("- commit: x"));
  CHECK_THAT(render(table, Format::latex), Contains("$46.30 \\pm 0.26$") && Contains("error, \\%"));
  CHECK_THAT(render(table, Format::csv), Contains("\"CIFAR-10, pixels\",test_error,,46.3,"));
  const auto json = nlohmann::json::parse(render(table, Format::json));
  CHECK(json["lines"][0]["verdict"] == "reproduced");
  CHECK(json["lines"][0]["values"].size() == 3);
  table.lines[0].mark = "quick";
  CHECK_THAT(render(table, Format::markdown),
             Contains("| - | 0.00 to 80.00 | quick: as expected |"));
  CHECK_FALSE(nlohmann::json::parse(render(table, Format::json))["lines"][0].contains("verdict"));
}
