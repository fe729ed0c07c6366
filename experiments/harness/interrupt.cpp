// Signal handlers that do no more than a handler may.
#include <shatter/experiments/harness/interrupt.h>

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace shatter::experiments {
namespace {

constinit std::atomic<int> received = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void handle(int signal) {
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) _exit(128 + signal);
}

void install(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt() {
  received = 0;
  install(handle);
}

Interrupt::~Interrupt() {
  install(SIG_DFL);
}

int Interrupt::signal() {
  return received;
}

}  // namespace shatter::experiments
