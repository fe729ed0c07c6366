// own_op.cpp of the folder above, with libtorch. Its gradcheck is Python's alone: the gradients are
// compared with differences by hand.
#include <torch/torch.h>
#include <cstdio>

struct Softplus : torch::autograd::Function<Softplus> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, torch::Tensor x) {
    context->save_for_backward({x});
    return torch::relu(x) + torch::log1p(torch::exp(-torch::abs(x)));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list dy) {
    return {dy[0] * torch::sigmoid(context->get_saved_variables()[0])};
  }
};
torch::Tensor own_softplus(const torch::Tensor& x) {
  return Softplus::apply(x);
}

struct SqueezeExciteImpl : torch::nn::Module {
  torch::nn::Linear narrow, widen;
  SqueezeExciteImpl(int64_t channels, int64_t inner)
      : narrow(register_module("narrow", torch::nn::Linear(channels, inner))),
        widen(register_module("widen", torch::nn::Linear(inner, channels))) {}
  torch::Tensor forward(const torch::Tensor& x) {  // [n, c, h, w]
    auto gate = torch::sigmoid(widen->forward(torch::relu(narrow->forward(x.mean({2, 3})))));
    return x * gate.unsqueeze(2).unsqueeze(3);
  }
};
TORCH_MODULE(SqueezeExcite);

bool agree(const torch::Tensor& a, const torch::Tensor& b) {
  return torch::allclose(a, b, 1e-5, 1e-7);
}

int main() {
  auto x = (torch::randn({5}, torch::kFloat64) * 2).set_requires_grad(true);
  auto first = torch::autograd::grad({own_softplus(x).sum()}, {x}, {}, true, true)[0];
  auto second = torch::autograd::grad({first.sum()}, {x})[0];
  const double h = 1e-5;
  const auto slope = [](const torch::Tensor& at) {
    return torch::autograd::grad({own_softplus(at).sum()}, {at})[0];
  };
  const bool right = agree(first, (own_softplus(x + h) - own_softplus(x - h)) / (2 * h));
  const bool right_twice = agree(second, (slope(x + h) - slope(x - h)) / (2 * h));
  std::printf("softplus: gradient %s, second derivative %s\n", right ? "right" : "wrong",
              right_twice ? "right" : "wrong");
  torch::nn::Sequential model(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 16, 3).padding(1)),
                              torch::nn::Functional(own_softplus), SqueezeExcite(16, 4),
                              torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(),
                              torch::nn::Linear(16, 10));
  std::cout << model << "\n";
  return right && right_twice &&
                 model->forward(torch::ones({2, 3, 32, 32})).sizes() == std::vector<int64_t>{2, 10}
             ? 0
             : 1;
}
