// Work that a device repeats: recorded once as a CUDA graph and replayed, or simply called again.
#pragma once

#include <functional>
#include <memory>

#include <shatter/core/device.h>
#include <shatter/kernels/cuda/context.h>

namespace shatter {

/// Runs the same work over and over. On a CUDA device the first call runs it (so that libraries
/// make their plans), the second records it (CudaGraph) and replays it, as do all later ones: no op
/// of it is looked at again. Every call runs it on the CPU, with capture off or SHATTER_GRAPHS=0 in
/// the environment, while a profile is on (kernels/profile.h), and within another recording.
///
/// The work must do the same every time: what differs from call to call lies in tensors that it
/// reads, and nothing of it looks at a value on the host. Those tensors must outlive this object.
/// On the host it changes nothing but what each run sets anew: recording calls it without running
/// it, and replaying runs it without calling it.
///
/// A recording that fails does not end the run. Nothing has run on the device by then: the call
/// runs the work instead, as do all later ones, to the same bits. A warning on stderr names the
/// cause, each cause once in a process.
///
/// Which errors are the recording's: device errors, after which the work runs. They come from a
/// copy to the host, a library that waits for the device, or a driver that refuses the graph. A
/// device error of the work itself comes again from that run, and is thrown without a warning.
/// OutOfMemory and errors of any other kind are the work's and thrown at once.
///
/// First runs and recordings of all threads take turns; replays do not.
class CapturedWork {
 public:
  /// Throws (usage) on a CUDA device where SHATTER_GRAPHS, read once, is neither 0 nor 1.
  CapturedWork(Device device, std::function<void()> work, bool capture = true);
  void operator()();
  /// The graph, once there is one.
  const CudaGraph* graph() const { return graph_.get(); }

 private:
  void first_call();

  Device device_;
  std::function<void()> work_;
  bool capture_;
  bool warm_ = false;
  std::shared_ptr<CudaGraph> graph_;
};

}  // namespace shatter
