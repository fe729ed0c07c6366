// Learning rates as functions of the step: nothing to save, nothing to restore.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace shatter::optim {

/// The learning rate of training step `step` (0 is the first).
using Schedule = std::function<double(std::int64_t step)>;

Schedule constant(double rate);
/// rate * decay^(step / every), with whole-number division: a staircase.
Schedule exponential(double rate, double decay, std::int64_t every);
/// rate * factor^(how many of `boundaries` are <= step).
Schedule step(double rate, double factor, std::vector<std::int64_t> boundaries);
/// From rate to `last` along a straight line over `total` steps, then `last`.
Schedule linear(double rate, std::int64_t total, double last = 0);
/// From rate to `last` along half a cosine over `total` steps, then `last`.
Schedule cosine(double rate, std::int64_t total, double last = 0);
/// `schedule` preceded by `steps` steps that rise linearly from 0 (excluded) to its first value.
Schedule warm_up(std::int64_t steps, Schedule schedule);

}  // namespace shatter::optim
