// Losses composed of differentiable ops.
#include <shatter/core/losses.h>

#include <vector>

#include <shatter/core/checks.h>
#include <shatter/core/indexing.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

void check_pair(const char* op, const Tensor& x, const Tensor& y) {
  ops::check_operands(op, {x, y});
  check(y.defined() && x.shape() == y.shape() && x.numel() > 0, op, ": operands are ", x.str(),
        " and ", y.str(), ", expected one shape with elements");
}

void check_classes(const char* op, const Tensor& logits, const Tensor& labels) {
  ops::check_labelled(op, logits, labels);
  check(logits.numel() > 0, op, ": logits ", logits.str(), " have no elements");
}

Tensor like(const Tensor& x, const std::vector<double>& values, const Shape& shape) {
  return Tensor::from(values, shape).to(x.dtype()).to(x.device());
}

}  // namespace

Tensor huber_loss(const Tensor& x, const Tensor& y, double delta) {
  check_pair("huber_loss", x, y);
  check(delta > 0, "huber_loss: delta is ", delta, ", expected a positive number");
  const Tensor size = abs(x - y);
  const Tensor inner = minimum(size, Tensor::full({}, delta, x.dtype(), x.device()));
  return mean(square(inner) * 0.5 + (size - inner) * delta);
}

Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& targets) {
  check_pair("binary_cross_entropy_with_logits", logits, targets);
  // log(1 + exp(x)) about the larger exponent, which as a constant leaves the gradient sigmoid(x).
  const Tensor top = relu(logits.detach());
  const Tensor softplus = log(exp(logits - top) + exp(-top)) + top;
  return mean(softplus - logits * targets);
}

Tensor hinge_loss(const Tensor& logits, const Tensor& labels) {
  check_classes("hinge_loss", logits, labels);
  const Tensor own = gather(logits, 1, unsqueeze(labels, 1));
  const Tensor others = one_hot(labels, logits.dim(1), logits.dtype()) * -1.0 + 1.0;
  return sum(relu(logits - own + 1.0) * others) / double(logits.numel());
}

Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options) {
  check_classes("cross_entropy", logits, labels);
  const std::int64_t classes = logits.dim(1);
  const double smoothing = options.label_smoothing;
  check(smoothing >= 0 && smoothing < 1, "cross_entropy: label smoothing ", smoothing,
        ", expected 0 <= s < 1");
  std::vector<double> weights(std::size_t(classes), 1);
  if (options.class_weights) {
    check(options.class_weights.shape() == Shape{classes}, "cross_entropy: class weights are ",
          options.class_weights.str(), ", expected [", classes, "]");
    weights = options.class_weights.values<double>();
  }
  const std::vector<std::int32_t> label = labels.values<std::int32_t>();
  std::vector<double> target(std::size_t(logits.numel()));
  double total = 0;
  for (std::size_t i = 0; i < label.size(); ++i) {
    if (label[i] == options.ignore_index) continue;
    check(label[i] >= 0 && label[i] < classes, "cross_entropy: label ", label[i], " of example ", i,
          " lies outside [0, ", classes, ")");
    total += weights[std::size_t(label[i])];
    for (std::size_t c = 0; c < weights.size(); ++c) {
      const double own = c == std::size_t(label[i]) ? 1 - smoothing : 0;
      target[i * weights.size() + c] = (own + smoothing / double(classes)) * weights[c];
    }
  }
  check(total > 0, "cross_entropy: no example counts: the weights of the labels sum to ", total);
  return sum(log_softmax(logits) * like(logits, target, logits.shape())) / -total;
}

}  // namespace shatter
