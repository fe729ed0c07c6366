// One job in its folder, and the queue of many.
#include <shatter/experiments/runs/job.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <thread>

#include <shatter/core/dispatch.h>
#include <shatter/core/text.h>
#include <shatter/experiments/runs/version.h>
#include <shatter/kernels/context.h>

namespace shatter::experiments {

namespace fs = std::filesystem;
using nlohmann::json;
using Status = Outcome::Status;

namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return stamp;
}

/// Bytes this machine, or the GPU, has for a computation.
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

void refuse_what_does_not_fit(const Job& job, const RunSettings& settings) {
  if (job.need.bytes == 0) return;
  if (settings.progress) {
    settings.progress->say(job.label + ": needs " + bytes_text(job.need.bytes) + ", about " +
                           duration(job.need.seconds));
  }
  const double available = available_bytes(job.device);
  if (job.need.bytes > available) {
    fail(ErrorKind::device, "needs ", bytes_text(job.need.bytes), " of memory, ",
         bytes_text(available), " are available; --quick or a smaller --train-size needs less");
  }
}

Outcome finished(Result result, bool stored) {
  const Status status = result.diverged ? Status::diverged : Status::done;
  return {
      .status = status, .result = std::move(result), .stored = stored, .kind = ErrorKind::diverged};
}

std::optional<Result> kept_result(const Job& job, const RunSettings& settings) {
  if (settings.keep.empty() || !settings.resume) return std::nullopt;
  return find_kept(settings.keep, job.name, job.config);
}

Outcome run(const Job& job, const RunSettings& settings) {
  if (auto kept = kept_result(job, settings)) return finished(std::move(*kept), true);
  const fs::path path = settings.runs / job.name;
  if (!settings.resume || !fs::exists(path / "result.json"))
    refuse_what_does_not_fit(job, settings);
  auto folder = RunFolder::open(settings.runs, job.name, job.config);
  if (!folder) return {.status = Status::busy};
  if (!settings.resume) folder->start_over();
  const bool stored = folder->has_result();
  if (!stored) {
    // Of the job's own, so that jobs at once share no stream, and none the plans of another.
    const OwnContext context(job.device);
    const std::optional<Computed> computed =
        job.compute({*folder, job.device, job.label, job.provenance, settings});
    if (!computed) return {.status = Status::interrupted};
    folder->finish(computed->result, computed->seconds);
  }
  if (!settings.keep.empty()) keep_result(settings.keep, path);
  return finished(result_of(compact_result(path), path.string()), stored);
}

std::string state_of(const Job& job, const RunSettings& settings) {
  if (!settings.resume) return "afresh";
  if (kept_result(job, settings)) return "kept";
  const fs::path folder = settings.runs / job.name;
  if (fs::exists(folder / "result.json")) return "done";
  const bool begun = fs::exists(folder / "checkpoint.safetensors") || fs::exists(folder / "work");
  return begun ? "begun" : "new";
}

/// "stored: " or "stored by another build of this program: ", of a stored result.
std::string stored_text(const Outcome& outcome) {
  if (!outcome.stored) return "";
  return outcome.result.origin.executable == executable_id()
             ? "stored: "
             : "stored by another build of this program: ";
}

class Queue {
 public:
  Queue(const std::vector<Job>& jobs, const RunSettings& settings)
      : jobs_(jobs),
        settings_(settings),
        own_(settings),
        outcomes_(jobs.size()),
        said_busy_(jobs.size()) {
    for (Outcome& outcome : outcomes_) outcome.status = Status::interrupted;
    for (std::size_t i = 0; i < jobs.size(); ++i) waiting_.push_back(i);
    own_.threads = std::max(1, settings.threads / workers());
    own_.stop = [this] { return stopped(); };
  }

  std::vector<Outcome> run() {
    std::vector<std::unique_ptr<CpuContext>> contexts;
    for (int i = 0; i < workers(); ++i)
      contexts.push_back(std::make_unique<CpuContext>(own_.threads));
    {
      std::vector<std::jthread> threads;
      for (int i = 1; i < workers(); ++i)
        threads.emplace_back([this, context = contexts[std::size_t(i)].get()] { work(*context); });
      work(*contexts.front());
    }
    return std::move(outcomes_);
  }

