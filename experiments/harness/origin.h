// Where results come from, and the footer that says so.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <shatter/experiments/harness/run_folder.h>

namespace shatter::experiments {

struct Origin {
  std::string commit, device;
  int threads = 0;
  std::string data, provenance;
};
Origin origin(const FinishedCell& cell);

/// "tf32", "tf32, autotuned convolutions".
std::string precision_text(const CellConfig& config);

/// Device, threads, commit, data set and its provenance, where the results agree or each in turn;
/// and the commands that repeat them.
std::vector<std::string> footer(const std::vector<Origin>& results, const std::string& precision,
                                const std::vector<std::string>& commands);
/// Names of rows joined by commas, by the number of seeds they have: more than one command where
/// the numbers differ.
using RowsBySeeds = std::map<int, std::string, std::greater<>>;

}  // namespace shatter::experiments
