// Where results come from, and the footer that says so.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <shatter/experiments/runs/run_folder.h>
#include <shatter/experiments/runs/version.h>

namespace shatter::experiments {

struct Origin {
  std::string commit, device;
  int threads = 0;
  std::string data, provenance;
  std::string executable = executable_id();  ///< of the program that computed it
};
Origin origin(const FinishedCell& cell);

/// "tf32", "tf32, autotuned convolutions".
std::string precision_text(const CellConfig& config);

/// "stored by another build of this program: 3 of 5 results"; nothing where there is none.
std::vector<std::string> other_builds(const std::vector<Origin>& results);

/// Device, threads, commit, data set and its provenance, where the results agree or each in turn;
/// and the commands that repeat them.
std::vector<std::string> footer(const std::vector<Origin>& results, const std::string& precision,
                                const std::vector<std::string>& commands);
/// Names of rows joined by commas, by the number of seeds they have: more than one command where
/// the numbers differ.
using RowsBySeeds = std::map<int, std::string, std::greater<>>;

}  // namespace shatter::experiments
