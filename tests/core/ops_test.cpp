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

TEST_CASE("Linear algebra refuses what is not finite, not square or singular") {
  const Tensor nan = Tensor::full({3, 3}, std::nan(""));
  CHECK_THROWS_WITH(svd(nan), Contains("svd: float32 [3, 3] holds a value that is not finite"));
  CHECK_THROWS_WITH(eigh(nan), Contains("not finite"));
  CHECK_THROWS_WITH(qr(nan), Contains("not finite"));
  CHECK_THROWS_WITH(cholesky(nan), Contains("not finite"));
  CHECK_THROWS_WITH(solve(Tensor::eye(3), nan), Contains("not finite"));
  CHECK_THROWS_WITH(slogdet(nan), Contains("not finite"));
  CHECK_THROWS_WITH(cholesky(-Tensor::eye(2)), Contains("is not positive definite"));
  CHECK_THROWS_WITH(inverse(Tensor::zeros({2, 2})), Contains("is singular"));
  CHECK_THROWS_WITH(eigh(Tensor::zeros({2, 3})), Contains("square"));
  const Tensor x = Tensor::from({3.0, 1.0, 0.0, 2.0}, {2, 2}).set_requires_grad();
  CHECK_THROWS_WITH(backward(sum(svd(x).u)), Contains("u and vt have no gradient"));
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
  CHECK(argmax(x).values<std::int64_t>() == std::vector<std::int64_t>{1, 2});
  CHECK(argmax(vector_of({7, 7, 1})).item() == 0);
}

TEST_CASE("masks are uint8, of any operands") {
  const double nan = std::nan("");
  const Tensor a = vector_of({1, 2, nan}), b = vector_of({2, 2, nan});
  using Bytes = std::vector<std::uint8_t>;
  const auto bytes = [](const Tensor& x) { return x.values<std::uint8_t>(); };
  CHECK((a < b).dtype() == DType::uint8);
  CHECK(bytes(a < b) == Bytes{1, 0, 0});
  CHECK(bytes(a <= b) == Bytes{1, 1, 0});
  CHECK(bytes(a > b) == Bytes{0, 0, 0});
  CHECK(bytes(b >= a) == Bytes{1, 1, 0});
  CHECK(bytes(equal(a, b)) == Bytes{0, 1, 0});
  CHECK(bytes(not_equal(a, b)) == Bytes{1, 0, 1});
  CHECK(bytes(isnan(a)) == Bytes{0, 0, 1});
  CHECK(bytes(a > 1.5) == Bytes{0, 1, 0});
  CHECK(bytes(1.5 > a) == Bytes{1, 0, 0});
  CHECK(bytes(2 <= a) == Bytes{0, 1, 0});
  CHECK(bytes(2 >= a) == Bytes{1, 1, 0});
  CHECK(bytes(1 < a) == Bytes{0, 1, 0});
  const Tensor grid = Tensor::from({0, 1, 2, 3}, {2, 2}), row = Tensor::from({1, 2}, {2});
  CHECK(bytes(grid <= row) == Bytes{1, 1, 0, 0});
  CHECK(bytes(grid < 1.5) == Bytes{1, 1, 0, 0});
  CHECK(bytes(Tensor::from<std::uint8_t>({200, 3}, {2}) < 300) == Bytes{1, 1});
  const auto large = std::int64_t{1} << 60;  // one more is no double
  CHECK(bytes(equal(Tensor::from({large}, {1}), Tensor::from({large + 1}, {1}))) == Bytes{0});
  CHECK(bytes(logical_and(grid, vector_of({0, -1}))) == Bytes{0, 1, 0, 1});
  CHECK(bytes(logical_or(grid, vector_of({0, 0}))) == Bytes{0, 1, 1, 1});
  CHECK(bytes(logical_not(grid)) == Bytes{1, 0, 0, 0});
  CHECK_THROWS_WITH(a < Tensor::zeros({3}), Contains("less: operands are float64 [3]"));
}

