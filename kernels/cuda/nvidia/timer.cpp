// CudaTimer by events.
#include "timer.h"

#include "check.h"

namespace shatter {

struct CudaTimer::Impl {
  cudaStream_t stream = nullptr;
  cudaEvent_t start = nullptr, stop = nullptr;
  ~Impl() {
    if (start) cudaEventDestroy(start);
    if (stop) cudaEventDestroy(stop);
  }
};

CudaTimer::CudaTimer(CudaContext& context) : impl_(std::make_unique<Impl>()) {
  impl_->stream = static_cast<cudaStream_t>(context.stream());
  check_cuda("CudaTimer", cudaEventCreate(&impl_->start));
  check_cuda("CudaTimer", cudaEventCreate(&impl_->stop));
}

CudaTimer::~CudaTimer() = default;

void CudaTimer::start() {
  check_cuda("CudaTimer", cudaEventRecord(impl_->start, impl_->stream));
}

double CudaTimer::stop() {
  check_cuda("CudaTimer", cudaEventRecord(impl_->stop, impl_->stream));
  check_cuda("CudaTimer", cudaEventSynchronize(impl_->stop));
  float milliseconds = 0;
  check_cuda("CudaTimer", cudaEventElapsedTime(&milliseconds, impl_->start, impl_->stop));
  return static_cast<double>(milliseconds) * 1e-3;
}

int cuda_clock_mhz(const CudaContext& context) {
  int kilohertz = 0;
  check_cuda("cuda_clock_mhz",
             cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, context.device()));
  return kilohertz / 1000;
}

}  // namespace shatter
