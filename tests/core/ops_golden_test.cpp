// Ops, their gradients and second derivatives against PyTorch, by tests/golden/make_ops_golden.py.
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>

#include "tests/support/catch.h"

using namespace shatter;

namespace {

/// Uniform in [-1, 1): the script's hash of (position, seed).
Tensor numbers(const Shape& shape, std::uint32_t seed) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    std::uint32_t h = static_cast<std::uint32_t>(i) * 2654435761u + seed * 40503u + 12345u;
    h ^= h >> 16;
    h *= 2246822519u;
    h ^= h >> 13;
    values.push_back(double(h) / 0x1p31 - 1);
  }
  return Tensor::from(values, shape);
}

using Op = std::function<Tensor(const Tensor& a, const Tensor& b)>;
using In = const Tensor&;

const std::map<std::string, Op> ops{
    {"sin", [](In a, In) { return sin(3 * a); }},
    {"cos", [](In a, In) { return cos(3 * a); }},
    {"erf", [](In a, In) { return erf(2 * a); }},
    {"sign", [](In a, In b) { return sign(a) * a * b; }},
    {"pow 3", [](In a, In) { return pow(a, 3); }},
    {"pow -1.5", [](In a, In) { return pow(a + 2, -1.5); }},
    {"pow", [](In a, In b) { return pow(a + 2, b); }},
    {"clamp", [](In a, In b) { return clamp(a, -0.5, 0.25) * b; }},
    {"scalars", [](In a, In b) { return (1 - a) * (2.5 / (b + 3)) - (a + 1) / 3; }},
    {"where", [](In a, In b) { return where(a < b, a * b, square(b)); }},
    {"maximum",
     [](In a, In b) {
       return maximum(a, b.slice_items(0, 1)) * minimum(a.slice_channels(0, 1), b);
     }},
    {"item", [](In a, In b) { return a[0] * b[-1]; }},
    {"sum", [](In a, In b) { return sum(a * b, 0); }},
    {"mean", [](In a, In b) { return mean(a * b, 1); }},
    {"max", [](In a, In b) { return max(a * b, 0); }},
    {"min", [](In a, In b) { return min(a * b, 1); }},
    {"min of all", [](In a, In b) { return min(a * b); }},
    {"logsumexp", [](In a, In) { return logsumexp(3 * a, 0); }},
    {"var", [](In a, In b) { return var(a * b, 0, false, 0); }},
    {"std", [](In a, In) { return sqrt(var(a, 1, false, 0) + 1); }},
    {"norm", [](In a, In b) { return norm(a * b); }},
    {"norm along", [](In a, In) { return norm(a + 2, 0); }},
    {"cumsum", [](In a, In b) { return cumsum(a * b, 0); }},
    {"softmax", [](In a, In b) { return softmax(2 * a * b, 0); }},
    {"log_softmax", [](In a, In b) { return log_softmax(2 * a * b, 0); }}};

}  // namespace

TEST_CASE("ops and their first and second derivatives agree with PyTorch's") {
  std::ifstream file(SHATTER_TEST_DATA "/ops.txt");
  std::string op, line;
  int cases = 0;
  while (std::getline(file, op) && std::getline(file, line)) {
    CAPTURE(op, line);
    std::istringstream expected(line);
    std::int64_t rows = 0, columns = 0;
    std::uint32_t seed = 0;
    expected >> rows >> columns >> seed;
    const Shape shape{rows, columns};
    const Tensor a = numbers(shape, seed).set_requires_grad();
    const Tensor b = numbers(shape, seed + 1).set_requires_grad();
    const Tensor y = ops.at(op)(a, b);
    const Tensor loss = sum(numbers(y.shape(), seed + 2) * square(y)) + 0 * sum(a * b);
    const auto g = grad(loss, {a, b}, {.create_graph = true});
    const Tensor product = sum(numbers(shape, seed + 3) * g[0] + numbers(shape, seed + 4) * g[1]);
    const auto h = grad(product, {a, b});
    for (const Tensor& x : {y, g[0], g[1], h[0], h[1]}) {
      for (const double value : x.values<double>()) {
        double truth = 0;
        REQUIRE(expected >> truth);
        CHECK(value == Approx(truth).epsilon(1e-9).margin(1e-9));
      }
    }
    ++cases;
  }
  CHECK(cases == 500);
}
