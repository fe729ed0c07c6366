// Every differentiable op on small inputs in double: what gradients are checked on.
#pragma once

#include <functional>
#include <vector>

#include <shatter/core/indexing.h>
#include <shatter/core/linear_algebra.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter::test {

using Inputs = std::vector<Tensor>;

/// Normal numbers away from 0, where abs and relu have a kink.
inline Tensor draw(const Shape& shape, std::uint64_t seed, double shift = 0) {
  const Tensor x = random_normal({.seed = seed}, shape, 0, 1, DType::float64);
  double* values = x.data<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) values[i] += (values[i] < 0 ? -0.05 : 0.05) + shift;
  return x.set_requires_grad();
}

/// x x^T + 1: symmetric, far from singular.
inline Tensor positive(const Tensor& x) {
  return matmul(x, x, false, true) + Tensor::eye(x.dim(-2), x.dtype(), x.device());
}

struct GradientCase {
  const char* name;
  std::function<Tensor(const Inputs&)> f;
  Inputs inputs;
};

/// Every op with its inputs on `device`.
inline std::vector<GradientCase> gradient_cases(Device device = {}) {
  const auto draw = [device](const Shape& shape, std::uint64_t seed, double shift = 0) {
    return test::draw(shape, seed, shift).detach().to(device).set_requires_grad();
  };
  const Padding odd{0, 1, 2, 1};
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{2, 0, 1}, {3}, device);
  const Tensor places = Tensor::from(std::vector<std::int32_t>{3, 0, 3}, {3}, device);
  const Tensor each = Tensor::from(std::vector<std::int64_t>{1, 1, 3, 0, 2, 0}, {2, 3}, device);
  const auto running = [device] {
    return std::pair(Tensor::full({3}, 0.2, DType::float64, device),
                     Tensor::full({3}, 1.5, DType::float64, device));
  };
  return {
      {"add", [](const Inputs& x) { return x[0] + x[1]; }, {draw({2, 3}, 1), draw({3}, 2)}},
      {"subtract", [](const Inputs& x) { return x[0] - x[1]; }, {draw({3, 1}, 1), draw({4}, 2)}},
      {"multiply",
       [](const Inputs& x) { return x[0] * x[1]; },
       {draw({2, 1, 3}, 1), draw({4, 1}, 2)}},
      {"divide",
       [](const Inputs& x) { return x[0] / x[1]; },
       {draw({2, 3}, 1), draw({2, 1}, 2, 4)}},
      {"maximum",
       [](const Inputs& x) { return maximum(x[0], x[1]); },
       {draw({5, 3}, 1), draw({3}, 2)}},
      {"minimum",
       [](const Inputs& x) { return minimum(x[0], x[1]); },
       {draw({5, 3}, 1), draw({3}, 2)}},
      {"affine", [](const Inputs& x) { return affine(x[0], -2.5, 1); }, {draw({7}, 1)}},
      {"exp", [](const Inputs& x) { return exp(x[0]); }, {draw({7}, 1)}},
      {"log", [](const Inputs& x) { return log(x[0]); }, {draw({7}, 1, 6)}},
      {"sqrt", [](const Inputs& x) { return sqrt(x[0]); }, {draw({7}, 1, 6)}},
      {"square", [](const Inputs& x) { return square(x[0]); }, {draw({7}, 1)}},
      {"abs", [](const Inputs& x) { return abs(x[0]); }, {draw({7}, 1)}},
      {"relu", [](const Inputs& x) { return relu(x[0]); }, {draw({33}, 1)}},
      {"sigmoid", [](const Inputs& x) { return sigmoid(x[0]); }, {draw({7}, 1)}},
      {"tanh", [](const Inputs& x) { return tanh(x[0]); }, {draw({7}, 1)}},
      {"sin", [](const Inputs& x) { return sin(x[0]); }, {draw({7}, 1)}},
      {"cos", [](const Inputs& x) { return cos(x[0]); }, {draw({7}, 1)}},
      {"erf", [](const Inputs& x) { return erf(x[0]); }, {draw({7}, 1)}},
      {"log1p", [](const Inputs& x) { return log1p(x[0]); }, {draw({7}, 1, 4)}},
      {"expm1", [](const Inputs& x) { return expm1(x[0]); }, {draw({7}, 1)}},
      {"floor, ceil and round",
       [](const Inputs& x) {
         return x[0] * (floor(10 * x[0]) + ceil(10 * x[0]) * round(10 * x[0]));
       },
       {draw({7}, 1)}},
      {"gelu", [](const Inputs& x) { return gelu(x[0]); }, {draw({7}, 1)}},
      {"silu", [](const Inputs& x) { return silu(x[0]); }, {draw({7}, 1)}},
      {"p_norm",
       [](const Inputs& x) {
         return p_norm(x[0], 1, 0) + p_norm(x[0], 3, 0) * p_norm(x[0], p_infinity, 0);
       },
       {draw({5, 3}, 1)}},
      {"sign", [](const Inputs& x) { return square(x[0]) * sign(x[0]); }, {draw({7}, 1)}},
      {"negative", [](const Inputs& x) { return -square(x[0]); }, {draw({7}, 1)}},
      {"scalars on both sides",
       [](const Inputs& x) { return (1 - x[0]) * (2.5 / x[0]) - (x[0] + 1) / 3; },
       {draw({7}, 1, 4)}},
      {"pow", [](const Inputs& x) { return pow(x[0], 3); }, {draw({7}, 1)}},
      {"pow, negative", [](const Inputs& x) { return pow(x[0], -1.5); }, {draw({7}, 1, 4)}},
      {"pow of tensors",
       [](const Inputs& x) { return pow(x[0], x[1]); },
       {draw({2, 3}, 1, 4), draw({3}, 2)}},
      {"clamp", [](const Inputs& x) { return square(clamp(x[0], -0.5, 0.75)); }, {draw({33}, 1)}},
      {"where",
       [](const Inputs& x) { return square(where(x[0] < x[1], x[0], 3 * x[1])); },
       {draw({4, 3}, 1), draw({3}, 2)}},
      {"where beside a number",
       [](const Inputs& x) {
         return where(x[0] > 0, square(x[0]), 2) + where(x[0] > 0.5, 1, square(x[0]));
       },
       {draw({4, 3}, 1)}},
      {"operator[]", [](const Inputs& x) { return x[0][1] * x[0][-1]; }, {draw({3, 2, 2}, 1)}},
      {"operator[] of a vector",
       [](const Inputs& x) { return x[0][1] * x[0][-1]; },
       {draw({3}, 1)}},
      {"sum", [](const Inputs& x) { return sum(x[0]); }, {draw({3, 4}, 1)}},
      {"sum along", [](const Inputs& x) { return sum(x[0], 1); }, {draw({2, 3, 4}, 1)}},
      {"mean along", [](const Inputs& x) { return mean(x[0], -1, true); }, {draw({2, 3, 4}, 1)}},
      {"max along", [](const Inputs& x) { return max(x[0], 0); }, {draw({5, 4}, 1)}},
      {"max", [](const Inputs& x) { return max(x[0]); }, {draw({5, 4}, 1)}},
      {"min", [](const Inputs& x) { return min(x[0]); }, {draw({5, 4}, 1)}},
      {"min along", [](const Inputs& x) { return min(x[0], -1, true); }, {draw({5, 4}, 1)}},
      {"logsumexp", [](const Inputs& x) { return logsumexp(x[0], 0); }, {draw({5, 4}, 1)}},
      {"var", [](const Inputs& x) { return var(x[0], 1); }, {draw({2, 5, 2}, 1)}},
      {"stddev", [](const Inputs& x) { return stddev(x[0], 0, true, 0); }, {draw({5, 3}, 1)}},
      {"norm", [](const Inputs& x) { return norm(x[0]); }, {draw({5, 3}, 1)}},
      {"norm along", [](const Inputs& x) { return norm(x[0], 0, true); }, {draw({5, 3}, 1)}},
      {"cumsum", [](const Inputs& x) { return square(cumsum(x[0], 1)); }, {draw({2, 5, 2}, 1)}},
      {"sum_to",
       [](const Inputs& x) {
         return sum_to(x[0], {3, 1});
       },
       {draw({2, 3, 4}, 1)}},
      {"reshape",
       [](const Inputs& x) {
         return square(x[0].reshape({4, 3}));
       },
       {draw({2, 6}, 1)}},
      {"flatten", [](const Inputs& x) { return square(flatten(x[0])); }, {draw({2, 2, 3}, 1)}},
      {"permute",
       [](const Inputs& x) {
         return square(permute(x[0], {2, 0, 1}));
       },
       {draw({2, 3, 4}, 1)}},
      {"slice_channels",
       [](const Inputs& x) { return square(x[0].slice_channels(1, 2)); },
       {draw({2, 3, 4}, 1)}},
      {"slice_items",
       [](const Inputs& x) { return square(x[0].slice_items(1, 2)); },
       {draw({4, 3}, 1)}},
      {"clone", [](const Inputs& x) { return square(x[0].clone()); }, {draw({2, 3}, 1)}},
      {"packed",
       [](const Inputs& x) { return square(x[0].slice_channels(1, 2).packed()); },
       {draw({2, 4}, 1)}},
      {"concat",
       [](const Inputs& x) {
         return square(concat({x[0], x[1], x[0]}));
       },
       {draw({2, 3}, 1), draw({2, 1}, 2)}},
      {"matmul",
       [](const Inputs& x) { return matmul(x[0], x[1]); },
       {draw({3, 4}, 1), draw({4, 2}, 2)}},
      {"matmul ta",
       [](const Inputs& x) { return matmul(x[0], x[1], true, false); },
       {draw({4, 3}, 1), draw({4, 2}, 2)}},
      {"matmul tb",
       [](const Inputs& x) { return matmul(x[0], x[1], false, true); },
       {draw({3, 4}, 1), draw({2, 4}, 2)}},
      {"matmul tab",
       [](const Inputs& x) { return matmul(x[0], x[1], true, true); },
       {draw({4, 3}, 1), draw({2, 4}, 2)}},
      {"linear",
       [](const Inputs& x) { return linear(x[0], x[1], x[2]); },
       {draw({3, 5}, 1), draw({4, 5}, 2), draw({4}, 3)}},
      {"linear with ReLU",
       [](const Inputs& x) { return linear(x[0], x[1], x[2], true); },
       {draw({3, 5}, 1), draw({4, 5}, 2), draw({4}, 3)}},
      {"linear without bias",
       [](const Inputs& x) { return linear(x[0], x[1]); },
       {draw({3, 5}, 1), draw({4, 5}, 2)}},
      {"conv2d same",
       [](const Inputs& x) { return conv2d(x[0], x[1], x[2], {.padding = same}); },
       {draw({2, 5, 4, 3}, 1), draw({4, 3, 3, 3}, 2), draw({4}, 3)}},
      {"conv2d same, stride 2",
       [](const Inputs& x) { return conv2d(x[0], x[1], {}, {.stride = 2, .padding = same}); },
       {draw({2, 6, 4, 2}, 1), draw({3, 3, 3, 2}, 2)}},
      {"conv2d four paddings",
       [odd](const Inputs& x) { return conv2d(x[0], x[1], x[2], {.stride = 2, .padding = odd}); },
       {draw({1, 5, 6, 2}, 1), draw({2, 3, 2, 2}, 2), draw({2}, 3)}},
      {"conv2d on and into slices",
       [device](const Inputs& x) {
         const Tensor buffer = Tensor::zeros({2, 3, 3, 5}, DType::float64, device);
         return conv2d(x[0].slice_channels(1, 2), x[1], {}, {.padding = same},
                       buffer.slice_channels(2, 3));
       },
       {draw({2, 3, 3, 4}, 1), draw({3, 3, 3, 2}, 2)}},
      {"conv2d dilated, in groups",
       [odd](const Inputs& x) {
         return conv2d(x[0], x[1], x[2], {.stride = 2, .padding = odd, .dilation = 2, .groups = 2});
       },
       {draw({2, 5, 6, 4}, 1), draw({6, 2, 2, 2}, 2), draw({6}, 3)}},
      {"conv2d depthwise",
       [](const Inputs& x) { return conv2d(x[0], x[1], {}, {.padding = 1, .groups = 3}); },
       {draw({1, 4, 4, 3}, 1), draw({3, 3, 3, 1}, 2)}},
      {"max_pool2d",
       [](const Inputs& x) {
         return max_pool2d(x[0], {.window = 3, .stride = 2, .padding = same});
       },
       {draw({2, 6, 5, 3}, 1)}},
      {"avg_pool2d",
       [odd](const Inputs& x) {
         return avg_pool2d(x[0], {.window = 3, .stride = 2, .padding = odd});
       },
       {draw({2, 6, 5, 3}, 1)}},
      {"avg_pool2d, padding counted",
       [](const Inputs& x) {
         return avg_pool2d(x[0], {.window = 3, .stride = 2, .padding = 1, .count_padding = true});
       },
       {draw({2, 6, 5, 3}, 1)}},
      {"global_avg_pool2d",
       [](const Inputs& x) { return global_avg_pool2d(x[0]); },
       {draw({2, 3, 4, 5}, 1)}},
      {"batch_norm",
       [running](const Inputs& x) {
         const auto [m, v] = running();
         return batch_norm(x[0], x[1], x[2], m, v);
       },
       {draw({4, 2, 3}, 1), draw({3}, 2), draw({3}, 3)}},
      {"batch_norm, beta only, with ReLU into a slice",
       [running, device](const Inputs& x) {
         const auto [m, v] = running();
         const Tensor buffer = Tensor::zeros({4, 2, 5}, DType::float64, device);
         return batch_norm(x[0], {}, x[1], m, v, {.relu = true}, buffer.slice_channels(1, 3));
       },
       {draw({4, 2, 3}, 1), draw({3}, 3)}},
      {"batch_norm in inference",
       [running](const Inputs& x) {
         const auto [m, v] = running();
         return batch_norm(x[0], x[1], x[2], m, v, {.relu = true, .training = false});
       },
       {draw({4, 3}, 1), draw({3}, 2), draw({3}, 3)}},
      {"local_response_norm",
       [](const Inputs& x) { return local_response_norm(x[0], {.alpha = 0.1}); },
       {draw({2, 13}, 1)}},
      {"local_response_norm, other exponent",
       [](const Inputs& x) {
         return local_response_norm(x[0], {.radius = 1, .bias = 2, .alpha = 0.3, .beta = 0.6});
       },
       {draw({2, 5}, 1)}},
      {"dropout",
       [](const Inputs& x) { return dropout(x[0], 0.4, {.seed = 5}, 3); },
       {draw({50}, 1)}},
      {"softmax", [](const Inputs& x) { return softmax(x[0]); }, {draw({3, 4}, 1)}},
      {"softmax along", [](const Inputs& x) { return softmax(x[0], 0); }, {draw({3, 2, 2}, 1)}},
      {"log_softmax along",
       [](const Inputs& x) { return log_softmax(x[0], 1); },
       {draw({2, 3, 2}, 1)}},
      {"log_softmax", [](const Inputs& x) { return log_softmax(x[0]); }, {draw({3, 4}, 1)}},
      {"cross_entropy",
       [labels](const Inputs& x) { return cross_entropy(x[0], labels); },
       {draw({3, 4}, 1)}},
      {"cross_entropy, smoothed",
       [labels](const Inputs& x) { return cross_entropy(x[0], labels, 0.1); },
       {draw({3, 4}, 1)}},
      {"cross_entropy_each",
       [labels](const Inputs& x) { return square(cross_entropy_each(x[0], labels)); },
       {draw({3, 4}, 1)}},
      {"cholesky", [](const Inputs& x) { return cholesky(positive(x[0])); }, {draw({2, 3, 3}, 1)}},
      {"cholesky of a lower triangle",
       [device](const Inputs& x) {
         return cholesky(x[0] + 8 * Tensor::eye(3, x[0].dtype(), device));
       },
       {draw({3, 3}, 1)}},
      {"solve",
       [](const Inputs& x) { return solve(positive(x[0]), x[1]); },
       {draw({2, 3, 3}, 1), draw({2, 3, 2}, 2)}},
      {"solve for a vector",
       [](const Inputs& x) { return solve(x[0], x[1]); },
       {draw({2, 2}, 1), draw({2}, 2)}},
      {"inverse", [](const Inputs& x) { return inverse(positive(x[0])); }, {draw({3, 3}, 1)}},
      {"slogdet", [](const Inputs& x) { return slogdet(x[0]).logdet; }, {draw({2, 3, 3}, 1)}},
      {"eigh, values",
       [](const Inputs& x) { return square(eigh(x[0]).values); },
       {draw({2, 3, 3}, 1)}},
      {"eigh, vectors",
       [](const Inputs& x) { return square(eigh(x[0]).vectors); },
       {draw({3, 3}, 1)}},
      {"svd, tall", [](const Inputs& x) { return square(svd(x[0]).s); }, {draw({2, 4, 3}, 1)}},
      {"svd, wide", [](const Inputs& x) { return square(svd(x[0]).s); }, {draw({2, 4}, 1)}},
      {"qr, q", [](const Inputs& x) { return square(qr(x[0]).q); }, {draw({2, 4, 3}, 1)}},
      {"qr, r", [](const Inputs& x) { return square(qr(x[0]).r); }, {draw({4, 3}, 1)}},
      {"mean_squared_error",
       [](const Inputs& x) { return mean_squared_error(x[0], x[1]); },
       {draw({3, 4}, 1), draw({3, 4}, 2)}},
      {"slice",
       [](const Inputs& x) { return square(slice(x[0], 1, 1, to_the_end, 2)); },
       {draw({2, 6, 3}, 1)}},
      {"flip", [](const Inputs& x) { return square(flip(x[0], 0)) * x[0]; }, {draw({4, 2}, 1)}},
      {"index_select",
       [places](const Inputs& x) { return square(index_select(x[0], 1, places)); },
       {draw({2, 4, 3}, 1)}},
      {"gather",
       [each](const Inputs& x) { return square(gather(x[0], 1, each)); },
       {draw({2, 4}, 1)}},
      {"scatter_add",
       [each](const Inputs& x) { return square(scatter_add(x[0], 1, each, x[1])); },
       {draw({2, 4}, 1), draw({2, 3}, 2)}},
      {"concat along the first dimension",
       [](const Inputs& x) {
         return square(concat({x[0], x[1], x[0]}, 0));
       },
       {draw({2, 3}, 1), draw({1, 3}, 2)}},
      {"stack",
       [](const Inputs& x) {
         return square(stack({x[0], x[1]}, 1));
       },
       {draw({2, 3}, 1), draw({2, 3}, 2)}},
      {"transpose",
       [](const Inputs& x) { return square(transpose(x[0], 0, 2)); },
       {draw({2, 3, 4}, 1)}},
      {"broadcast_to",
       [](const Inputs& x) {
         return square(broadcast_to(x[0], {2, 4, 3}));
       },
       {draw({4, 1}, 1)}},
      {"sort",
       [](const Inputs& x) { return square(sort(x[0], 0).values) * x[0]; },
       {draw({5, 2}, 1)}},
      {"topk", [](const Inputs& x) { return square(topk(x[0], 2).values); }, {draw({3, 5}, 1)}},
      {"matmul, batched",
       [](const Inputs& x) { return matmul(x[0], x[1], false, true); },
       {draw({2, 1, 3, 4}, 1), draw({5, 2, 4}, 2)}},
      {"matmul, batched, both transposed",
       [](const Inputs& x) { return matmul(x[0], x[1], true, true); },
       {draw({2, 4, 3}, 1), draw({2, 5, 4}, 2)}},
      {"matmul of a matrix and a vector",
       [](const Inputs& x) { return matmul(x[0], x[1]); },
       {draw({2, 3, 4}, 1), draw({4}, 2)}},
  };
}

}  // namespace shatter::test