TEST_CASE("integers: the types of results, and values") {
  const Tensor i = Tensor::from({1, -2, 7}, {3});
  const Tensor bytes = Tensor::from<std::uint8_t>({200, 2, 3}, {3});
  CHECK((i + bytes).dtype() == DType::int32);
  CHECK(values(i + bytes) == std::vector<double>{201, 0, 10});
  CHECK((bytes + bytes).dtype() == DType::uint8);
  CHECK(values(bytes + bytes) == std::vector<double>{144, 4, 6});
  CHECK((i * i.to(DType::int64)).dtype() == DType::int64);
  CHECK((i * Tensor::ones({3})).dtype() == DType::float32);
  CHECK((Tensor::ones({3}, DType::float64) * i).dtype() == DType::float64);
  CHECK((i / i).dtype() == DType::float32);
  CHECK(values(i / 2) == std::vector<double>{0.5, -1, 3.5});
  CHECK((i * 3).dtype() == DType::int32);
  CHECK(values(10 - i * 3) == std::vector<double>{7, 16, -11});
  CHECK((i * 0.5).dtype() == DType::float32);
  CHECK(values(i * 0.5) == std::vector<double>{0.5, -1, 3.5});
  CHECK(values(-i) == std::vector<double>{-1, 2, -7});
  CHECK(values(1 / i) == std::vector<double>{1, -0.5, double(1.f / 7)});
  CHECK(sum(bytes).dtype() == DType::int64);
  CHECK(sum(bytes).item() == 205);
  CHECK(mean(bytes).item() == double(205 * (1 / 3.f)));
  CHECK(max(i).dtype() == DType::int32);
  CHECK(max(i).item() == 7);
  CHECK(min(i).item() == -2);
  CHECK(min(bytes).item() == 2);
  CHECK(values(cumsum(bytes, 0)) == std::vector<double>{200, 202, 205});
  CHECK(count_nonzero(i > 0).dtype() == DType::int64);
  CHECK(count_nonzero(i > 0).item() == 2);
  const auto least = std::numeric_limits<std::int64_t>::min();
  CHECK(min(Tensor::from({least, std::int64_t{5}}, {2})).values<std::int64_t>()[0] == least);
  CHECK(argmin(Tensor::from({std::int64_t{5}, least}, {2})).item() == 1);
  CHECK_THROWS_WITH(exp(i), Contains("exp: operand is int32 [3]"));
  CHECK_THROWS_WITH(Tensor() * 2.0, Contains("multiply: the tensor is undefined"));
}

TEST_CASE("operators take bfloat16") {
  const Tensor x = Tensor::from({1.5f, -2.f}, {2}).to(DType::bfloat16);
  CHECK(values(2 * x + x) == std::vector<double>{4.5, -6});
  CHECK((1 / x).dtype() == DType::bfloat16);
  CHECK(values(x < 0) == std::vector<double>{0, 1});
  CHECK(sum(x).item() == -0.5);
}

TEST_CASE("where chooses exactly") {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor mask = Tensor::from<std::uint8_t>({1, 0, 7}, {3});
  const std::vector<double> y =
      values(where(mask, vector_of({-0.0, inf, 1}), vector_of({inf, -0.0, inf})));
  CHECK(std::signbit(y[0]));
  CHECK(std::signbit(y[1]));
  CHECK(y == std::vector<double>{0, 0, 1});
  CHECK(where(mask, Tensor::from({1, 2, 3}, {3}), 0).dtype() == DType::int32);
  CHECK(values(where(mask, Tensor::from({1, 2}, {2, 1}), 0)) ==
        std::vector<double>{1, 0, 1, 2, 0, 2});
  CHECK_THROWS_WITH(where(vector_of({1}), vector_of({1}), 0), Contains("the mask is float64 [1]"));
}

TEST_CASE("functions at their kinks and ends") {
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(values(sign(vector_of({-3, 0, 2}))) == std::vector<double>{-1, 0, 1});
  CHECK(erf(vector_of({0.5})).item() == std::erf(0.5));
  const Tensor x = vector_of({-1, 0, 0.5, 1, 2}).set_requires_grad();
  CHECK(values(clamp(x, 0, 1)) == std::vector<double>{0, 0, 0.5, 1, 1});
  CHECK(values(grad(sum(clamp(x, 0, 1)), {x})[0]) == std::vector<double>{0, 1, 1, 1, 0});
  CHECK(values(grad(sum(sign(x)), {x})[0]) == std::vector<double>(5, 0));
  CHECK(std::isnan(clamp(vector_of({std::nan("")}), 0, 1).item()));
  const Tensor zero = vector_of({0}).set_requires_grad();
  CHECK(grad(sum(pow(zero, 0)), {zero})[0].item() == 0);
  CHECK(grad(sum(pow(zero, 1)), {zero})[0].item() == 1);
  CHECK(grad(sum(pow(vector_of({0}), zero)), {zero})[0].item() == 0);
  CHECK(grad(norm(zero), {zero})[0].item() == 0);
  CHECK(values(logsumexp(Tensor::from({-inf, -inf, 1e4, 1e4, inf, 0.0}, {3, 2}), 1)) ==
        std::vector<double>{-inf, 1e4 + std::log(2), inf});
}

