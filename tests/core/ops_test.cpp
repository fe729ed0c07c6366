// Every op: values against formulas, gradients against central differences in double.
#include <shatter/core/ops.h>

#include <cmath>
#include <functional>
#include <limits>

#include <shatter/core/autograd.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/random.h>

#include "tests/core/gradient_cases.h"
#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::test;

namespace {

std::vector<double> values(const Tensor& x) {
  return x.values<double>();
}
Tensor vector_of(std::vector<double> v) {
  return Tensor::from(v, {std::int64_t(v.size())});
}

}  // namespace

TEST_CASE("gradients agree with central differences") {
  for (const GradientCase& c : gradient_cases()) {
    DYNAMIC_SECTION(c.name) {
      const GradcheckReport report = gradcheck(c.f, c.inputs);
      INFO(report.where);
      CHECK(report.worst < 1e-6);
    }
  }
}

TEST_CASE("a gradient reaches each operand alone") {
  for (const GradientCase& c : gradient_cases()) {
    if (c.inputs.size() < 2) continue;
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      DYNAMIC_SECTION(c.name << ", operand " << i) {
        Inputs inputs;
        for (std::size_t j = 0; j < c.inputs.size(); ++j) {
          inputs.push_back(j == i ? c.inputs[j] : c.inputs[j].detach());
        }
        CHECK(gradcheck(c.f, inputs, {.max_entries = 20}));
      }
    }
  }
}

TEST_CASE("float32 ops follow their float64 twins") {
  for (const GradientCase& c : gradient_cases()) {
    if (std::string(c.name).find("into") != std::string::npos ||
        std::string(c.name).starts_with("batch_norm")) {
      continue;  // their buffers are float64
    }
    DYNAMIC_SECTION(c.name) {
      Inputs narrow;
      for (const Tensor& x : c.inputs)
        narrow.push_back(x.detach().to(DType::float32).set_requires_grad());
      const Tensor y = c.f(c.inputs), y32 = c.f(narrow);
      const auto dx = grad(sum(y), c.inputs), dx32 = grad(sum(y32), narrow);
      const auto close = [](const Tensor& a, const Tensor& b) {
        const auto va = a.values<double>(), vb = b.values<double>();
        REQUIRE(va.size() == vb.size());
        for (std::size_t i = 0; i < va.size(); ++i) {
          CHECK(vb[i] == Approx(va[i]).epsilon(1e-4).margin(2e-5));
        }
      };
      close(y, y32);
      for (std::size_t i = 0; i < dx.size(); ++i) close(dx[i], dx32[i]);
    }
  }
}

TEST_CASE("broadcast arithmetic gives the textbook values") {
  const Tensor a = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor b = vector_of({10, 20, 30});
  CHECK(values(a + b) == std::vector<double>{11, 22, 33, 14, 25, 36});
  CHECK(values(a - 1.0) == std::vector<double>{0, 1, 2, 3, 4, 5});
  CHECK(values(-a) == std::vector<double>{-1, -2, -3, -4, -5, -6});
  CHECK(values(maximum(a, vector_of({2, 2, 4}))) == std::vector<double>{2, 2, 4, 4, 5, 6});
  CHECK(values(minimum(a, vector_of({2, 2, 4}))) == std::vector<double>{1, 2, 3, 2, 2, 4});
  CHECK(values(equal(a, vector_of({1, 5, 6}))) == std::vector<double>{1, 0, 0, 0, 1, 1});
  CHECK(values(a.slice_channels(1, 2) / 2.0) == std::vector<double>{1, 1.5, 2.5, 3});
}

TEST_CASE("reductions give the textbook values") {
  const Tensor x = Tensor::from(std::vector<double>{1, 5, 3, 4, 2, 5}, {2, 3});
  CHECK(sum(x).item() == 20);
  CHECK(sum(x).shape() == Shape{});
  CHECK(values(sum(x, 0)) == std::vector<double>{5, 7, 8});
  CHECK(sum(x, 1, true).shape() == Shape{2, 1});
  CHECK(values(mean(x, 1)) == std::vector<double>{3, 11.0 / 3});
  CHECK(values(max(x, -1)) == std::vector<double>{5, 5});
  CHECK(argmax(x).values<std::int32_t>() == std::vector<std::int32_t>{1, 2});
  CHECK(argmax(vector_of({7, 7, 1})).item() == 0);
}

