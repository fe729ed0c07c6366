// Many cells: one after the other or several at once, resuming, sharing folders with other
// processes.
#pragma once

#include <functional>
#include <vector>

#include <shatter/experiments/runs/run.h>

namespace shatter::experiments {

struct SweepSettings {
  RunSettings run;  ///< run.threads is the total, divided among the jobs
  int jobs = 1;
  bool fail_fast = false;
  std::function<void(std::size_t, const Outcome&)> finished;  ///< called under a lock, as cells end
};

/// The outcomes in the order of `cells`; interrupted for those never begun. A cell that another
/// process holds is taken up again after the others, and waited for.
std::vector<Outcome> run_sweep(const std::vector<Cell>& cells, const SweepSettings& settings);

}  // namespace shatter::experiments
