// The options every experiment program has, and their parser: a function of the arguments.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <shatter/core/text.h>
#include <shatter/experiments/report/program_info.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/job.h>
#include <shatter/experiments/runs/progress.h>
#include <nlohmann/json.hpp>

namespace shatter::experiments {

struct Options {
  std::filesystem::path data;  ///< empty: $SHATTER_DATA, else datasets/
  std::filesystem::path out = ".";
  std::string device = "auto";
  std::string precision = "fp32";
  bool autotune = false;  ///< measure convolution plans on a CUDA device
  int threads = 0;        ///< 0: all usable cores
  int jobs = 1;
  std::uint64_t seed = 1;
  std::optional<int> seeds;  ///< default: 3, with quick 1
  /// Options that change the rows, by name: {"--epochs": 5}.
  nlohmann::json row_options = nlohmann::json::object();
  /// Parameters of measurements and their new values, as typed.
  std::vector<std::pair<std::string, std::string>> set;
  std::string rows = "*";  ///< globs, separated by commas
  bool quick = false;
  bool synthetic = false;
  bool resume = true;
  CheckpointInterval checkpoint_every;
  bool dry_run = false;
  Format format = Format::markdown;
  bool check = false;
  ProgressMode progress = ProgressMode::automatic;
  bool fail_fast = false;
  bool profile = false;          ///< where the time goes, by kernel, on stderr
  std::filesystem::path keep;    ///< kept results: read as done, added to when a cell finishes
  std::filesystem::path report;  ///< train nothing, make the tables of the results kept there
  std::filesystem::path into;    ///< with report: the document whose marked section is replaced
};

/// Either options to run with, or a text to print and an exit code: to stdout when the code is 0
/// (--help, --version), else to stderr.
struct ParsedOptions {
  Options options;
  std::optional<int> exit_code;
  std::string text;
};

/// `arguments` without the program's name. Never throws for what a user can type.
ParsedOptions parse_options(const ProgramInfo& program, const std::vector<std::string>& arguments);

}  // namespace shatter::experiments
