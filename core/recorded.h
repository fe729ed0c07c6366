// Work that a device repeats: recorded once as a CUDA graph and replayed, or simply called again.
#pragma once

#include <functional>
#include <memory>

#include <shatter/core/device.h>
#include <shatter/kernels/cuda/context.h>

namespace shatter {

/// Runs the same work over and over. On a CUDA device the first call runs it (so that libraries
/// make their plans), the second records it (CudaGraph) and replays it, as do all later ones: no op
/// of it is looked at again. On the CPU, with capture off, and while a profile is on
/// (kernels/profile.h), every call runs it.
///
/// The work must do the same every time: what differs from call to call lies in tensors that it
/// reads, and nothing of it looks at a value on the host. Those tensors must outlive this object.
class Recorded {
 public:
  Recorded(Device device, std::function<void()> work, bool capture = true);
  void operator()();
  /// The graph, once there is one.
  const CudaGraph* graph() const { return graph_.get(); }

 private:
  Device device_;
  std::function<void()> work_;
  bool capture_;
  bool warm_ = false;
  std::shared_ptr<CudaGraph> graph_;
};

}  // namespace shatter