 private:
  int workers() const {
    return std::clamp(settings_.jobs, 1, std::max(1, static_cast<int>(jobs_.size())));
  }
  bool stopped() const { return failed_ || (settings_.stop && settings_.stop()); }
  void work(CpuContext& context);
  void wait_for_others(std::size_t job);
  void note(std::size_t job, Outcome outcome);

  const std::vector<Job>& jobs_;
  const RunSettings& settings_;
  RunSettings own_;  ///< of each job
  std::mutex mutex_;
  std::deque<std::size_t> waiting_;
  std::vector<Outcome> outcomes_;
  std::vector<bool> said_busy_;
  std::atomic<bool> failed_ = false;
};

void Queue::work(CpuContext& context) {
  const CpuContextGuard guard(context);
  while (!stopped()) {
    std::size_t next = 0;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) return;
      next = waiting_.front();
      waiting_.pop_front();
    }
    Outcome outcome = run_job(jobs_[next], own_);
    if (outcome.status == Status::busy) {
      wait_for_others(next);
    } else {
      note(next, std::move(outcome));
    }
  }
}

/// Puts a job that another process holds at the queue's end, and waits a little if all are such.
void Queue::wait_for_others(std::size_t job) {
  bool pause = false;
  {
    const std::lock_guard lock(mutex_);
    pause = said_busy_[job];
    if (!pause && settings_.progress)
      settings_.progress->say(jobs_[job].label + ": another process computes it");
    said_busy_[job] = true;
    waiting_.push_back(job);
  }
  if (pause) std::this_thread::sleep_for(std::chrono::milliseconds(200));
}

void Queue::note(std::size_t job, Outcome outcome) {
  const std::lock_guard lock(mutex_);
  const bool failed = outcome.status == Status::failed;
  if (settings_.progress && outcome.status != Status::interrupted) {
    settings_.progress->end(
        jobs_[job].label,
        jobs_[job].label + ": " +
            (failed ? "failed: " + outcome.message
                    : stored_text(outcome) + jobs_[job].describe(outcome.result)));
  }
  if (settings_.fail_fast && (failed || outcome.status == Status::diverged)) failed_ = true;
  outcomes_[job] = std::move(outcome);
}

}  // namespace

Outcome run_job(const Job& job, const RunSettings& settings) {
  try {
    return run(job, settings);
  } catch (const Error& error) {
    return {.kind = error.kind(), .message = error.what()};
  } catch (const std::exception& error) {
    return {.message = error.what()};
  }
}

std::vector<Outcome> run_jobs(const std::vector<Job>& jobs, const RunSettings& settings) {
  return Queue(jobs, settings).run();
}

std::string describe_jobs(const std::vector<Job>& jobs, const RunSettings& settings) {
  std::string text;
  Need all;
  for (const Job& job : jobs) {
    const std::string state = state_of(job, settings);
    const auto& [bytes, seconds, stored_bytes] = job.need;
    if (state != "done" && state != "kept") {
      all.bytes = std::max(all.bytes, bytes);
      all.seconds += seconds;
      all.stored_bytes += stored_bytes;
    }
    text += job.name + "  " + job.label + "  " + state;
    if (!job.size.empty()) text += "  " + job.size;
    if (bytes > 0) text += "  " + bytes_text(bytes) + " of memory";
    if (stored_bytes > 0) text += "  " + bytes_text(stored_bytes) + " stored";
    text += seconds > 0 ? "  about " + duration(seconds) + "\n" : "  cost unknown\n";
  }
  text += std::to_string(jobs.size()) + " jobs; to do: about " + duration(all.seconds) + " with " +
          std::to_string(settings.threads) + " threads, " + std::to_string(settings.jobs) +
          " at once";
  if (all.bytes > 0)
    text += "; at most " + bytes_text(all.bytes) + " of memory of " +
            bytes_text(available_bytes({})) + " available";
  if (all.stored_bytes > 0) text += "; " + bytes_text(all.stored_bytes) + " stored";
  return text + "\n";
}

json session_entry(const JobContext& context) {
  const BuildInfo build = build_info();
  json entry = {{"started", utc_now()},
                {"version", build.version},
                {"commit", build.commit},
                {"compiler", build.compiler},
                {"executable", executable_id()},
                {"device", hardware_name(context.device)},
                {"threads", context.settings.threads}};
  if (!context.provenance.empty()) entry["provenance"] = context.provenance;
  return entry;
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

}  // namespace shatter::experiments
