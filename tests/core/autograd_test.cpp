// The tape: accumulation, release, branches, long chains, misuse.
#include <shatter/core/autograd.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/context.h>

#include <cmath>
#include <limits>
#include <string_view>

#include "tests/core/gradient_cases.h"
#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::test;

namespace {

Tensor leaf(std::vector<double> values) {
  const Tensor x = Tensor::from(values, {std::int64_t(values.size())});
  x.set_requires_grad();
  return x;
}

}  // namespace

TEST_CASE("backward gives the gradient of a polynomial") {
  const Tensor x = leaf({1, 2, 3});
  backward(sum(x * x * x));
  CHECK(x.grad().values<double>() == std::vector<double>{3, 12, 27});
}

TEST_CASE("backward accumulates, set_grad resets") {
  const Tensor x = leaf({1, 2});
  backward(sum(square(x)));
  backward(sum(square(x)));
  CHECK(x.grad().values<double>() == std::vector<double>{4, 8});
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a tensor used many times gathers all its gradients") {
  const Tensor x = leaf({3});
  const Tensor y = x * x;
  backward(sum(y + y * y + x));  // 2x + 4x^3 + 1
  CHECK(x.grad().item() == 6 + 108 + 1);
}

TEST_CASE("gradients of two leaves do not share memory that accumulation would change") {
  const Tensor a = leaf({1}), b = leaf({2});
  backward(sum(a + b));
  backward(sum(a * 2.0));
  CHECK(a.grad().item() == 3);
  CHECK(b.grad().item() == 1);
}

TEST_CASE("a gradient has memory of its own") {
  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  backward(sum(a + b));
  a.grad().fill(0);
  CHECK(b.grad().values<double>() == std::vector<double>{1, 1});
  const Tensor dy = Tensor::from<double>({5, 5}, {2}), x = leaf({1, 2});
  backward(x + 1.0, dy);
  x.grad().fill(9);
  CHECK(dy.values<double>() == std::vector<double>{5, 5});
  const std::vector<Tensor> both = grad(sum(a + b), {a, b, a});
  both[0].fill(7);
  CHECK(both[1].values<double>() == std::vector<double>{1, 1});
  CHECK(both[2].values<double>() == std::vector<double>{1, 1});
}

TEST_CASE("gradients cross conversions between floating types") {
  const Tensor x = leaf({0.1, -3, 1.0 / 3});
  for (const DType type : {DType::float32, DType::bfloat16}) {
    x.set_grad({});
    const Tensor y = x.to(type);
    const Tensor dy = Tensor::from<double>({1.0 / 7, 2, -0.3}, {3}).to(type);
    backward(y, dy);
    CHECK(x.grad().dtype() == DType::float64);
    CHECK(x.grad().values<double>() == dy.values<double>());
  }
}

