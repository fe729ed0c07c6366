// Softmax, log-softmax, cross-entropy and accuracy.
#include <shatter/kernels/softmax_cross_entropy.h>

#include <algorithm>

#include <shatter/core/checks.h>
#include <shatter/core/indexing.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

/// A row-wise function of x and its gradient from y and dy; `composed` is the gradient by
/// differentiable ops of x and dy.
template <class Forward, class Backward, class Composed>
Tensor rowwise(const char* name, const Tensor& x_any, Forward forward, Backward backward,
               Composed composed) {
  ops::check_operands(name, {x_any});
  const Tensor x = x_any.packed();
  check(x.rank() >= 1 && x.dim(-1) > 0, name, ": ", x.shape(), " has no classes");
  const Tensor y = ops::like(x);
  ops::run(name, x, [&]<class T>(auto& context) {
    forward(context, ops::rows(x), x.dim(-1), x.data<T>(), y.data<T>());
  });
  return record(
      name, y, {x},
      [name, x = Saved(x), saved_y = Saved(y), backward, composed](const Tensor& dy_any,
                                                                   const Needed&) {
        if (grad_enabled()) return std::vector<Tensor>{composed(*x, dy_any)};
        const Tensor out = *saved_y, dx = ops::like(out), dy = dy_any.packed();
        ops::run(name, out, [&]<class T>(auto& context) {
          backward(context, ops::rows(out), out.dim(-1), out.data<T>(), dy.data<T>(), dx.data<T>());
        });
        return std::vector<Tensor>{dx};
      },
      Order::second);
}

void check_labels(const char* op, const Tensor& logits, const Tensor& labels) {
  ops::check_labelled(op, logits, labels);
  // On a CUDA device a label outside makes its loss NaN: looking here would wait for the device.
  if (!labels.device().is_cpu()) return;
  const std::vector<std::int32_t> values = labels.values<std::int32_t>();
  const std::int64_t classes = logits.dim(1);
  const auto bad = std::find_if(values.begin(), values.end(), [classes](std::int32_t label) {
    return label < 0 || label >= classes;
  });
  check(bad == values.end(), op, ": label ", bad == values.end() ? 0 : *bad, " of example ",
        bad - values.begin(), " lies outside [0, ", classes, ")");
}

/// Per-example losses, and their gradients into `gradient` unless it is undefined.
Tensor losses(const char* op, const Tensor& logits, const Tensor& labels, double smoothing,
              const Tensor& gradient) {
  const Tensor loss = Tensor::empty({logits.dim(0)}, logits.dtype(), logits.device());
  ops::run(op, logits, [&]<class T>(auto& context) {
    kernels::softmax_cross_entropy<T>(
        context, {.rows = logits.dim(0), .classes = logits.dim(1), .label_smoothing = smoothing},
        logits.data<T>(), labels.data<std::int32_t>(), loss.data<T>(),
        ops::data_or_null<T>(gradient));
  });
  return loss;
}

/// The gradient of each example's loss, softmax - target: itself, or as a function of x where it is
/// to be differentiated.
Tensor slope(const Tensor& x, const Tensor& gradient) {
  if (!grad_enabled()) return gradient;
  const Tensor target = subtract(softmax(x.detach()), gradient);
  return subtract(softmax(x), target);
}

bool last(const char* op, const Tensor& x, int axis) {
  ops::check_operands(op, {x});
  return axis == -1 || x.shape().axis(axis) == x.rank() - 1;
}

}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  if (!last("softmax", x, axis)) return transpose(softmax(transpose(x, axis, -1)), axis, -1);
  return rowwise(
      "softmax", x, [](auto& context, auto... a) { kernels::softmax_forward(context, a...); },
      [](auto& context, auto... a) { kernels::softmax_backward(context, a...); },
      [](const Tensor& logits, const Tensor& dy) {
        const Tensor y = softmax(logits);
        return y * (dy - sum(y * dy, -1, true));
      });
}

Tensor log_softmax(const Tensor& x, int axis) {
  if (!last("log_softmax", x, axis))
    return transpose(log_softmax(transpose(x, axis, -1)), axis, -1);
  return rowwise(
      "log_softmax", x,
      [](auto& context, auto... a) { kernels::log_softmax_forward(context, a...); },
      [](auto& context, auto... a) { kernels::log_softmax_backward(context, a...); },
      [](const Tensor& logits, const Tensor& dy) {
        return dy - softmax(logits) * sum(dy, -1, true);
      });
}

Tensor cross_entropy(const Tensor& logits_any, const Tensor& labels, double label_smoothing) {
  check_labels("cross_entropy", logits_any, labels);
  check(label_smoothing >= 0 && label_smoothing < 1, "cross_entropy: label smoothing ",
        label_smoothing, ", expected 0 <= s < 1");
  check(logits_any.dim(0) > 0, "cross_entropy: no examples");
  const Tensor logits = logits_any.packed();
  const bool needed = grad_enabled() && logits.requires_grad();
  const Tensor gradient = needed ? ops::like(logits) : Tensor();
  const Tensor each = losses("cross_entropy", logits, labels.packed(), label_smoothing, gradient);
  return record(
      "cross_entropy", mean(each), {logits},
      [gradient, logits = Saved(logits)](const Tensor& dy, const Needed&) {
        const Tensor scale = affine(dy, 1.0 / double(gradient.dim(0)), 0);
        return std::vector<Tensor>{multiply(slope(*logits, gradient), scale)};
      },
      Order::second);
}

Tensor cross_entropy_each(const Tensor& logits_any, const Tensor& labels) {
  check_labels("cross_entropy_each", logits_any, labels);
  const Tensor logits = logits_any.packed();
  const bool needed = grad_enabled() && logits.requires_grad();
  const Tensor gradient = needed ? ops::like(logits) : Tensor();
  const Tensor each = losses("cross_entropy_each", logits, labels.packed(), 0, gradient);
  return record(
      "cross_entropy_each", each, {logits},
      [gradient, logits = Saved(logits)](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{slope(*logits, gradient) * unsqueeze(dy, 1)};
      },
      Order::second);
}

Tensor mean_squared_error(const Tensor& x, const Tensor& y) {
  return mean(square(x - y));
}

std::int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  check_labels("count_correct", logits, labels);
  const std::vector<std::int32_t> predicted = argmax(logits).values<std::int32_t>();
  const std::vector<std::int32_t> wanted = labels.values<std::int32_t>();
  std::int64_t correct = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) correct += predicted[i] == wanted[i];
  return correct;
}

}  // namespace shatter
