// The footer of tables.
#include <shatter/core/text.h>
#include <shatter/experiments/report/origin.h>

#include <algorithm>
#include <set>

#include <shatter/experiments/report/text_table.h>

namespace shatter::experiments {

Origin origin(const FinishedCell& cell) {
  return {.commit = cell.commit,
          .device = cell.device,
          .threads = cell.threads,
          .data = cell.config.dataset.name,
          .provenance = cell.provenance,
          .executable = cell.executable};
}

std::string precision_text(const CellConfig& config) {
  return config.precision + (config.autotune ? ", autotuned convolutions" : "");
}

std::vector<std::string> footer(const std::vector<Origin>& results, const std::string& precision,
                                const std::vector<std::string>& commands) {
  std::set<std::string> commits, devices, sources, provenances;
  for (const Origin& result : results) {
    commits.insert(result.commit);
    devices.insert(
        text(result.device, ", ", result.threads, result.threads == 1 ? " thread" : " threads"));
    sources.insert(result.data);
    if (!result.provenance.empty()) provenances.insert(result.provenance);
  }
  std::vector<std::string> lines = {"commit: " + joined(commits, "; "),
                                    "device: " + joined(devices, "; "), "precision: " + precision,
                                    "data: " + joined(sources, "; ")};
  for (const std::string& provenance : provenances) {
    std::string line = provenance;
    while (!line.empty() && line.back() == '\n') line.pop_back();
    std::replace(line.begin(), line.end(), '\n', ' ');
    lines.push_back("provenance: \"" + line + "\"");
  }
  std::string repeat;
  for (const std::string& command : commands) {
    repeat += (repeat.empty() ? "repeat: `" : ", `") + command + "`";
  }
  lines.push_back(repeat);
  return lines;
}

std::vector<std::string> other_builds(const std::vector<Origin>& results) {
  const auto others = std::count_if(results.begin(), results.end(), [](const Origin& result) {
    return result.executable != executable_id();
  });
  if (others == 0) return {};
  return {text("stored by another build of this program: ", others, " of ", results.size(),
               " results; `--resume never` computes them afresh")};
}

}  // namespace shatter::experiments