TEST_CASE("ties of max share the gradient, maximum gives it to the first") {
  const Tensor x = vector_of({2, 2, 1}).set_requires_grad();
  CHECK(values(grad(sum(max(x, 0)), {x})[0]) == std::vector<double>{0.5, 0.5, 0});
  const Tensor y = vector_of({2, 0, 3}).set_requires_grad();
  const auto g = grad(sum(maximum(x, y)), {x, y});
  CHECK(values(g[0]) == std::vector<double>{1, 1, 0});
  CHECK(values(g[1]) == std::vector<double>{0, 0, 1});
}

TEST_CASE("softmax and cross-entropy stand logits of +-1e4") {
  const Tensor x = Tensor::from(std::vector<double>{1e4, -1e4, 0, -1e4, 1e4, 1e4}, {2, 3});
  const Tensor p = softmax(x);
  CHECK(values(p) == std::vector<double>{1, 0, 0, 0, 0.5, 0.5});
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{1, 1}, {2});
  const auto each = values(cross_entropy_each(x, labels));
  CHECK(each[0] == Approx(2e4));
  CHECK(each[1] == Approx(std::log(2)));
  CHECK(values(log_softmax(x))[0] == 0);
  CHECK(sigmoid(vector_of({-1e4, 1e4})).values<double>() == std::vector<double>{0, 1});
}

TEST_CASE("cross-entropy of uniform logits is ln of the classes") {
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{3, 9}, {2});
  CHECK(cross_entropy(Tensor::zeros({2, 10}, DType::float64), labels).item() ==
        Approx(std::log(10)).epsilon(1e-12));
  CHECK(cross_entropy(Tensor::zeros({2, 10}, DType::float64), labels, 0.2).item() ==
        Approx(std::log(10)).epsilon(1e-12));
}

TEST_CASE("count_correct counts the first of equal logits only") {
  const Tensor logits = Tensor::from(std::vector<float>{1, 1, 0, 0, 2, 1}, {2, 3});
  CHECK(count_correct(logits, Tensor::from(std::vector<std::int32_t>{0, 1}, {2})) == 2);
  CHECK(count_correct(logits, Tensor::from(std::vector<std::int32_t>{1, 2}, {2})) == 0);
}

TEST_CASE("concat of neighbouring slices costs no copy and equals the copying one") {
  const Tensor buffer = Tensor::zeros({2, 3, 5});
  const Tensor left = buffer.slice_channels(0, 2), right = buffer.slice_channels(2, 3);
  left.fill(1);
  right.fill(2);
  const Tensor joined = concat({left, right});
  CHECK(joined.shares_storage(buffer));
  const Tensor copied = concat({left.packed(), right.packed()});
  CHECK_FALSE(copied.shares_storage(buffer));
  CHECK(joined.values<float>() == copied.values<float>());
  CHECK_FALSE(concat({right, left}).shares_storage(buffer));
  CHECK(concat({right, left}).values<float>()[0] == 2);
}

TEST_CASE("fused batch norm and ReLU equal the pair, and update the running statistics once") {
  const Tensor x = draw({6, 2, 3}, 4).detach();
  const Tensor beta = draw({3}, 5).detach();
  const Tensor mean1 = Tensor::zeros({3}, DType::float64),
               var1 = Tensor::full({3}, 1, DType::float64);
  const Tensor mean2 = mean1.clone(), var2 = var1.clone();
  const Tensor fused = batch_norm(x, {}, beta, mean1, var1, {.relu = true, .decay = 0.9});
  const Tensor pair = relu(batch_norm(x, {}, beta, mean2, var2, {.decay = 0.9}));
  CHECK(values(fused) == values(pair));
  CHECK(values(mean1) == values(mean2));
  double expected = 0;
  for (int row = 0; row < 12; ++row) expected += values(x)[std::size_t(row) * 3] / 12;
  CHECK(values(mean1)[0] == Approx(0.1 * expected).epsilon(1e-12));
}

TEST_CASE("fused linear and ReLU equal the pair, backward too") {
  const Tensor x = draw({6, 5}, 1), w = draw({4, 5}, 2), b = draw({4}, 3);
  const Tensor fused = linear(x, w, b, true), pair = relu(linear(x, w, b));
  CHECK(values(fused) == values(pair));
  const auto by = [&](const Tensor& y) { return grad(sum(y * y), {x, w, b}); };
  const auto of_fused = by(fused), of_pair = by(pair);
  for (std::size_t i = 0; i < 3; ++i) CHECK(values(of_fused[i]) == values(of_pair[i]));
}

