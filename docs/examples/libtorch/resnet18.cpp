// resnet18.cpp of the folder above, with libtorch, on random images: its own reader knows MNIST
// alone.
#include <torch/torch.h>
#include <cmath>
#include <cstdio>

namespace nn = torch::nn;

struct ConvNormImpl : nn::Module {  // a Sequential cannot hold a Sequential
  nn::Conv2d conv;
  nn::BatchNorm2d norm;
  ConvNormImpl(int64_t in, int64_t out, int64_t kernel, int64_t stride)
      : conv(register_module("conv", nn::Conv2d(nn::Conv2dOptions(in, out, kernel)
                                                    .stride(stride)
                                                    .padding(kernel / 2)
                                                    .bias(false)))),
        norm(register_module("norm", nn::BatchNorm2d(out))) {}
  torch::Tensor forward(const torch::Tensor& x) { return norm->forward(conv->forward(x)); }
};
TORCH_MODULE(ConvNorm);

struct BlockImpl : nn::Module {
  ConvNorm first, second, shortcut{nullptr};
  BlockImpl(int64_t in, int64_t out, int64_t stride)
      : first(register_module("first", ConvNorm(in, out, 3, stride))),
        second(register_module("second", ConvNorm(out, out, 3, 1))) {
    if (stride != 1 || in != out)
      shortcut = register_module("shortcut", ConvNorm(in, out, 1, stride));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    auto y = second->forward(torch::relu(first->forward(x)));
    return torch::relu(y + (shortcut ? shortcut->forward(x) : x));
  }
};
TORCH_MODULE(Block);

nn::Sequential resnet18(int64_t classes) {
  nn::Sequential model(ConvNorm(3, 64, 3, 1), nn::ReLU());
  int64_t in = 64;
  for (const int64_t out : {64, 128, 256, 512}) {
    model->push_back(Block(in, out, out == 64 ? 1 : 2));
    model->push_back(Block(out, out, 1));
    in = out;
  }
  model->push_back(nn::AdaptiveAvgPool2d(1));
  model->push_back(nn::Flatten());
  model->push_back(nn::Linear(512, classes));
  return model;
}

// Zeros around, a random place, and a flip for every second image.
torch::Tensor augment(const torch::Tensor& x) {
  auto padded = torch::constant_pad_nd(x, {4, 4, 4, 4});
  std::vector<torch::Tensor> images;
  for (int64_t i = 0; i < x.size(0); ++i) {
    const int64_t top = torch::randint(9, {1}).item<int64_t>(),
                  left = torch::randint(9, {1}).item<int64_t>();
    auto image = padded[i].slice(1, top, top + 32).slice(2, left, left + 32);
    images.push_back(torch::rand({1}).item<float>() < 0.5f ? image.flip(2) : image);
  }
  return torch::stack(images);
}

int main() {
  torch::manual_seed(1);
  const int64_t images = 96, batch = 32;
  auto x = torch::rand({images, 3, 32, 32}), y = torch::randint(10, {images});
  auto model = resnet18(10);
  int64_t count = 0;
  std::vector<torch::Tensor> weights, others;
  for (const auto& p : model->parameters()) {
    count += p.numel();
    (p.dim() > 1 ? weights : others).push_back(p);
  }
  std::printf("%lld parameters\n", (long long)count);
  const auto options = [](double decay) {
    return torch::optim::AdamWOptions(1e-3).weight_decay(decay);
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(weights, std::make_unique<torch::optim::AdamWOptions>(options(5e-2)));
  groups.emplace_back(others, std::make_unique<torch::optim::AdamWOptions>(options(0)));
  torch::optim::AdamW optimizer(std::move(groups), options(0));
  double loss = 0;
  for (int epoch = 0, step = 0; epoch < 2; ++epoch) {
    loss = 0;
    for (const auto& rows : torch::randperm(images).split(batch)) {
      const double rate = step == 0 ? 5e-4 : 5e-4 * (1 + std::cos(M_PI * (step - 1) / 6));
      for (auto& group : optimizer.param_groups())
        static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate);
      optimizer.zero_grad();
      auto mean = nn::functional::cross_entropy(model->forward(augment(x.index_select(0, rows))),
                                                y.index_select(0, rows));
      mean.backward();
      optimizer.step();
      loss += mean.item<double>() * double(rows.size(0)) / double(images);
      ++step;
    }
    std::printf("epoch %d: training loss %.3f\n", epoch + 1, loss);
  }
  return count == 11173962 ? 0 : 1;
}
