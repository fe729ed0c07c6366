// The tape: accumulation, release, branches, long chains, misuse.
#include <shatter/core/autograd.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/context.h>

#include "tests/support/catch.h"

using namespace shatter;

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
