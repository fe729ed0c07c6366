// hessian_spectrum.cpp of the folder above, with libtorch: its autograd gives the products with the
// Hessian, Lanczos' iteration and the flat vectors are written here. The images are noise.
#include <torch/torch.h>
#include <cmath>
#include <cstdio>
using torch::autograd::grad;
using Tensors = std::vector<torch::Tensor>;

torch::Tensor flat(const Tensors& parts) {
  Tensors rows;
  for (const auto& part : parts) rows.push_back(part.reshape({-1}));
  return torch::cat(rows);
}

int main() {
  torch::manual_seed(1);
  auto inputs = torch::randn({200, 432}, torch::kFloat64);
  auto labels = torch::randint(10, {200}, torch::kInt64);
  torch::nn::Sequential model(torch::nn::Linear(432, 32), torch::nn::Tanh(),
                              torch::nn::Linear(32, 10));
  model->to(torch::kFloat64);
  const Tensors weights = model->parameters();
  const auto loss = [&] {
    return torch::nn::functional::cross_entropy(model->forward(inputs), labels);
  };
  const auto product = [&](const torch::Tensor& v) {
    auto g = flat(grad({loss()}, weights, {}, true, true));
    return flat(grad({torch::dot(g, v)}, weights)).detach();
  };
  const auto eigenvalues = [&](int iterations) {
    const int64_t size = flat(weights).numel();
    auto v = torch::randn({size}, torch::kFloat64);
    auto basis = torch::zeros({iterations, size}, torch::kFloat64);
    auto t = torch::zeros({iterations, iterations}, torch::kFloat64);
    v /= v.norm();
    for (int i = 0; i < iterations; ++i) {
      basis[i] = v;
      v = product(v);
      t[i][i] = torch::dot(basis[i], v);
      for (int again = 0; again < 2; ++again) v -= basis.t().matmul(basis.matmul(v));
      const auto beta = v.norm();
      if (i + 1 < iterations) t[i][i + 1] = t[i + 1][i] = beta;
      v /= beta;
    }
    return torch::linalg_eigvalsh(t, "L");
  };

  const double rate = 0.2;
  torch::optim::SGD sgd(weights, torch::optim::SGDOptions(rate));
  torch::Tensor ends;
  std::printf("step   loss   largest eigenvalues      smallest   2 / rate = %.0f\n", 2 / rate);
  for (int step = 0; step <= 200; ++step) {
    if (step % 50 == 0) {
      ends = eigenvalues(30);
      std::printf("%4d  %.3f   %.2f, %.2f   %8.3f\n", step, loss().item<double>(),
                  ends[-1].item<double>(), ends[-2].item<double>(), ends[0].item<double>());
    }
    if (step == 200) break;
    sgd.zero_grad();
    loss().backward();
    sgd.step();
  }

  const auto g = flat(grad({loss()}, weights)), unit = g / g.norm();
  const double curvature = torch::dot(unit, product(unit)).item<double>(), h = 1e-3;
  const auto loss_at = [&](double distance) {
    torch::NoGradGuard guard;
    const auto move = [&](double by) {
      int64_t place = 0;
      for (auto w : weights) {
        w += by * unit.slice(0, place, place + w.numel()).view_as(w);
        place += w.numel();
      }
    };
    move(distance);
    const double value = loss().item<double>();
    move(-distance);
    return value;
  };
  const double difference = (loss_at(h) - 2 * loss_at(0) + loss_at(-h)) / (h * h);
  std::printf("curvature along the gradient: %.6f, by differences %.6f\n", curvature, difference);

  double least = INFINITY, most = 0;
  const auto losses = torch::nn::functional::cross_entropy(
      model->forward(inputs), labels,
      torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  for (int64_t i = 0; i < losses.size(0); ++i) {
    const double norm = flat(grad({losses[i]}, weights, {}, true)).norm().item<double>();
    least = std::min(least, norm), most = std::max(most, norm);
  }
  std::printf("gradient norms of single examples: %.4f to %.4f; of the mean loss %.4f\n", least,
              most, g.norm().item<double>());
  const bool within = ends[0].item<double>() <= curvature && curvature <= ends[-1].item<double>();
  return within && std::abs(curvature - difference) < 1e-4 * std::abs(curvature) ? 0 : 1;
}