TEST_CASE("running variance is biased unless PyTorch's is asked for") {
  const Tensor x = Tensor::from(std::vector<double>{1, 3}, {2, 1});
  const Tensor mean = Tensor::zeros({1}, DType::float64), variance = mean.clone();
  batch_norm(x, {}, {}, mean, variance, {.decay = 0.5});
  CHECK(variance.item() == 0.5);
  batch_norm(x, {}, {}, mean, variance, {.decay = 0, .unbiased_running_variance = true});
  CHECK(variance.item() == 2);
}

TEST_CASE("dropout keeps the mean, repeats with its key and step, changes with the step") {
  const Tensor x = Tensor::full({100000}, 1, DType::float64);
  const Tensor y = dropout(x, 0.25, {.seed = 9}, 1);
  CHECK(mean(y).item() == Approx(1).margin(5 * std::sqrt(0.25 / 0.75 / 100000)));
  CHECK(values(y) == values(dropout(x, 0.25, {.seed = 9}, 1)));
  CHECK(values(y) != values(dropout(x, 0.25, {.seed = 9}, 2)));
}

TEST_CASE("ops name what does not fit") {
  const Tensor image = Tensor::zeros({128, 28, 28, 3}), weight = Tensor::zeros({32, 3, 3, 96});
  CHECK_THROWS_WITH(conv2d(image, weight, {}),
                    Contains("conv2d: input has 3 channels, weight expects 96") &&
                        Contains("[128, 28, 28, 3]") && Contains("[32, 3, 3, 96]"));
  CHECK_THROWS_WITH(conv2d(Tensor::zeros({1, 2, 2, 1}), Tensor::zeros({1, 3, 3, 1}), {}),
                    Contains("does not fit"));
  CHECK_THROWS_WITH(conv2d(image, Tensor::zeros({4, 3, 3, 3}), Tensor::zeros({5})),
                    Contains("bias"));
  CHECK_THROWS_WITH(linear(Tensor::zeros({2, 3}), Tensor::zeros({4, 5})),
                    Contains("[2, 3]") && Contains("[4, 5]"));
  CHECK_THROWS_WITH(matmul(Tensor::zeros({2, 3}), Tensor::zeros({2, 3})),
                    Contains("inner dimensions"));
  CHECK_THROWS_WITH(add(Tensor::zeros({2}), Tensor::zeros({2}, DType::float64)),
                    Contains("float32") && Contains("float64"));
  CHECK_THROWS_WITH(relu(Tensor::zeros({2}, DType::int32)), Contains("relu") && Contains("int32"));
  CHECK_THROWS_WITH(concat({Tensor::zeros({2, 3}), Tensor::zeros({3, 3})}),
                    Contains("[2, 3]") && Contains("[3, 3]"));
  CHECK_THROWS_WITH(concat({}), Contains("nothing"));
  CHECK_THROWS_WITH(permute(Tensor::zeros({2, 3}), {0, 0}), Contains("no ordering"));
  CHECK_THROWS_WITH(dropout(Tensor::zeros({2}), 1.0, {}, 0), Contains("0 <= p < 1"));
  CHECK_THROWS_WITH(max_pool2d(Tensor::zeros({1, 2, 2, 1}), {.window = 3, .stride = 1}),
                    Contains("does not fit"));
  CHECK_THROWS_WITH(max_pool2d(image, {.window = 2, .stride = 1, .padding = Padding{2, 2, 2, 2}}),
                    Contains("smaller than the window"));
  CHECK_THROWS_WITH(
      batch_norm(Tensor::zeros({2, 3}), {}, {}, Tensor::zeros({2}), Tensor::zeros({3})),
      Contains("3 channels"));
  CHECK_THROWS_WITH(sum_to(Tensor::zeros({2, 3}), {4}),
                    Contains("broadcast") || Contains("do not fit"));
}

TEST_CASE("labels are checked before anything is computed") {
  const Tensor logits = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH(cross_entropy(logits, Tensor::from(std::vector<std::int32_t>{0, 3}, {2})),
                    Contains("label 3 of example 1") && Contains("[0, 3)"));
  CHECK_THROWS_WITH(cross_entropy(logits, Tensor::from(std::vector<std::int32_t>{-1, 0}, {2})),
                    Contains("label -1"));
  CHECK_THROWS_WITH(cross_entropy(logits, Tensor::zeros({2})), Contains("int32 [n]"));
  CHECK_THROWS_WITH(count_correct(logits, Tensor::zeros({3}, DType::int32)), Contains("[3]"));
}

TEST_CASE("`into` must fit the result") {
  const Tensor x = Tensor::zeros({1, 4, 4, 2});
  CHECK_THROWS_WITH(max_pool2d(x, {}, Tensor::zeros({1, 4, 4, 2})),
                    Contains("`into`") && Contains("[1, 2, 2, 2]"));
}
