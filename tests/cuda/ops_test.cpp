// Every op on the CUDA backend: gradients against central differences in double, and the types it
// computes in.
#include <shatter/core/gradcheck.h>

#include <shatter/core/autograd.h>
#include <shatter/layers/layers.h>
#include <shatter/optim/optimizer.h>

#include "tests/core/gradient_cases.h"
#include "tests/cuda/gpu.h"
#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::test;

TEST_CASE("on CUDA gradients agree with central differences") {
  if (!has_gpu()) return;
  for (const GradientCase& c : gradient_cases(Device::cuda())) {
    DYNAMIC_SECTION(c.name) {
      const GradcheckReport report = gradcheck(c.f, c.inputs, {.max_entries = 12});
      INFO(report.where);
      CHECK(report.worst < 1e-6);
    }
  }
}

TEST_CASE("tensors move between the devices and keep their values and gradients") {
  if (!has_gpu()) return;
  const Device gpu = Device::cuda();
  const Tensor x = draw({3, 5}, 1);
  const Tensor there = x.to(gpu);
  CHECK(there.device() == gpu);
  CHECK(there.values<double>() == x.values<double>());
  CHECK(grad(sum(square(there)), {x})[0].values<double>() ==
        grad(sum(square(x)), {x})[0].values<double>());
  const Tensor slice = there.detach().slice_channels(1, 3);
  CHECK(slice.values<double>() == x.detach().slice_channels(1, 3).values<double>());
  slice.copy_from(Tensor::full({3, 3}, 7, DType::float32));
  CHECK(there.values<double>()[1] == 7);
  CHECK(there.values<double>()[4] == x.values<double>()[4]);
  const Tensor bytes = Tensor::full({1000}, 200, DType::uint8, gpu);
  CHECK(sum(bytes.to(DType::float32)).item() == 200000);
}

TEST_CASE("labels on another device are refused") {
  if (!has_gpu()) return;
  const Tensor logits = draw({2, 3}, 1).detach().to(Device::cuda());
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{0, 2}, {2});
  const auto refusal = Contains("on cuda:0 and labels int32 [2] on cpu");
  CHECK_THROWS_WITH(cross_entropy(logits, labels), refusal);
  CHECK_THROWS_WITH(cross_entropy_each(logits, labels), refusal);
  CHECK_THROWS_WITH(count_correct(logits, labels), refusal);
}

TEST_CASE("an optimizer refuses a model moved since it was made") {
  if (!has_gpu()) return;
  Linear layer({.in = 2, .out = 3});
  initialize(layer, {.seed = 1});
  optim::Sgd sgd(named_parameters(layer), {.schedule = optim::constant(0.1), .momentum = 0.9});
  to(layer, Device::cuda());
  backward(sum(layer(Tensor::full({1, 2}, 1, DType::float32, Device::cuda()))));
  const auto before = layer.weight.values<float>();
  CHECK_THROWS_WITH(sgd.step(),
                    Contains("parameter weight is on cuda:0, the optimizer was made on cpu"));
  CHECK(layer.weight.values<float>() == before);
}

TEST_CASE("a gradient on another device is refused, and moves with its tensor") {
  if (!has_gpu()) return;
  const Device gpu = Device::cuda();
  const Tensor x = draw({3, 5}, 1).detach().to(gpu).set_requires_grad();
  CHECK_THROWS_WITH(x.set_grad(Tensor::zeros({3, 5}, DType::float64)), Contains("on cpu"));
  const Tensor y = square(x);
  CHECK_THROWS_WITH(backward(y, Tensor::zeros({3, 5}, DType::float64)),
                    Contains("to start from is float64 [3, 5] on cpu"));
  x.set_grad(Tensor::full({3, 5}, 2, DType::float64, gpu));
  x.rebind(x.detach().to(Device::cpu()));
  CHECK(x.grad().device().is_cpu());
  backward(sum(x));
  CHECK(x.grad().values<double>() == std::vector<double>(15, 3));
}

TEST_CASE("bfloat16 activations with float32 parameters: values and gradients near float32's") {
  if (!has_gpu()) return;
  const Device gpu = Device::cuda();
  const Tensor x = random_normal({.seed = 1}, {2, 6, 6, 16}, 0, 1, DType::float32, gpu);
  const Tensor w =
      random_normal({.seed = 2}, {24, 3, 3, 16}, 0, 0.1, DType::float32, gpu).set_requires_grad();
  const Tensor beta =
      random_normal({.seed = 3}, {24}, 0, 1, DType::float32, gpu).set_requires_grad();
  const Tensor fc =
      random_normal({.seed = 4}, {10, 24}, 0, 0.2, DType::float32, gpu).set_requires_grad();
  const Tensor bias = Tensor::zeros({10}, DType::float32, gpu).set_requires_grad();
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{3, 7}, {2}, gpu);
  const auto loss = [&](DType type) {
    const Tensor mean = Tensor::zeros({24}, DType::float32, gpu);
    const Tensor variance = Tensor::full({24}, 1, DType::float32, gpu);
    Tensor h = conv2d(x.to(type), w, {}, {.padding = same});
    h = batch_norm(h, {}, beta, mean, variance, {.relu = true});
    h = max_pool2d(h, {.window = 3, .stride = 2, .padding = same});
    const Tensor logits = linear(global_avg_pool2d(h), fc, bias);
    CHECK(logits.dtype() == type);
    return cross_entropy(logits.to(DType::float32), labels);
  };
  const std::vector<Tensor> parameters{w, beta, fc, bias};
  const Tensor narrow = loss(DType::bfloat16), wide = loss(DType::float32);
  CHECK(narrow.item() == Approx(wide.item()).epsilon(0.02));
  const auto d_narrow = grad(narrow, parameters), d_wide = grad(wide, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    CHECK(d_narrow[i].dtype() == DType::float32);
    const auto a = d_narrow[i].values<double>(), b = d_wide[i].values<double>();
    double difference = 0, size = 0;
    for (std::size_t j = 0; j < a.size(); ++j) {
      difference += (a[j] - b[j]) * (a[j] - b[j]);
      size += b[j] * b[j];
    }
    // Rounding to 8 bits moves a share of about 2^-8 of the units across the ReLU's kink, and as
    // many to another maximum of their window; each of these changes its gradient altogether.
    CHECK(std::sqrt(difference / size) < 2 * std::sqrt(2 * 0x1p-8));
  }
}

TEST_CASE("a label outside the classes gives no finite loss on CUDA") {
  if (!has_gpu()) return;
  const Device gpu = Device::cuda();
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{1, 4}, {2}, gpu);
  CHECK(std::isnan(cross_entropy(Tensor::zeros({2, 4}, DType::float32, gpu), labels).item()));
}
