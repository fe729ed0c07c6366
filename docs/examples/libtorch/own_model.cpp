// own_model.cpp of the folder above, with libtorch.
#include <torch/torch.h>
#include <cmath>
#include <cstdio>

struct Rows {
  torch::Tensor x, y;
};

Rows draw(int64_t n, uint64_t seed) {
  torch::manual_seed(seed);
  auto x = torch::rand({n, 4}) * 2 - 1, noise = torch::randn({n, 1}) * 0.05;
  auto outlier = torch::rand({n, 1}) < 0.02;
  auto clean = torch::sin(2 * x.slice(1, 0, 1)) + x.slice(1, 1, 2) * x.slice(1, 2, 3);
  return {x, torch::where(outlier, torch::full({1}, 5.0f), clean + noise)};
}

struct NetImpl : torch::nn::Module {
  torch::nn::Sequential layers{torch::nn::Linear(4, 64), torch::nn::Tanh(),
                               torch::nn::Linear(64, 64), torch::nn::Tanh(),
                               torch::nn::Linear(64, 1)};
  NetImpl() { register_module("layers", layers); }
  torch::Tensor forward(torch::Tensor x) { return layers->forward(x); }
};
TORCH_MODULE(Net);

torch::Tensor huber(const torch::Tensor& x, const torch::Tensor& y) {
  return torch::nn::functional::huber_loss(
      x, y, torch::nn::functional::HuberLossFuncOptions().delta(0.1));
}

double error(Net& model, const Rows& rows) {
  torch::NoGradGuard guard;
  return huber(model->forward(rows.x), rows.y).item<double>();
}

int main() {
  Rows train = draw(2000, 1), held_out = draw(500, 10);
  Net model;
  const int64_t batch = 50, steps = 60 * (2000 / batch);
  torch::optim::Adam adam(model->parameters(), torch::optim::AdamOptions(5e-3));
  int64_t step = 0;
  double least = error(model, held_out);
  std::printf("before:   held-out loss %.4f\n", least);
  for (int epoch = 0, since = 0; epoch < 60 && since < 15; ++epoch, ++since) {
    for (const auto& rows : torch::randperm(2000).split(batch)) {
      const double warm = std::min(1.0, (step + 1) / 100.0);
      const double rate =
          warm < 1 ? 5e-3 * warm : 2.5e-3 * (1 + std::cos(M_PI * (step - 100) / steps));
      for (auto& group : adam.param_groups())
        static_cast<torch::optim::AdamOptions&>(group.options()).lr(rate);
      adam.zero_grad();
      huber(model->forward(train.x.index_select(0, rows)), train.y.index_select(0, rows))
          .backward();
      adam.step();
      ++step;
    }
    if (const double now = error(model, held_out); now < least) {
      least = now;
      torch::save(model, "own_model.pt");
      since = 0;
    }
  }
  Net loaded;
  torch::load(loaded, "own_model.pt");
  std::printf("training: loss %.4f, held-out loss %.4f; loaded again %.4f\n", error(loaded, train),
              least, error(loaded, held_out));
  return error(loaded, held_out) == least && least < 0.02 ? 0 : 1;
}
