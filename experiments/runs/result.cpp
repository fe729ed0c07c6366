// Finished jobs as small files that can be committed, and read back.
#include <shatter/experiments/runs/result.h>

#include <algorithm>
#include <limits>
#include <sstream>

#include <shatter/core/file.h>
#include <shatter/experiments/train/cell.h>
#include <shatter/experiments/train/record.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// {"train": {"accuracy": 1}, "epoch": 2} as {"train_accuracy": 1, "epoch": 2}.
json flat(const json& object) {
  json result = json::object();
  for (const auto& [key, value] : object.items()) {
    if (!value.is_object()) {
      result[key] = value;
    } else {
      for (const auto& [name, number] : value.items())
        result[key == "probes" ? name : key + "_" + name] = number;
    }
  }
  return result;
}

/// One array for each number an epoch's line may hold; null where an epoch lacks it.
json epochs(const std::string& metrics) {
  std::vector<json> lines;
  std::istringstream text(metrics);
  for (std::string line; std::getline(text, line);) {
    json entry = json::parse(line, nullptr, false);
    if (!entry.is_object() || !entry.contains("accuracy")) continue;
    for (const char* const set : {"train", "test", "held_out"}) {
      if (!entry.contains(set)) continue;
      entry[set].erase("correct");
      entry[set].erase("size");
    }
    lines.push_back(flat(entry));
  }
  json columns = json::object();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const auto& [key, value] : lines[i].items()) {
      if (!columns.contains(key)) columns[key] = std::vector<json>(lines.size());
      columns[key][i] = value;
    }
  }
  return columns;
}

fs::path kept_path(const fs::path& folder, const std::string& name) {
  return folder / (name + ".json");
}

/// Numbers of a training run's result.json.
void take_training(Result& result, const json& outcome, const std::string& where) {
  cell_config(result.config, where);
  const RunResult run = run_result(outcome, where);
  result.diverged = run.diverged;
  result.numbers = flat(outcome);
  for (const char* const word : {"status", "stopped_early", "train_accuracy", "test_accuracy"})
    result.numbers.erase(word);
  if (!run.diverged) {
    result.numbers["train_percent"] = 100 * run.train.accuracy();
    result.numbers["test_percent"] = 100 * run.test.accuracy();
  }
  result.origin.data = result.config["data"]["name"];
}

void take_measurement(Result& result, const json& outcome) {
  result.numbers = outcome.at("numbers");
  const json& data = result.config.at("data");
  result.origin.data = data.is_null() ? "none" : data.at("name").get<std::string>();
}

}  // namespace

double Result::number(const std::string& name) const {
  const auto found = numbers.find(name);
  if (found == numbers.end() || !found->is_number())
    fail(ErrorKind::data, "a result has no number ", name);
  return found->get<double>();
}

bool trains(const json& config) {
  return !config.contains("program");
}

json compact_result(const fs::path& folder) {
  const json environment = read_json(folder / "env.json");
  const json& sessions = environment.at("sessions");
  const json config = read_json(folder / "config.json");
  json result = read_json(folder / "result.json"), curves = json::object();
  if (trains(config)) {
    if (fs::exists(folder / "metrics.jsonl")) curves = epochs(read_file(folder / "metrics.jsonl"));
  } else {
    if (result.contains("curves")) curves = result["curves"];
    result.erase("curves");
  }
  json compact = {{"config", config},
                  {"environment", sessions.empty() ? json::object() : sessions.back()},
                  {"sessions", sessions.size()},
                  {"seconds", read_json(folder / "timing.json").at("seconds")},
                  {"result", result},
                  {"curve", curves}};
  if (fs::exists(folder / "plans.json")) compact["plans"] = read_json(folder / "plans.json");
  return compact;
}

Result result_of(const json& compact, const std::string& where) {
  if (!compact.is_object() || !compact.contains("config") || !compact.contains("result")) {
    fail(ErrorKind::data, where, ": not a kept result");
  }
  Result result{.config = compact["config"]};
  try {
    const json environment = compact.value("environment", json::object());
    result.origin = {.commit = environment.value("commit", "unknown"),
                     .device = environment.value("device", "unknown"),
                     .threads = environment.value("threads", 0),
                     .data = {},
                     .provenance = environment.value("provenance", ""),
                     .executable = environment.value("executable", "unknown")};
    result.seconds = compact.value("seconds", 0.0);
    if (trains(result.config)) {
      take_training(result, compact["result"], where);
    } else {
      take_measurement(result, compact["result"]);
    }
    const json curves = compact.value("curve", json::object());
    for (const auto& [name, column] : curves.items()) {
      for (const json& value : column) {
        result.curves[name].push_back(value.is_number() ? value.get<double>()
                                                        : std::numeric_limits<double>::quiet_NaN());
      }
    }
  } catch (const json::exception& error) {
    fail(ErrorKind::data, where, ": not a result: ", error.what());
  }
  return result;
}

std::optional<Result> find_kept(const fs::path& folder, const std::string& name,
                                const json& config) {
  const fs::path path = kept_path(folder, name);
  if (!fs::exists(path)) return std::nullopt;
  Result result = result_of(read_json(path), path.string());
  std::string keys;
  for (const std::string& line : differences(config, result.config)) keys += "\n  " + line;
  if (!keys.empty())
    fail(ErrorKind::data, path.string(), " is not the result this file is named for:", keys);
  return result;
}

void keep_result(const fs::path& folder, const fs::path& finished) {
  fs::create_directories(folder);
  write_file_atomically(kept_path(folder, finished.filename().string()),
                        compact_result(finished).dump() + "\n");
}

std::vector<Result> kept_results(const fs::path& folder) {
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
  std::vector<Result> results;
  for (const fs::path& path : paths)
    results.push_back(
        result_of(fs::is_directory(path) ? compact_result(path) : read_json(path), path.string()));
  return results;
}

json read_json(const fs::path& path) {
  json content = json::parse(read_file(path), nullptr, false);
  if (content.is_discarded()) fail(ErrorKind::data, path.string(), ": not JSON");
  return content;
}

}  // namespace shatter::experiments
