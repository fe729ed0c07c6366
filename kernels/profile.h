// Where time goes: while a profile is on, every public kernel counts its calls, time, arithmetic
// and traffic; off, a kernel pays one relaxed load. Needs no CUDA header.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <shatter/kernels/context.h>

namespace shatter {

/// What a call of a kernel is asked to do: the floating-point operations of its formula (a
/// multiply-add is two), and the bytes of its operands and results, each once.
struct Work {
  std::int64_t flop = 0, bytes = 0;
};

/// All calls of one kernel.
struct ProfileRow {
  std::string name;  ///< "matmul", "conv2d_forward onednn"
  std::int64_t calls = 0;
  double seconds = 0;  ///< of the calling threads; on a GPU from one event of its stream to another
  Work work{};
};

/// Counts from now on, or no longer; rows stay. The profile is the process's. While it is on,
/// CapturedWork neither records nor replays; a kernel that is being recorded does not count.
void enable_profile(bool on);
/// Forgets all rows.
void reset_profile();
/// By falling time. Waits for the GPU kernels among them.
std::vector<ProfileRow> profile_rows();
/// The most kernels that were in progress at once, on as many threads: the times of the rows sum to
/// at most so many times the time that passed.
int profile_kernels_at_once();

namespace detail {

inline std::atomic<bool> profile_on = false;

/// Measures from its making to stop().
class ProfileTimer {
 public:
  virtual ~ProfileTimer() = default;
  virtual void stop() noexcept = 0;
  /// Waits until what it measures is done.
  virtual double seconds() = 0;
};

/// By the host's clock, or by events in the stream: null while the context is being recorded, and
/// where the GPU refuses, which the kernel's own launch will say.
std::unique_ptr<ProfileTimer> host_timer();
std::unique_ptr<ProfileTimer> profile_timer(CudaContext& context) noexcept;
inline std::unique_ptr<ProfileTimer> profile_timer(CpuContext&) {
  return host_timer();
}

struct ProfileCall {
  std::unique_ptr<ProfileTimer> timer;
  const char *name, *variant;
  Work work;
};

/// Null where the thread is inside a kernel already.
std::unique_ptr<ProfileCall> begin_profile_call(const char* name, const char* variant,
                                                const Work& work);
void end_profile_call(std::unique_ptr<ProfileCall> call) noexcept;

}  // namespace detail

/// Whether a profile is on.
inline bool profiling() noexcept {
  return detail::profile_on.load(std::memory_order_relaxed);
}

/// Stands at the top of a kernel and counts it as one call, from there to the end of the scope. Of
/// nested scopes on a thread the outermost alone counts. `name`, and the `variant` that follows it
/// in the row's name unless it is empty, are literals.
class ProfileScope {
 public:
  template <class Context>
  ProfileScope(Context& context, const char* name, const Work& work, const char* variant = "") {
    if (!profiling()) return;
    call_ = detail::begin_profile_call(name, variant, work);
    if (call_) call_->timer = detail::profile_timer(context);
  }
  ~ProfileScope() {
    if (call_) detail::end_profile_call(std::move(call_));
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  std::unique_ptr<detail::ProfileCall> call_;
};

}  // namespace shatter