TEST_CASE("grad leaves grad() alone and works twice on one tape") {
  const Tensor x = leaf({1, 2});
  const Tensor loss = sum(square(x));
  CHECK(grad(loss, {x})[0].values<double>() == std::vector<double>{2, 4});
  CHECK(grad(loss, {x})[0].values<double>() == std::vector<double>{2, 4});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("grad reaches intermediate results and gives zeros where nothing depends") {
  const Tensor x = leaf({2}), unused = leaf({5, 5});
  const Tensor y = x * x;
  const auto gradients = grad(sum(y * y), {y, x, unused});
  CHECK(gradients[0].item() == 8);
  CHECK(gradients[1].item() == 32);
  CHECK(gradients[2].values<double>() == std::vector<double>{0, 0});
}

TEST_CASE("a used tape says so") {
  const Tensor x = leaf({1});
  const Tensor loss = sum(square(x));
  backward(loss);
  CHECK_THROWS_WITH(backward(loss), Contains("already used"));
}

TEST_CASE("backward from an output of any shape takes its gradient") {
  const Tensor x = leaf({1, 2});
  backward(square(x), Tensor::from(std::vector<double>{10, 100}, {2}));
  CHECK(x.grad().values<double>() == std::vector<double>{20, 400});
  CHECK_THROWS_WITH(backward(square(x), Tensor::zeros({3}, DType::float64)), Contains("[3]"));
}

TEST_CASE("misuse of the tape is named") {
  const Tensor x = leaf({1, 2});
  CHECK_THROWS_WITH(backward(square(x)), Contains("one element"));
  CHECK_THROWS_WITH(backward(sum(x.detach())), Contains("no tensor that requires"));
  CHECK_THROWS_WITH(grad(sum(x), {x.detach()}), Contains("does not require a gradient"));
  CHECK_THROWS_WITH(square(x).grad(), Contains("not a leaf"));
  CHECK_THROWS_WITH(square(x).set_requires_grad(), Contains("square"));
  CHECK_THROWS_AS(Tensor::zeros({1}, DType::int32).set_requires_grad(), Error);
}

TEST_CASE("NoGrad stops recording and nests") {
  const Tensor x = leaf({1});
  {
    const NoGrad outer;
    { const NoGrad inner; }
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(square(x).requires_grad());
  }
  CHECK(grad_enabled());
  CHECK(square(x).requires_grad());
}

TEST_CASE("gradients stop where nothing needs them") {
  const Tensor x = leaf({1}), frozen = Tensor::full({1}, 2, DType::float64);
  const Tensor y = x * frozen;
  CHECK(y.node()->inputs[0] != nullptr);
  CHECK(y.node()->inputs[1] == nullptr);
}

TEST_CASE("a chain of a million ops runs backward and is freed without recursion") {
  const Tensor x = leaf({1});
  {
    Tensor y = x;
    for (int i = 0; i < 1'000'000; ++i) y = affine(y, 1, 1e-6);
    backward(sum(y));
    CHECK(x.grad().item() == 1);
    CHECK(y.item() == Approx(2).epsilon(1e-9));
  }
  {
    Tensor unused = x;
    for (int i = 0; i < 1'000'000; ++i) unused = affine(unused, 1, 0);
  }
  CHECK(x.node().use_count() >= 1);
}

TEST_CASE("backward frees the tape's tensors as it goes") {
  const Tensor x = Tensor::zeros({1 << 20}, DType::float32);
  x.set_requires_grad();
  const Tensor loss = sum(square(square(square(x))));
  const auto held = cpu_allocator_statistics().live_bytes;
  backward(loss);
  // three saved 4 MB results are gone, one 4 MB gradient has come
  CHECK(cpu_allocator_statistics().live_bytes <= held - 4 * (1 << 20));
}

TEST_CASE("a user's op is recorded like the library's own") {
  const auto cube = [](const Tensor& x) {
    return record("cube", x.detach() * x.detach() * x.detach(), {x},
                  [x = x.detach()](const Tensor& dy, const Needed&) {
                    return std::vector<Tensor>{dy * (x * x) * 3.0};
                  });
  };
  const Tensor x = leaf({0.5, -2});
  CHECK(gradcheck([&](const auto& in) { return cube(in[0]); }, {x}));
}

TEST_CASE("a backward of the wrong shape or length is caught") {
  const Tensor x = leaf({1, 2});
  const Tensor wrong_shape = record("odd", x.detach(), {x}, [](const Tensor&, const Needed&) {
    return std::vector<Tensor>{Tensor::zeros({7}, DType::float64)};
  });
  CHECK_THROWS_WITH(backward(sum(wrong_shape)), Contains("[7]"));
  const Tensor none = record("odd", x.detach(), {x},
                             [](const Tensor&, const Needed&) { return std::vector<Tensor>{}; });
  CHECK_THROWS_WITH(backward(sum(none)), Contains("odd returned 0 gradients for 1 inputs"));
}

TEST_CASE("gradcheck finds a wrong gradient and tells where") {
  const auto wrong = [](const Tensor& x) {
    return record("wrong", x.detach() * x.detach(), {x},
                  [x = x.detach()](const Tensor& dy, const Needed&) {
                    return std::vector<Tensor>{dy * x * 2.001};
                  });
  };
  const Tensor x = leaf({0.5, -2});
  const GradcheckReport report = gradcheck([&](const auto& in) { return wrong(in[0]); }, {x});
  CHECK_FALSE(report);
  CHECK_THAT(report.where, Contains("input 0"));
  CHECK(x.values<double>() == std::vector<double>{0.5, -2});
}

TEST_CASE("gradcheck finds a NaN gradient") {
  const Tensor x = leaf({0});
  CHECK_FALSE(gradcheck([](const auto& in) { return sqrt(in[0]); }, {x}));
}

TEST_CASE("gradcheck puts its inputs back when the function throws, and refuses no entries") {
  const Tensor x = leaf({0.5, -2});
  int calls = 0;
  const auto fails = [&](const auto& in) {
    if (++calls == 3) fail(ErrorKind::usage, "tired");
    return square(in[0]);
  };
  CHECK_THROWS_WITH(gradcheck(fails, {x}), Contains("tired"));
  CHECK(x.values<double>() == std::vector<double>{0.5, -2});
  const auto good = [](const auto& in) { return square(in[0]); };
  CHECK_THROWS_WITH(gradcheck(good, {x}, {.max_entries = 0}), Contains("0 entries"));
  CHECK_THROWS_WITH(gradcheck(good, {x}, {.step = 0}), Contains("must be positive"));
}

TEST_CASE("slices and clones hand their gradients on beside other paths") {
  const Tensor t = Tensor::full({2, 3}, 1, DType::float64).set_requires_grad();
  backward(sum(t.slice_items(0, 1)) + sum(t) * 2.0);
  CHECK(t.grad().values<double>() == std::vector<double>{3, 3, 3, 2, 2, 2});
  t.set_grad({});
  backward(sum(square(t.clone())) + sum(t));
  CHECK(t.grad().values<double>() == std::vector<double>(6, 3));
}

TEST_CASE("a value that is overwritten between forward and backward is an error that names it") {
  const Tensor x = leaf({1, 2}), w = leaf({3, 4});
  const Tensor product = sum(x * w);
  w.fill(100);
  CHECK_THROWS_WITH(backward(product),
                    Contains("multiply") && Contains("float64 [2]") && Contains("overwritten"));
  const Tensor root = sum(sqrt(x));
  x.copy_from(Tensor::full({2}, 4, DType::float64));
  CHECK_THROWS_WITH(backward(root), Contains("sqrt"));
  // A view writes to the same memory.
  const Tensor y = leaf({1, 2, 3}), all = sum(square(y));
  y.slice_channels(0, 1).fill(5);
  CHECK_THROWS_WITH(backward(all), Contains("square"));
  // Values that no gradient needs may change.
  const Tensor z = leaf({1, 2}), total = sum(z + w);
  z.fill(7);
  backward(total);
  CHECK(z.grad().values<double>() == std::vector<double>{1, 1});
}

TEST_CASE("maximum and minimum send the gradient to a NaN that they took") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor a = leaf({nan, 1, 2, 3}), b = leaf({1, nan, 2, 4});
  backward(sum(maximum(a, b)));
  CHECK(a.grad().values<double>() == std::vector<double>{1, 0, 1, 0});
  CHECK(b.grad().values<double>() == std::vector<double>{0, 1, 0, 1});
  a.set_grad({}), b.set_grad({});
  backward(sum(minimum(a, b)));
  CHECK(a.grad().values<double>() == std::vector<double>{1, 0, 1, 1});
  CHECK(b.grad().values<double>() == std::vector<double>{0, 1, 0, 0});
}

