// Ops, their gradients and second derivatives against PyTorch, by tests/golden/make_ops_golden.py.
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include <shatter/core/autograd.h>
#include <shatter/core/indexing.h>
#include <shatter/core/linear_algebra.h>
#include <shatter/core/losses.h>
#include <shatter/core/ops.h>

#include "tests/core/gradient_cases.h"
#include "tests/support/catch.h"
#include "tests/support/formula.h"

using namespace shatter;

namespace {

Tensor places(const Tensor& a, std::int64_t columns) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    for (std::int64_t j = 0; j < columns; ++j) values.push_back((2 * i + j) % a.dim(1));
  return Tensor::from(values, {a.dim(0), columns});
}
Tensor labels(const Tensor& a) {
  std::vector<std::int32_t> values;
  for (std::int64_t i = 0; i < a.dim(0); ++i) values.push_back(std::int32_t(i % a.dim(1)));
  return Tensor::from(values, {a.dim(0)});
}
/// [n, n] with 1, 2, ... n on the diagonal.
Tensor rising(const Tensor& a) {
  return Tensor::eye(a.dim(0), DType::float64) *
         Tensor::arange(1, double(a.dim(0)) + 1, 1, DType::float64);
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
    {"log_softmax", [](In a, In b) { return log_softmax(2 * a * b, 0); }},
    {"gelu", [](In a, In) { return gelu(2 * a); }},
    {"silu", [](In a, In) { return silu(2 * a); }},
    {"log1p", [](In a, In) { return log1p(a + 2); }},
    {"expm1", [](In a, In) { return expm1(a); }},
    {"p_norm 1", [](In a, In b) { return p_norm(a * b, 1, 0); }},
    {"p_norm 3", [](In a, In) { return p_norm(a + 2, 3, 1); }},
    {"p_norm inf", [](In a, In b) { return p_norm(a * b, p_infinity, 0); }},
    {"slice",
     [](In a, In b) { return slice(a, 1, 0, to_the_end, 2) * slice(b, 1, 0, to_the_end, 2); }},
    {"flip", [](In a, In b) { return a * flip(b, 0); }},
    {"index_select",
     [](In a, In b) {
       return index_select(a * b, 0,
                           Tensor::from({std::int64_t{0}, a.dim(0) - 1, std::int64_t{0}}, {3}));
     }},
    {"gather", [](In a, In b) { return gather(a * b, 1, places(a, 2)); }},
    {"scatter_add", [](In a, In b) { return scatter_add(2 * a, 1, places(a, a.dim(1)), b * b); }},
    {"stack",
     [](In a, In b) {
       return stack({a, b}, 1) * unsqueeze(a, 1);
     }},
    {"concat",
     [](In a, In b) {
       return concat({a, a * b}, 0);
     }},
    {"split", [](In a, In b) { return split(a * b, 2, 1).back() * split(a, 1, 1)[0]; }},
    {"transpose", [](In a, In b) { return transpose(a, 0, 1) * transpose(b, 0, 1); }},
    {"matmul", [](In a, In b) { return matmul(a, b, false, true); }},
    {"matmul of a batch",
     [](In a, In b) {
       return matmul(stack({a, b}), transpose(b, 0, 1));
     }},
    {"topk", [](In a, In b) { return topk(a * b, 1, 1).values; }},
    {"sort", [](In a, In b) { return sort(a * b, 0).values; }},
    {"huber_loss", [](In a, In b) { return huber_loss(3 * a, b, 0.7); }},
    {"logistic",
     [](In a, In b) { return binary_cross_entropy_with_logits(3 * a, (b.detach() + 1) / 2); }},
    {"hinge_loss", [](In a, In b) { return hinge_loss(a * b, labels(a)); }},
    {"cross_entropy", [](In a, In b) { return cross_entropy(3 * a * b, labels(a)); }},
    {"cross_entropy_each", [](In a, In b) { return cross_entropy_each(3 * a * b, labels(a)); }},
    {"cross_entropy, weighted",
     [](In a, In b) {
       const Tensor weights = Tensor::arange(1, double(a.dim(1)) + 1, 1, DType::float64);
       return cross_entropy(3 * a * b, labels(a),
                            {.class_weights = weights, .label_smoothing = 0.1});
     }},
    {"conv2d",
     [](In a, In b) {
       const Tensor w =
           permute(test::formula_numbers({4, 1, 2, 2}, 7), {0, 2, 3, 1}) * (1 + sum(a));
       return conv2d(unsqueeze(stack({a, b}, 2), 0), w, {},
                     {.padding = 2, .dilation = 2, .groups = 2});
     }},
    {"avg_pool2d",
     [](In a, In b) {
       return avg_pool2d(unsqueeze(stack({a, b}, 2), 0),
                         {.window = 2, .stride = 1, .padding = 1, .count_padding = true});
     }},
    {"cholesky", [](In a, In) { return cholesky(test::positive(a)); }},
    {"solve", [](In a, In b) { return solve(test::positive(a), b); }},
    {"slogdet", [](In a, In) { return slogdet(test::positive(a)).logdet; }},
    {"eigh, values", [](In a, In) { return eigh(matmul(a, a, false, true) + rising(a)).values; }},
    {"eigh, vectors",
     [](In a, In) { return square(eigh(matmul(a, a, false, true) + rising(a)).vectors); }},
    {"svd", [](In a, In) { return svd(a).s; }},
    {"qr", [](In a, In) { return square(qr(test::positive(a) * sum(rising(a), 0)).r); }}};

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
    const Tensor a = test::formula_numbers(shape, seed).set_requires_grad();
    const Tensor b = test::formula_numbers(shape, seed + 1).set_requires_grad();
    const Tensor y = ops.at(op)(a, b);
    const Tensor loss =
        sum(test::formula_numbers(y.shape(), seed + 2) * square(y)) + 0 * sum(a * b);
    const auto g = grad(loss, {a, b}, {.create_graph = true});
    const Tensor product = sum(test::formula_numbers(shape, seed + 3) * g[0] +
                               test::formula_numbers(shape, seed + 4) * g[1]);
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
  CHECK(cases == 1200);
}
