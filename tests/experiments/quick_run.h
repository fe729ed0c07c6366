// Programs of measurements, run in small.
#pragma once

#include <nlohmann/json.hpp>

#include "tests/experiments/process.h"

/// Runs a program with --quick --synthetic and checks that each number with a range lies in it; how
/// many have one.
inline int quick_as_expected(const std::string& program) {
  const TemporaryFolder folder;
  const Finished run =
      run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/" + program,
                  {"--quick", "--synthetic", "--format", "json", "--out", folder.path().string()});
  INFO(program << run.err);
  REQUIRE(run.status == 0);
  int judged = 0;
  const auto table = nlohmann::json::parse(run.out);
  for (const auto& row : table["rows"]) {
    for (const auto& quantity : row["quantities"]) {
      if (row["mark"] == "" || quantity["quick_range"].is_null()) continue;
      INFO(row["row"] << " " << quantity["name"]);
      CHECK(quantity["accepted"] == true);
      ++judged;
    }
  }
  return judged;
}
