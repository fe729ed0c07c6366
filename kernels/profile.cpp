// The process's profile: the calls whose time is not known yet, and the sums of the others.
#include <shatter/kernels/profile.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <string_view>
#include <utility>

namespace shatter {
namespace {

using Clock = std::chrono::steady_clock;

class HostTimer final : public detail::ProfileTimer {
 public:
  void stop() noexcept override { end_ = Clock::now(); }
  double seconds() override { return std::chrono::duration<double>(end_ - begin_).count(); }

 private:
  Clock::time_point begin_ = Clock::now(), end_ = begin_;
};

/// Whether this thread is in a kernel that counts.
thread_local bool inside = false;

class Profile {
 public:
  void begin() {
    const std::lock_guard lock(mutex_);
    // Here, where an error of the GPU can be thrown, and not at a call's end.
    if (ended_.size() >= most_ended) sum_up();
    most_at_once_ = std::max(most_at_once_, ++in_progress_);
  }
  void end(std::unique_ptr<detail::ProfileCall> call) {
    const std::lock_guard lock(mutex_);
    --in_progress_;
    if (call->timer) ended_.push_back(std::move(call));
  }
  void reset() {
    const std::lock_guard lock(mutex_);
    ended_.clear();
    sums_.clear();
    most_at_once_ = in_progress_;
  }
  std::vector<ProfileRow> rows() {
    const std::lock_guard lock(mutex_);
    sum_up();
    std::vector<ProfileRow> rows;
    for (const auto& [key, row] : sums_) rows.push_back(row);
    std::stable_sort(rows.begin(), rows.end(), [](const ProfileRow& a, const ProfileRow& b) {
      return a.seconds > b.seconds;
    });
    return rows;
  }
  int most_at_once() {
    const std::lock_guard lock(mutex_);
    return most_at_once_;
  }

 private:
  /// So many calls at most wait to be summed up: on a GPU each holds two events.
  static constexpr std::size_t most_ended = 4096;

  void sum_up() {
    for (const auto& call : ended_) {
      ProfileRow& row = sums_[{call->name, call->variant}];
      if (row.calls++ == 0) {
        row.name = call->name;
        if (*call->variant) row.name += std::string(" ") + call->variant;
      }
      row.seconds += call->timer->seconds();
      row.work.flop += call->work.flop;
      row.work.bytes += call->work.bytes;
    }
    ended_.clear();
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<detail::ProfileCall>> ended_;
  std::map<std::pair<std::string_view, std::string_view>, ProfileRow> sums_;
  int in_progress_ = 0, most_at_once_ = 0;
};

// Never destroyed: kernels may run in the destructors of statics.
Profile& profile() {
  static Profile& the_profile = *new Profile;
  return the_profile;
}

}  // namespace

void enable_profile(bool on) {
  detail::profile_on.store(on, std::memory_order_relaxed);
}
void reset_profile() {
  profile().reset();
}
std::vector<ProfileRow> profile_rows() {
  return profile().rows();
}
int profile_kernels_at_once() {
  return profile().most_at_once();
}

namespace detail {

std::unique_ptr<ProfileTimer> host_timer() {
  return std::make_unique<HostTimer>();
}

std::unique_ptr<ProfileCall> begin_profile_call(const char* name, const char* variant,
                                                const Work& work) {
  if (inside) return nullptr;
  auto call = std::make_unique<ProfileCall>(ProfileCall{nullptr, name, variant, work});
  profile().begin();
  inside = true;
  return call;
}

void end_profile_call(std::unique_ptr<ProfileCall> call) noexcept {
  if (call->timer) call->timer->stop();
  inside = false;
  profile().end(std::move(call));
}

}  // namespace detail
}  // namespace shatter
