// A thread that waits for the signals, so that none interrupts a computation: generated code need
// not leave room on its stack for a signal's frame.
#include <shatter/experiments/runs/interrupt.h>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <thread>

namespace shatter::experiments {
namespace {

constinit std::atomic<int> received = 0;
constinit std::atomic<bool> listening = false;
static_assert(std::atomic<int>::is_always_lock_free);
std::thread listener;
sigset_t mask_before;

// Also the handler of threads that were there before and do not block the signals.
void handle(int signal) {
  int none = 0;
  if (!received.compare_exchange_strong(none, signal)) _exit(128 + signal);
}

sigset_t both() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

void listen() {
  const sigset_t set = both();
  const timespec interval{0, 50'000'000};
  while (listening) {
    const int signal = sigtimedwait(&set, nullptr, &interval);
    if (signal > 0) handle(signal);
  }
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
  const sigset_t set = both();
  pthread_sigmask(SIG_BLOCK, &set, &mask_before);  // threads begun from now on inherit it
  listening = true;
  listener = std::thread(listen);
}

Interrupt::~Interrupt() {
  listening = false;
  listener.join();
  pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  install(SIG_DFL);
}

int Interrupt::signal() {
  return received;
}

}  // namespace shatter::experiments
