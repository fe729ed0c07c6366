// Learning-rate schedules.
#include <shatter/optim/schedule.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <shatter/kernels/error.h>

namespace shatter::optim {

Schedule constant(double rate) {
  return [rate](std::int64_t) { return rate; };
}

Schedule exponential(double rate, double decay, std::int64_t every) {
  check(every > 0, "exponential: every ", every, " steps");
  return [=](std::int64_t step) { return rate * std::pow(decay, double(step / every)); };
}

Schedule step(double rate, double factor, std::vector<std::int64_t> boundaries) {
  check(std::is_sorted(boundaries.begin(), boundaries.end()), "step: boundaries are not ascending");
  return [=](std::int64_t step) {
    const auto passed =
        std::upper_bound(boundaries.begin(), boundaries.end(), step) - boundaries.begin();
    return rate * std::pow(factor, double(passed));
  };
}

Schedule linear(double rate, std::int64_t total, double last) {
  check(total > 0, "linear: ", total, " steps");
  return [=](std::int64_t step) {
    return std::lerp(rate, last, std::min(1.0, double(step) / double(total)));
  };
}

Schedule cosine(double rate, std::int64_t total, double last) {
  check(total > 0, "cosine: ", total, " steps");
  return [=](std::int64_t step) {
    const double progress = std::min(1.0, double(step) / double(total));
    return last + (rate - last) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  };
}

Schedule warm_up(std::int64_t steps, Schedule schedule) {
  check(steps >= 0 && schedule, "warm_up: ", steps, " steps before ",
        schedule ? "a schedule" : "no schedule");
  return [steps, schedule = std::move(schedule)](std::int64_t step) {
    if (step >= steps) return schedule(step - steps);
    return schedule(0) * double(step + 1) / double(steps + 1);
  };
}

}  // namespace shatter::optim
