// The choice of plans to time, on made-up plans.
#include "benchmarks/plan_choice.h"

#include "tests/support/catch.h"

using shatter::benchmarks::plans_worth_timing;
using shatter::kernels::Conv2dPlan;

namespace {

constexpr std::int64_t mib = std::int64_t{1} << 20;

Conv2dPlan plan(const std::string& name, std::int64_t workspace, bool deterministic = true,
                bool compiled = false) {
  return {.name = name,
          .deterministic = deterministic,
          .runtime_compiled = compiled,
          .workspace_bytes = workspace};
}

std::string names(const std::vector<Conv2dPlan>& plans) {
  std::string all;
  for (const Conv2dPlan& p : plans) all += p.name;
  return all;
}

}  // namespace

TEST_CASE("A search times cuDNN's first plans and those that need little memory") {
  std::vector<Conv2dPlan> all;
  for (const char name : std::string("abcdefghi"))
    all.push_back(plan({name}, 60 * mib, name != 'b', name == 'c'));
  CHECK(names(plans_worth_timing(all)) == "abdefghi");

  all.push_back(plan("j", 4 * mib + 1));
  all.push_back(plan("k", 4 * mib));
  all.push_back(plan("l", 0, false));
  all.push_back(plan("m", 0, true, true));
  all.push_back(plan("n", 0));
  CHECK(names(plans_worth_timing(all)) == "abdefghikn");

  for (const char name : std::string("opqr")) all.push_back(plan({name}, 0));
  CHECK(names(plans_worth_timing(all)) == "abdefghiknop");
  CHECK(plans_worth_timing({}).empty());
}
