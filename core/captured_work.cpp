// Recording and replaying.
#include <shatter/core/captured_work.h>

#include <cstdlib>
#include <iostream>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include <shatter/core/dispatch.h>
#include <shatter/kernels/profile.h>

namespace shatter {
namespace {

bool graphs_wanted() {
  static const bool wanted = [] {
    const char* const value = std::getenv("SHATTER_GRAPHS");
    const std::string_view word = value ? value : "1";
    check(word == "0" || word == "1", "SHATTER_GRAPHS=", word,
          ": expected 1 (steps are recorded as CUDA graphs) or 0 (they are not)");
    return word == "1";
  }();
  return wanted;
}

// Held for every work's first run and for its recording, by one thread of the process at a time:
// what libraries and the driver do at first use may break another thread's recording off. No lock
// is held when it is taken; a work may run another for the first time. Which locks follow:
// kernels/cuda/nvidia/context.cu.
std::recursive_mutex& first_calls() {
  static std::recursive_mutex& mutex = *new std::recursive_mutex;
  return mutex;
}

// Says each cause once. Under first_calls().
void warn(const std::string& cause) {
  static std::set<std::string>& said = *new std::set<std::string>;
  if (said.insert(cause).second)
    std::cerr << "warning: work that cannot be recorded as a CUDA graph runs op by op, to the same "
                 "bits (SHATTER_GRAPHS=0 asks for that): " +
                     cause + '\n';
}

}  // namespace

CapturedWork::CapturedWork(Device device, std::function<void()> work, bool capture)
    : device_(device),
      work_(std::move(work)),
      capture_(capture && device.is_cuda() && graphs_wanted()) {}

void CapturedWork::operator()() {
  if constexpr (built_with_cuda) {
    if (device_.is_cuda() && !profiling() && !cuda_context(device_.index()).recording()) {
      if (graph_) return graph_->replay();
      if (capture_ || !warm_) return first_call();
    }
  }
  work_();
  warm_ = true;
}

void CapturedWork::first_call() {
  if constexpr (built_with_cuda) {
    const std::lock_guard alone(first_calls());
    std::string refusal;
    if (capture_ && warm_) {
      try {
        graph_ = std::make_shared<CudaGraph>(cuda_context(device_.index()), work_);
      } catch (const OutOfMemory&) {
        throw;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::device) throw;
        refusal = error.what();
      }
      if (graph_) return graph_->replay();
    }
    work_();  // throws what was not the recording's fault
    warm_ = true;
    if (refusal.empty()) return;
    capture_ = false;
    warn(refusal);
  }
}

}  // namespace shatter
