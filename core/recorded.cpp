// Recording and replaying.
#include <shatter/core/recorded.h>

#include <utility>

#include <shatter/core/dispatch.h>
#include <shatter/kernels/profile.h>

namespace shatter {

Recorded::Recorded(Device device, std::function<void()> work, bool capture)
    : device_(device), work_(std::move(work)), capture_(capture && device.is_cuda()) {}

void Recorded::operator()() {
  if constexpr (built_with_cuda) {
    if (capture_ && warm_ && !graph_ && !profiling())
      graph_ = std::make_shared<CudaGraph>(cuda_context(device_.index()), work_);
    if (graph_ && !profiling()) {
      graph_->replay();
      return;
    }
  }
  work_();
  warm_ = true;
}

}  // namespace shatter
