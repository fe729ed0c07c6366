// --profile: the table of a real program, and its results with and without.
#include <shatter/experiments/report/profile_table.h>

#include <cmath>
#include <map>
#include <sstream>

#include "tests/experiments/process.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

struct Line {
  std::string name;
  double calls = 0, seconds = 0, share = 0;
};

/// Numbers stand in the last five columns, "-" for 0; the name may have spaces.
std::vector<Line> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<Line> lines;
  bool inside = false;
  for (std::string row; std::getline(in, row);) {
    if (row.starts_with("shares are of")) break;
    if (inside) {
      std::istringstream words(row);
      std::vector<std::string> all;
      for (std::string word; words >> word;) all.push_back(word == "-" ? "0" : word);
      REQUIRE(all.size() >= 6);
      const std::size_t first = all.size() - 5;
      Line line;
      for (std::size_t i = 0; i < first; ++i) line.name += (i ? " " : "") + all[i];
      line.calls = std::stod(all[first]);
      line.seconds = std::stod(all[first + 1]);
      line.share = std::stod(all[first + 2]);
      lines.push_back(line);
    }
    inside = inside || row.starts_with("kernel ");
  }
  return lines;
}

void check_shares(const std::vector<Line>& lines) {
  REQUIRE(lines.size() >= 2);
  double share = 0;
  for (const Line& line : lines) share += line.share;
  CHECK(std::abs(share - 100) <= 0.005 * double(lines.size()) + 1e-9);
  CHECK(lines.back().name == "outside kernels");
}

/// The bytes of every file below `runs` that holds results, without what tells of time.
std::map<std::string, std::string> results_below(const std::filesystem::path& runs) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(runs)) {
    const std::string name = entry.path().filename().string();
    if (name == "model.safetensors" || name == "metrics.jsonl" || name == "config.json")
      files[std::filesystem::relative(entry.path(), runs).string()] = get(entry.path());
  }
  return files;
}

}  // namespace

TEST_CASE("The table of a profile: shares of all threads' time, or of a step's") {
  const Profile profile{.rows = {{"matmul", 4, 3, {6'000'000'000, 1'500'000'000}},
                                 {"copy_rows", 2, 1, {0, 250'000'000}}},
                        .seconds = 4,
                        .at_once = 2};
  CHECK(profile.outside_kernels() == 4);
  const std::string table = profile_table(profile);
  CHECK(table ==
        "kernel               calls      seconds share %    GFLOP/s       GB/s\n"
        "matmul                   4        3.000   37.50        2.0        0.5\n"
        "copy_rows                2        1.000   12.50          -        0.2\n"
        "outside kernels          -        4.000   50.00          -          -\n"
        "shares are of 4.000 seconds x 2 threads in kernels\n");
  check_shares(lines_of(table));
  const std::vector<Line> step = lines_of(profile_table(profile, 8));
  CHECK(step[0].calls == 0.5);
  CHECK(step[0].seconds == 375);
  CHECK(step[0].share == 37.5);
  CHECK(contains(profile_table({.rows = {}, .seconds = 2, .at_once = 0}), "shares are of 2.000 "));
}

TEST_CASE("The option --profile prints where the time went and changes no result") {
  const TemporaryFolder folder;
  const auto run = [&](const char* out, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"--synthetic",
                                          "--rows",
                                          "mlp-1x512/*",
                                          "--seeds",
                                          "1",
                                          "--train-size",
                                          "300",
                                          "--test-size",
                                          "50",
                                          "--epochs",
                                          "2",
                                          "--threads",
                                          "2",
                                          "--progress",
                                          "none",
                                          "--out",
                                          (folder / out).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished finished = run_program(SHATTER_TABLE1, arguments);
    INFO(finished.err);
    REQUIRE(finished.status == 0);
    return finished;
  };
  const Finished plain = run("plain", {}), profiled = run("profiled", {"--profile"});
  CHECK(plain.err.empty());
  CHECK(!contains(profiled.out, "outside kernels"));
  const auto results = results_below(folder / "plain/runs");
  CHECK(results.size() == 9);
  CHECK(results_below(folder / "profiled/runs") == results);

  const std::vector<Line> lines = lines_of(profiled.err);
  check_shares(lines);
  const auto calls = [&](const std::string& name) {
    for (const Line& line : lines)
      if (line.name == name) return line.calls;
    return 0.0;
  };
  // 3 runs of 2 epochs of 3 steps, 2 products forward and 3 backward, and the evaluations'.
  CHECK(calls("sgd_update") == 18);
  CHECK(calls("linear_forward") >= 2 * 18 + 3 * 2 * 2);
  CHECK(calls("matmul") == 3 * 18);
  CHECK(calls("unary_backward relu") == 18);

  // Finished runs are taken up as they are, whether or not they were profiled; two jobs share.
  const Finished again = run("plain", {"--profile"});
  CHECK(lines_of(again.err).size() < lines.size());
  check_shares(lines_of(run("jobs", {"--profile", "--jobs", "2", "--resume", "never"}).err));
  CHECK(results_below(folder / "jobs/runs") == results);
}

TEST_CASE("Measurements have a profile too") {
  const TemporaryFolder folder;
  const Finished run = run_program(std::string(SHATTER_PROGRAM_FOLDER) + "/theorem1",
                                   {"--quick", "--synthetic", "--profile", "--progress", "none",
                                    "--out", folder.path().string()});
  INFO(run.err);
  REQUIRE(run.status == 0);
  check_shares(lines_of(run.err));
}