TEST_CASE("reductions along any dimension") {
  const Tensor x = Tensor::from({1.0, 5.0, 3.0, 4.0, 2.0, 5.0}, {2, 3});
  CHECK(max(x).item() == 5);
  CHECK(min(x).item() == 1);
  CHECK(values(min(x, 0)) == std::vector<double>{1, 2, 3});
  CHECK(argmax(x).dtype() == DType::int64);
  CHECK(values(argmax(x, 0)) == std::vector<double>{1, 0, 1});
  CHECK(argmax(x, 0, true).shape() == Shape{1, 3});
  CHECK(values(argmin(x, 0)) == std::vector<double>{0, 1, 0});
  CHECK(values(argmax(x.to(DType::int32), 0)) == std::vector<double>{1, 0, 1});
  CHECK(values(var(x, 1))[0] == Approx(4).epsilon(1e-15));
  CHECK(values(var(x, 1, false, 0))[1] == Approx(14.0 / 9).epsilon(1e-15));
  CHECK(values(stddev(x, 1))[0] == Approx(2).epsilon(1e-15));
  CHECK(norm(vector_of({3, 4})).item() == 5);
  CHECK(values(norm(x, 0)) ==
        std::vector<double>{std::sqrt(17.0), std::sqrt(29.0), std::sqrt(34.0)});
  CHECK(values(cumsum(x, 1)) == std::vector<double>{1, 6, 9, 4, 6, 11});
  CHECK(values(cumsum(x, 0)) == std::vector<double>{1, 5, 3, 5, 7, 8});
  const Tensor p = softmax(x, 0);
  CHECK(values(sum(p, 0))[1] == Approx(1));
  CHECK(values(p)[0] == Approx(1 / (1 + std::exp(3))));
}

TEST_CASE("t += u overwrites, or becomes t + u where a gradient is recorded") {
  Tensor t = vector_of({1, 2});
  const Tensor other = t, view = t.slice_items(1, 1);
  t += vector_of({10, 20});
  t *= 2;
  t -= 1;
  t /= vector_of({3, 1});
  CHECK(values(other) == std::vector<double>{7, 43});
  CHECK(view.item() == 43);
  const Tensor x = vector_of({3, 4}).set_requires_grad();
  t += x;
  CHECK(values(t) == std::vector<double>{10, 47});
  CHECK(values(other) == std::vector<double>{7, 43});
  t *= t;
  CHECK(values(grad(sum(t), {x})[0]) == std::vector<double>{20, 94});
  Tensor leaf = x;
  CHECK_THROWS_WITH(leaf -= 1, Contains("operator-=: the tensor is a leaf"));
  {
    const NoGrad off;
    leaf -= 1;
  }
  CHECK(values(x) == std::vector<double>{2, 3});
  CHECK_THROWS_WITH(t += vector_of({1, 2, 3}), Contains("[2]"));
  CHECK_THROWS_WITH(view.detach() + Tensor(), Contains("second operand is undefined"));
  Tensor one = Tensor::ones({1});
  CHECK_THROWS_WITH(one += Tensor::ones({2}), Contains("the result is float32 [2]"));
  Tensor whole = Tensor::from({1, 2}, {2});
  CHECK_THROWS_WITH(whole *= 0.5, Contains("the result is float32 [2], the tensor int32 [2]"));
  // Values that a gradient needs are missed when they are overwritten.
  Tensor factor = vector_of({5, 6});
  const Tensor y = sum(x * factor);
  factor += 1;
  CHECK_THROWS_WITH(backward(y), Contains("overwritten"));
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
