// Which of cuDNN's plans a search times.
#pragma once

#include <vector>

#include <shatter/kernels/cuda/conv2d_plans.h>

namespace shatter::benchmarks {

/// Of all plans of a problem, in cuDNN's order: the first eight, then deterministic ones with at
/// most 4 MiB of workspace, twelve in all. Plans compiled at run time are left out: preparing one
/// may take longer than all the timing.
inline std::vector<kernels::Conv2dPlan> plans_worth_timing(
    const std::vector<kernels::Conv2dPlan>& all) {
  constexpr std::size_t of_all = 8, most = 12;
  constexpr std::int64_t little = std::int64_t{4} << 20;
  std::vector<kernels::Conv2dPlan> taken;
  for (const kernels::Conv2dPlan& plan : all) {
    if (plan.runtime_compiled || taken.size() == most) continue;
    if (taken.size() < of_all || (plan.deterministic && plan.workspace_bytes <= little))
      taken.push_back(plan);
  }
  return taken;
}

}  // namespace shatter::benchmarks