TEST_CASE("second derivatives agree with differences of the first for every op that has one") {
  int without = 0;
  for (const GradientCase& c : gradient_cases()) {
    INFO(c.name);
    if (std::string_view(c.name).starts_with("local_response_norm")) {
      CHECK_THROWS_WITH(gradgradcheck(c.f, c.inputs),
                        Contains("local_response_norm has no second derivative"));
      ++without;
      continue;
    }
    const GradcheckReport report = gradgradcheck(c.f, c.inputs);
    INFO(report.where);
    CHECK(report);
    // A function that is not linear in front of the op, so that history must pass through it.
    const auto squared = [&](const std::vector<Tensor>& x) {
      std::vector<Tensor> inputs;
      for (const Tensor& input : x)
        inputs.push_back(input.requires_grad() ? input * affine(square(input), 0.1, 1) : input);
      return tanh(c.f(inputs));
    };
    const GradcheckReport through = gradgradcheck(squared, c.inputs);
    INFO(through.where);
    CHECK(through);
  }
  CHECK(without == 2);
}

TEST_CASE("a gradient of a gradient of a gradient is the third derivative") {
  const Tensor x = leaf({2});
  const Tensor first = grad(sum(square(x) * square(x)), {x}, {.create_graph = true})[0];
  const Tensor second = grad(sum(first), {x}, {.create_graph = true})[0];
  CHECK(first.item() == Approx(32));
  CHECK(second.item() == Approx(48));
  CHECK(grad(sum(second), {x})[0].item() == Approx(48));
  CHECK_THROWS_WITH(grad(sum(grad(sum(square(x)), {x})[0]), {x}), Contains("create_graph"));
}

TEST_CASE("the product of a Hessian and a vector is exact") {
  // f = x0^2 x1 + exp(x1): H = [[2 x1, 2 x0], [2 x0, exp(x1)]].
  const Tensor x = leaf({1.5, -0.5});
  const auto f = [&] {
    const Tensor a = x.slice_channels(0, 1), b = x.slice_channels(1, 1);
    return sum(square(a) * b + exp(b));
  };
  const Tensor v = Tensor::from(std::vector<double>{1, 2}, {2});
  const std::vector<double> product = hessian_vector_product(f(), {x}, {v})[0].values<double>();
  CHECK(product[0] == Approx(2 * -0.5 + 2 * 2 * 1.5));
  CHECK(product[1] == Approx(2 * 1.5 + 2 * std::exp(-0.5)));
  const Tensor linear = hessian_vector_product(sum(x * 3.0), {x}, {v})[0];
  CHECK(linear.values<double>() == std::vector<double>{0, 0});
}

TEST_CASE("a gradient penalty reaches the parameters, and a constant gradient is one") {
  const Tensor w = leaf({2, 3}), x = leaf({0.5, -1});
  const Tensor g = grad(sum(square(w * x)), {x}, {.create_graph = true})[0];  // 2 w^2 x
  backward(sum(square(g)));                                                   // 4 w^4 x^2
  CHECK(w.grad().values<double>()[0] == Approx(16 * 8 * 0.25));
  CHECK(w.grad().values<double>()[1] == Approx(16 * 27));
}
