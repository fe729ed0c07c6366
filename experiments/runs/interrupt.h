// Ctrl-C and SIGTERM: a run finishes its step and saves; the second signal leaves at once.
#pragma once

namespace shatter::experiments {

/// Listens while it lives; one at a time in a process.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// The first signal that came, or 0. The exit status is 128 plus it.
  static int signal();
};

}  // namespace shatter::experiments
