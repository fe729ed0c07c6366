// Finished runs as small files that can be committed, and read back.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include <shatter/core/file.h>
#include <shatter/experiments/runs/run_folder.h>

namespace shatter::experiments {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// One array for each number an epoch's line may hold; null where an epoch lacks it.
json curve(const std::string& metrics) {
  std::vector<json> epochs;
  std::istringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    json entry = json::parse(line, nullptr, false);
    if (entry.is_object() && entry.contains("accuracy")) {
      json flat;
      for (const auto& [key, value] : entry.items()) {
        if (key == "train" || key == "test" || key == "held_out") {
          flat[key + "_accuracy"] = value.at("accuracy");
          flat[key + "_loss"] = value.at("loss");
        } else if (key == "probes") {
          for (const auto& [name, number] : value.items()) flat[name] = number;
        } else {
          flat[key] = value;
        }
      }
      epochs.push_back(std::move(flat));
    }
  }
  json columns = json::object();
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    for (const auto& [key, value] : epochs[i].items()) {
      if (!columns.contains(key)) columns[key] = std::vector<json>(epochs.size());
      columns[key][i] = value;
    }
  }
  return columns;
}

fs::path kept_path(const fs::path& folder, const CellConfig& config) {
  return folder / (folder_name(config) + ".json");
}

}  // namespace

json compact_result(const fs::path& folder) {
  const json environment = read_json(folder / "env.json");
  const json& sessions = environment.at("sessions");
  json compact = {
      {"config", read_json(folder / "config.json")},
      {"environment", sessions.empty() ? json::object() : sessions.back()},
      {"sessions", sessions.size()},
      {"seconds", read_json(folder / "timing.json").at("seconds")},
      {"result", read_json(folder / "result.json")},
      {"curve", fs::exists(folder / "metrics.jsonl") ? curve(read_file(folder / "metrics.jsonl"))
                                                     : json::object()}};
  if (is_measurement(compact)) {
    json& result = compact["result"];
    if (result.contains("curves")) compact["curve"] = result["curves"];
    result.erase("curves");
  }
  if (fs::exists(folder / "plans.json")) compact["plans"] = read_json(folder / "plans.json");
  return compact;
}

FinishedCell finished_cell(const json& compact, const std::string& where) {
  if (!compact.is_object() || !compact.contains("config") || !compact.contains("result")) {
    fail(ErrorKind::data, where, ": not a kept result");
  }
  FinishedCell cell{.config = cell_config(compact["config"], where),
                    .result = run_result(compact["result"], where),
                    .seconds = compact.value("seconds", 0.0),
                    .commit = {},
                    .device = {},
                    .provenance = {},
                    .executable = {}};
  const json environment = compact.value("environment", json::object());
  cell.commit = environment.value("commit", "unknown");
  cell.device = environment.value("device", "unknown");
  cell.provenance = environment.value("provenance", "");
  cell.executable = environment.value("executable", "unknown");
  cell.threads = environment.value("threads", 0);
  const json curve = compact.value("curve", json::object());
  for (const auto& [name, column] : curve.items()) {
    for (const json& value : column) {
      cell.curve[name].push_back(value.is_number() ? value.get<double>()
                                                   : std::numeric_limits<double>::quiet_NaN());
    }
  }
  return cell;
}

std::optional<FinishedCell> find_kept(const fs::path& folder, const CellConfig& config) {
  const fs::path path = kept_path(folder, config);
  if (!fs::exists(path)) return std::nullopt;
  const json compact = read_json(path);
  FinishedCell cell = finished_cell(compact, path.string());
  check_kept(path, to_json(config), compact);
  return cell;
}

void keep_result(const fs::path& folder, const CellConfig& config, const fs::path& run_folder) {
  fs::create_directories(folder);
  write_file_atomically(kept_path(folder, config), compact_result(run_folder).dump() + "\n");
}

void check_kept(const fs::path& path, const json& expected, const json& compact) {
  std::string keys;
  for (const std::string& line : differences(expected, compact.at("config"))) keys += "\n  " + line;
  if (keys.empty()) return;
  fail(ErrorKind::data, path.string(), " is not the result this file is named for:", keys);
}

std::vector<std::pair<fs::path, json>> kept_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(ErrorKind::data, folder.string(), ": no such folder of kept results");
  }
  std::vector<fs::path> paths;
  for (auto entry = fs::recursive_directory_iterator(folder), end = decltype(entry)(); entry != end;
       ++entry) {
    const bool run = fs::exists(entry->path() / "config.json");
    if (run) entry.disable_recursion_pending();
    if (run ? fs::exists(entry->path() / "result.json") : entry->path().extension() == ".json")
      paths.push_back(entry->path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::pair<fs::path, json>> files;
  for (const fs::path& path : paths)
    files.emplace_back(path, fs::is_directory(path) ? compact_result(path) : read_json(path));
  return files;
}

bool is_measurement(const json& compact) {
  return compact.is_object() && compact.contains("config") && compact["config"].contains("program");
}

std::vector<FinishedCell> kept_results(const fs::path& folder) {
  std::vector<FinishedCell> cells;
  for (const auto& [path, compact] : kept_files(folder)) {
    if (is_measurement(compact)) continue;
    cells.push_back(finished_cell(compact, path.string()));
  }
  return cells;
}

}  // namespace shatter::experiments
