// The profile of --profile as text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <shatter/kernels/profile.h>

namespace shatter::experiments {

/// What kernels did while `seconds` passed: profile_rows(), and profile_kernels_at_once(). The rows
/// are to be read first, as that waits for GPUs.
struct Profile {
  std::vector<ProfileRow> rows;
  double seconds = 0;
  int at_once = 0;

  /// What shares are of: a second has `at_once` seconds of threads.
  double base() const { return seconds * std::max(1, at_once); }
  double outside_kernels() const;
};

/// A line for each kernel, the one that took longest first: calls, seconds, share of the time in
/// percent, GFLOP/s, GB/s; and "outside kernels" with the rest, so that the shares sum to 100. With
/// `steps` above 0 calls and times are those of a step, times in milliseconds.
std::string profile_table(const Profile& profile, std::int64_t steps = 0);

}  // namespace shatter::experiments
