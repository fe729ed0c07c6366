// The queue of cells and its workers.
#include <shatter/experiments/runs/sweep.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include <shatter/kernels/context.h>

namespace shatter::experiments {
namespace {

class Sweep {
 public:
  Sweep(const std::vector<Cell>& cells, const SweepSettings& settings)
      : cells_(cells), settings_(settings), outcomes_(cells.size()), said_busy_(cells.size()) {
    for (Outcome& outcome : outcomes_) outcome.status = Outcome::Status::interrupted;
    for (std::size_t i = 0; i < cells.size(); ++i) queue_.push_back(i);
    run_ = settings.run;
    run_.threads = std::max(1, settings.run.threads / jobs());
    run_.stop = [this] { return stopped(); };
  }

  std::vector<Outcome> run() {
    std::vector<std::unique_ptr<CpuContext>> contexts;
    for (int i = 0; i < jobs(); ++i) contexts.push_back(std::make_unique<CpuContext>(run_.threads));
    {
      std::vector<std::jthread> workers;
      for (int i = 1; i < jobs(); ++i)
        workers.emplace_back([this, context = contexts[std::size_t(i)].get()] { work(*context); });
      work(*contexts.front());
    }
    return std::move(outcomes_);
  }

 private:
  int jobs() const {
    return std::clamp(settings_.jobs, 1, std::max(1, static_cast<int>(cells_.size())));
  }
  bool stopped() const { return failed_ || (settings_.run.stop && settings_.run.stop()); }
  void work(CpuContext& context);
  void wait_for_others(std::size_t cell);
  void note(std::size_t cell, Outcome outcome);

  const std::vector<Cell>& cells_;
  const SweepSettings& settings_;
  RunSettings run_;
  std::mutex mutex_;
  std::deque<std::size_t> queue_;
  std::vector<Outcome> outcomes_;
  std::vector<bool> said_busy_;
  std::atomic<bool> failed_ = false;
};

void Sweep::work(CpuContext& context) {
  const CpuContextGuard guard(context);
  while (!stopped()) {
    std::size_t next = 0;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return;
      next = queue_.front();
      queue_.pop_front();
    }
    Outcome outcome = run_cell(cells_[next], run_);
    if (outcome.status == Outcome::Status::busy) {
      wait_for_others(next);
    } else {
      note(next, std::move(outcome));
    }
  }
}

/// Puts a cell that another process holds at the queue's end, and waits a little if all are such.
void Sweep::wait_for_others(std::size_t cell) {
  bool pause = false;
  {
    const std::lock_guard lock(mutex_);
    pause = said_busy_[cell];
    if (!pause && run_.progress)
      run_.progress->say(cells_[cell].label + ": another process trains it");
    said_busy_[cell] = true;
    queue_.push_back(cell);
  }
  if (pause) std::this_thread::sleep_for(std::chrono::milliseconds(200));
}

void Sweep::note(std::size_t cell, Outcome outcome) {
  using Status = Outcome::Status;
  const std::lock_guard lock(mutex_);
  if (run_.progress && outcome.status != Status::interrupted) {
    const bool failed = outcome.status == Status::failed;
    run_.progress->end(
        cells_[cell].label,
        cells_[cell].label + ": " +
            (failed ? "failed: " + outcome.message
                    : (outcome.stored ? stored_text(outcome.finished.executable) : std::string()) +
                          describe(outcome.finished)));
  }
  if (settings_.fail_fast &&
      (outcome.status == Status::failed || outcome.status == Status::diverged)) {
    failed_ = true;
  }
  outcomes_[cell] = std::move(outcome);
  if (settings_.finished) settings_.finished(cell, outcomes_[cell]);
}

}  // namespace

std::vector<Outcome> run_sweep(const std::vector<Cell>& cells, const SweepSettings& settings) {
  return Sweep(cells, settings).run();
}

}  // namespace shatter::experiments
