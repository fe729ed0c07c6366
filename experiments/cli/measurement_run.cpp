// The files around a computation.
#include <shatter/core/text.h>
#include <shatter/experiments/cli/measurement_run.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

#include <shatter/core/dispatch.h>
#include <shatter/core/file.h>
#include <shatter/kernels/context.h>

namespace shatter::experiments {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

fs::path kept_path(const RunSettings& settings, const json& config) {
  return settings.keep / (folder_name(config) + ".json");
}

std::optional<FinishedMeasurement> find_kept(const json& config, const RunSettings& settings) {
  if (settings.keep.empty() || !settings.resume) return std::nullopt;
  const fs::path path = kept_path(settings, config);
  if (!fs::exists(path)) return std::nullopt;
  const json compact = read_json(path);
  FinishedMeasurement finished = finished_measurement(compact, path.string());
  check_kept(path, config, compact);
  return finished;
}

void refuse_what_does_not_fit(const PlannedMeasurement& planned, const RunSettings& settings) {
  const Need need = need_of(planned);
  const double available = available_bytes(planned.device);
  if (planned.row->need && settings.progress) {
    settings.progress->say(planned.label + ": needs " + bytes_text(need.bytes) + ", about " +
                           duration(need.seconds));
  }
  if (need.bytes > available) {
    fail(ErrorKind::device, "needs ", bytes_text(need.bytes), " of memory, ", bytes_text(available),
         " are available; --quick or a smaller --train-size needs less");
  }
}

/// The folder, once no other process holds it; empty when asked to stop before.
std::optional<RunFolder> open_folder(const PlannedMeasurement& planned,
                                     const RunSettings& settings) {
  const std::string name = folder_name(planned.config);
  for (bool said = false; !(settings.stop && settings.stop());) {
    if (auto folder = RunFolder::open(settings.runs, name, planned.config)) return folder;
    if (!said && settings.progress)
      settings.progress->say(planned.label + ": another process computes it");
    said = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return std::nullopt;
}

/// Seconds that earlier sessions spent, from a file in the work folder.
double earlier_seconds(const fs::path& work) {
  const fs::path path = work / "seconds.json";
  return fs::exists(path) ? read_json(path).value("seconds", 0.0) : 0;
}

MeasurementContext context_of(const PlannedMeasurement& planned, const RunSettings& settings,
                              const fs::path& work) {
  const json& parameters = planned.config["parameters"];
  MeasurementContext context{.parameters = parameters,
                             .seed = planned.config.value("seed", std::uint64_t{1}),
                             .data = {},
                             .threads = settings.threads,
                             .device = planned.device,
                             .label = planned.label,
                             .progress = settings.progress,
                             .stop = settings.stop,
                             .folder = work};
  if (planned.source) {
    const json& data = planned.config["data"];
    context.data = planned.source->first(data["train_size"], data["test_size"]);
  }
  return context;
}

/// False when it was asked to stop.
bool compute(const PlannedMeasurement& planned, const RunSettings& settings, RunFolder& folder) {
  const fs::path work = folder.work_path();
  fs::create_directories(work);
  folder.add_session(session_entry(planned.device, settings.threads,
                                   planned.source ? planned.source->provenance() : std::string()));
  if (settings.progress) settings.progress->begin(planned.label, 0);
  const double before = earlier_seconds(work);
  const Stopwatch watch;
  const std::optional<Measured> measured =
      planned.row->compute(context_of(planned, settings, work));
  const double seconds = before + watch.seconds();
  if (!measured) {
    write_file_atomically(work / "seconds.json", json{{"seconds", seconds}}.dump() + "\n");
    return false;
  }
  folder.finish({{"status", "done"}, {"numbers", measured->numbers}, {"curves", measured->curves}},
                seconds);
  fs::remove_all(work);
  return true;
}

MeasurementOutcome run(const PlannedMeasurement& planned, const RunSettings& settings) {
  using Status = MeasurementOutcome::Status;
  const auto done = [](FinishedMeasurement finished, bool stored) {
    return MeasurementOutcome{
        .status = Status::done, .finished = std::move(finished), .stored = stored, .message = {}};
  };
  if (auto kept = find_kept(planned.config, settings)) return done(std::move(*kept), true);
  const fs::path path = settings.runs / folder_name(planned.config);
  if (!settings.resume || !fs::exists(path / "result.json")) {
    refuse_what_does_not_fit(planned, settings);
  }
  const MeasurementOutcome interrupted{
      .status = Status::interrupted, .finished = {}, .message = {}};
  auto folder = open_folder(planned, settings);
  if (!folder) return interrupted;
  if (!settings.resume) folder->start_over();
  const bool stored = folder->has_result();
  if (!stored && !compute(planned, settings, *folder)) return interrupted;
  const json compact = compact_result(path);
  if (!settings.keep.empty()) {
    fs::create_directories(settings.keep);
    write_file_atomically(kept_path(settings, planned.config), compact.dump() + "\n");
  }
  return done(finished_measurement(compact, path.string()), stored);
}

}  // namespace

std::string folder_name(const json& config) {
  std::string name =
      config.at("program").get<std::string>() + "-" + config.at("row").get<std::string>();
  for (char& c : name) c = c == '/' ? '-' : c;
  if (config.contains("seed")) name += "-seed" + config["seed"].dump();
  return name + "-" + hash8(config);
}

Need need_of(const PlannedMeasurement& planned) {
  const MeasurementRow& row = *planned.row;
  return row.need ? row.need(planned.config["parameters"], planned.device) : Need{};
}

std::string bytes_text(double bytes) {
  char text[32];
  if (bytes < 1e6) {
    std::snprintf(text, sizeof text, "%.0f kB", bytes / 1e3);
  } else if (bytes < 1e9) {
    std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
  } else {
    std::snprintf(text, sizeof text, "%.1f GB", bytes / 1e9);
  }
  return text;
}

double available_bytes(Device device) {
  if constexpr (built_with_cuda) {
    if (device.is_cuda()) {
      return static_cast<double>(cuda_context(device.index()).properties().memory);
    }
  }
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("MemAvailable:")) return 1024 * std::stod(line.substr(13));
  }
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::string state_of(const PlannedMeasurement& planned, const RunSettings& settings) {
  if (!settings.resume) return "afresh";
  if (find_kept(planned.config, settings)) return "kept";
  const fs::path folder = settings.runs / folder_name(planned.config);
  if (fs::exists(folder / "result.json")) return "done";
  return fs::exists(folder / "work") ? "begun" : "new";
}

MeasurementOutcome run_measurement(const PlannedMeasurement& planned, const RunSettings& settings) {
  try {
    CpuContext context(settings.threads);
    const CpuContextGuard guard(context);
    return run(planned, settings);
  } catch (const Error& error) {
    return {.finished = {}, .kind = error.kind(), .message = error.what()};
  } catch (const std::exception& error) {
    return {.finished = {}, .kind = ErrorKind::unexpected, .message = error.what()};
  }
}

}  // namespace shatter::experiments
