// What a program's exit status says.
#pragma once

#include <vector>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

/// 130 and 143 (interrupted and saved by SIGINT, SIGTERM) are 128 plus the signal.
enum ExitCode : int {
  exit_done = 0,
  exit_unexpected = 1,
  exit_usage = 2,
  exit_data = 3,
  exit_device = 4,
  exit_diverged = 5,
  exit_check = 6,  ///< --check failed, or cells failed in several ways
};

inline int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return exit_usage;
    case ErrorKind::data: return exit_data;
    case ErrorKind::device: return exit_device;
    case ErrorKind::diverged: return exit_diverged;
    case ErrorKind::unexpected: break;
  }
  return exit_unexpected;
}

/// The status of a sweep with these failed cells: 0 without any, the kind's own code when they are
/// all of one kind, else 6.
inline int exit_code(const std::vector<ErrorKind>& failures) {
  if (failures.empty()) return exit_done;
  for (const ErrorKind kind : failures) {
    if (kind != failures.front()) return exit_check;
  }
  return exit_code(failures.front());
}

}  // namespace shatter::experiments
