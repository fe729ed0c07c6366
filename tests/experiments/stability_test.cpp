// stability: two trainings that differ in one example.
#include <nlohmann/json.hpp>

#include "tests/experiments/process.h"

using nlohmann::json;

namespace {

const std::string program = std::string(SHATTER_PROGRAM_FOLDER) + "/stability";

Finished tiny(const std::filesystem::path& out, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--quick",     "--synthetic", "--train-size", "60",
                                        "--test-size", "40",          "--threads",    "1",
                                        "--format",    "json",        "--out",        out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(program, arguments);
}

}  // namespace

TEST_CASE("Replacing an example changes losses under true and under random labels") {
  const TemporaryFolder folder;
  const Finished run = tiny(folder.path(), {"--rows", "mlp-1x512/*"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  const json table = json::parse(run.out);
  REQUIRE(table["rows"].size() == 2);
  for (const json& row : table["rows"]) {
    const json& numbers = row["runs"][0]["numbers"];
    CHECK(numbers["mean"] > 0);
    // what the first network was fitted to, the second has never seen
    CHECK(numbers["own"] > 0);
  }
  CHECK(contains(run.out, "reduced, synthetic"));
}

TEST_CASE("With no training there is no instability") {
  const TemporaryFolder folder;
  const Finished run = tiny(folder.path(), {"--rows", "mlp-1x512/true-labels", "--set",
                                            "learning_rate=1e-30", "--epochs", "1"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  const json numbers = json::parse(run.out)["rows"][0]["runs"][0]["numbers"];
  CHECK(numbers["largest"] == 0.0);
  CHECK(numbers["flipped"] == 0.0);
}
