// The profile's timer on a GPU: two events around what a kernel gives to the stream.
#include <mutex>
#include <vector>

#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/profile.h>

#include "check.h"

namespace shatter {
namespace {

/// Events of one device that are not in use; making one takes longer than recording it.
struct FreeEvents {
  std::mutex mutex;
  std::vector<std::vector<cudaEvent_t>> of_device;

  cudaEvent_t take(int device) {
    {
      const std::lock_guard lock(mutex);
      const auto index = static_cast<std::size_t>(device);
      if (of_device.size() <= index) of_device.resize(index + 1);
      std::vector<cudaEvent_t>& events = of_device[index];
      if (!events.empty()) {
        const cudaEvent_t event = events.back();
        events.pop_back();
        return event;
      }
    }
    cudaEvent_t event = nullptr;
    check_cuda("profile", cudaSetDevice(device));
    check_cuda("profile", cudaEventCreate(&event));
    return event;
  }
  void give_back(int device, cudaEvent_t event) {
    const std::lock_guard lock(mutex);
    of_device[static_cast<std::size_t>(device)].push_back(event);
  }
};

// Never destroyed: the driver may be gone before the statics are.
FreeEvents& free_events() {
  static FreeEvents& events = *new FreeEvents;
  return events;
}

class Event {
 public:
  explicit Event(int device) : device_(device), event_(free_events().take(device)) {}
  ~Event() { free_events().give_back(device_, event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  int device_;
  cudaEvent_t event_;
};

class EventTimer final : public detail::ProfileTimer {
 public:
  explicit EventTimer(CudaContext& context)
      : stream_(static_cast<cudaStream_t>(context.stream())),
        begin_(context.device()),
        end_(context.device()) {
    check_cuda("profile", cudaEventRecord(begin_.get(), stream_));
  }
  void stop() noexcept override { stopped_ = cudaEventRecord(end_.get(), stream_); }
  double seconds() override {
    check_cuda("profile", stopped_);
    check_cuda("profile", cudaEventSynchronize(end_.get()));
    float milliseconds = 0;
    check_cuda("profile", cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()));
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaStream_t stream_;
  Event begin_, end_;
  cudaError_t stopped_ = cudaSuccess;
};

}  // namespace

std::unique_ptr<detail::ProfileTimer> detail::profile_timer(CudaContext& context) noexcept {
  if (context.recording()) return nullptr;
  try {
    return std::make_unique<EventTimer>(context);
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace shatter
