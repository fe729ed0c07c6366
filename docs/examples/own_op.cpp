// A layer and an op of one's own. No base class, no macro, no registration; gradcheck says whether
// the gradient is right.
#include <shatter/shatter.h>
#include <cstdio>
using namespace shatter;

namespace {

// softplus(x) = log(1 + exp(x)); its gradient, sigmoid(x), is itself an op, so that the second
// derivative exists too.
Tensor softplus(const Tensor& x) {
  const NoGrad values_only;
  const Tensor y = relu(x) + log1p(exp(-abs(x)));
  const EnableGrad recorded;
  return record(
      "softplus", y, {x},
      [x = Saved(x)](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{dy * sigmoid(*x)};
      },
      Order::second);
}

// Scales every channel by weights that the other channels decide (Hu et al., arXiv:1709.01507).
class SqueezeExcite {
 public:
  SqueezeExcite(std::int64_t channels, std::int64_t inner)
      : narrow_(channels, inner), widen_(inner, channels) {}
  Tensor operator()(const Tensor& x) {  // [n, h, w, c]
    const Tensor gate = sigmoid(widen_(relu(narrow_(global_avg_pool2d(x)))));
    return x * unsqueeze(unsqueeze(gate, 1), 1);
  }
  void visit(Visitor& visitor) {
    visitor.child("narrow", narrow_);
    visitor.child("widen", widen_);
  }
  static constexpr const char* name = "SqueezeExcite";

 private:
  Linear narrow_, widen_;
};

}  // namespace

int main() {
  const Tensor x = random_normal({.seed = 1}, {5}, 0, 2, DType::float64).set_requires_grad();
  const GradcheckReport first = gradcheck([](const auto& in) { return softplus(in[0]); }, {x});
  const GradcheckReport second = gradgradcheck([](const auto& in) { return softplus(in[0]); }, {x});
  std::printf("softplus: gradient %s, second derivative %s\n",
              first ? "right" : first.where.c_str(), second ? "right" : second.where.c_str());

  Sequential model(Conv2d({.in = 3, .out = 16, .padding = 1}), softplus, SqueezeExcite(16, 4),
                   GlobalAvgPool2d(), Linear(16, 10));
  initialize(model, {.seed = 1});
  std::printf("%s", summarize(model, {1, 32, 32, 3}).str().c_str());
  return first && second && model(Tensor::ones({2, 32, 32, 3})).shape() == Shape{2, 10} ? 0 : 1;
}
