// The GPU's clock and description; part of builds with CUDA.
#include <algorithm>

#include <shatter/experiments/runs/version.h>
#include <shatter/kernels/cuda/conv2d_plans.h>
#include <shatter/kernels/cuda/nvidia/timer.h>

#include "benchmarks/measure.h"

namespace shatter::benchmarks {

struct Clock<CudaContext>::Impl {
  Impl(CudaContext& c, const Sampling& s)
      : context(c),
        sampling(s),
        timer(c),
        half(
            static_cast<std::int64_t>(2 * std::max(c.properties().l2_cache, std::size_t{1} << 20))),
        flush(c, 2 * half) {}

  double timed(const std::function<void()>& work) {
    timer.start();
    work();
    return timer.stop();
  }

  CudaContext& context;
  Sampling sampling;
  CudaTimer timer;
  std::int64_t half;
  Array<char, CudaContext> flush;
};

Clock<CudaContext>::Clock(CudaContext& context, const Sampling& sampling)
    : impl_(std::make_unique<Impl>(context, sampling)) {}
Clock<CudaContext>::~Clock() = default;

Samples Clock<CudaContext>::cold(const std::function<void()>& work) {
  work();
  return sample_until(impl_->sampling, [&] {
    // Reads and writes four times what the cache holds.
    impl_->context.copy(impl_->flush.data(), impl_->flush.data() + impl_->half,
                        static_cast<std::size_t>(impl_->half));
    return impl_->timed(work);
  });
}

Samples Clock<CudaContext>::hot(const std::function<void()>& work) {
  work();
  // A graph of about a millisecond.
  const double once = impl_->timed(work);
  const int calls = std::clamp(static_cast<int>(1e-3 / std::max(once, 1e-6)), 1, 200);
  CudaGraph graph(impl_->context, [&] {
    for (int i = 0; i < calls; ++i) work();
  });
  graph.replay();
  return sample_until(impl_->sampling,
                      [&] { return impl_->timed([&] { graph.replay(); }) / calls; });
}

Json machine(CudaContext& context) {
  const CudaProperties& gpu = context.properties();
  return {{"threads", nullptr},
          {"sm_mhz", cuda_clock_mhz(context)},
          {"device", gpu.name},
          {"driver", gpu.driver},
          {"cuda", gpu.runtime},
          {"cudnn", kernels::cudnn_version()},
          {"git", experiments::build_info().commit}};
}

}  // namespace shatter::benchmarks
