// Every optimizer on CUDA: the CPU's numbers within rounding, recorded steps as eager ones.
#include <shatter/core/captured_work.h>

#include "tests/cuda/gpu.h"
#include "tests/support/optimizers.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::test;

TEST_CASE("on CUDA 20 steps of every optimizer agree with the CPU's") {
  if (!has_gpu()) return;
  for (const NamedOptimizer& one : named_optimizers()) {
    INFO(one.name);
    const OptimizedPair here, there(Device::cuda());
    const auto on_cpu = one.make(here.groups()), on_cuda = one.make(there.groups());
    here.train(*on_cpu, 0, 20);
    there.train(*on_cuda, 0, 20);
    require_close(there.values(), here.values(), 20);
    require_close(OptimizedPair::values_of(on_cuda->state()),
                  OptimizedPair::values_of(on_cpu->state()), 20);
  }
}

TEST_CASE("recorded updates, with clipping and an average, give the bits of eager ones") {
  if (!has_gpu()) return;
  const Device gpu = Device::cuda();
  for (const NamedOptimizer& one : named_optimizers()) {
    INFO(one.name);
    // What is left after 7 steps, of which the last two are stopped.
    const auto trained = [&](bool capture) {
      const OptimizedPair pair(gpu, DType::float32);
      const auto optimizer = one.make(pair.groups());
      optim::ParameterAverage average(optimizer->parameters(), 0.75);
      const Tensor stopped = Tensor::full({1}, 0, DType::int32, gpu);
      const Tensor da = Tensor::zeros(pair.a.shape(), DType::float32, gpu);
      const Tensor db = Tensor::zeros(pair.b.shape(), DType::float32, gpu);
      Tensor norm = Tensor::zeros({1}, DType::float64, gpu);
      CapturedWork step(
          gpu,
          [&] {
            pair.a.set_grad(da + pair.a.detach());
            pair.b.set_grad(db * pair.b.detach());
            norm.copy_from(optim::clip_gradient_norm(optimizer->parameters(), 0.5));
            optimizer->update(stopped);
            average.update(stopped);
          },
          capture);
      for (int i = 0; i < 7; ++i) {
        da.copy_from(formula_numbers(da.shape(), std::uint32_t(i)).to(DType::float32));
        db.copy_from(formula_numbers(db.shape(), std::uint32_t(i + 50)).to(DType::float32));
        optimizer->rate().fill(0.1 / (i + 1));
        if (i == 5) stopped.fill(1);
        step();
      }
      CHECK((step.graph() != nullptr) == capture);
      std::vector<NamedTensor> all = optimizer->state(), averages = average.state();
      all.insert(all.end(), averages.begin(), averages.end());
      all.push_back({"a", pair.a});
      all.push_back({"b", pair.b});
      all.push_back({"norm", norm});
      return OptimizedPair::values_of(all);
    };
    const auto eager = trained(false);
    CHECK(trained(true) == eager);
    CHECK(eager.back() > 0.5);
  }
}
