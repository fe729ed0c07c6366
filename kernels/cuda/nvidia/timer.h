// Time on the GPU; needs no CUDA header. Not installed.
#pragma once

#include <memory>

#include <shatter/kernels/cuda/context.h>

namespace shatter {

/// Measures what a context does between start() and stop(), by its own events.
class CudaTimer {
 public:
  explicit CudaTimer(CudaContext& context);
  ~CudaTimer();
  CudaTimer(const CudaTimer&) = delete;
  CudaTimer& operator=(const CudaTimer&) = delete;

  void start();
  /// Waits for the work; seconds since start().
  double stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The highest clock of the multiprocessors, in MHz.
int cuda_clock_mhz(const CudaContext& context);

}  // namespace shatter
