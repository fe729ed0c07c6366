// Losses beside cross_entropy and mean_squared_error (ops.h): means, shape [], twice differentiable
// in their first operand. Floating operands are float32 or float64. Each throws as ops do.
#pragma once

#include <optional>

#include <shatter/core/tensor.h>

namespace shatter {

/// Mean over all elements of e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2); e = x - y.
Tensor huber_loss(const Tensor& x, const Tensor& y, double delta = 1);

/// Mean over all elements of -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)), for logits x of any
/// size and targets t in [0, 1] of one shape.
Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& targets);

/// The multi-class hinge loss of logits [n, classes] and labels int32 [n]: the mean over examples
/// of the sum over the other classes of max(0, 1 - x[label] + x[class]) / classes.
Tensor hinge_loss(const Tensor& logits, const Tensor& labels);

struct CrossEntropyOptions {
  Tensor class_weights{};                      ///< [classes]; not differentiated
  std::optional<std::int32_t> ignore_index{};  ///< examples with this label do not count
  double label_smoothing = 0;
};
/// PyTorch's weighted mean over the kept examples: the sum of w[label] times an example's loss,
/// divided by the sum of w[label]; under smoothing every class has its own weight. Throws for a
/// label outside [0, classes) that is not ignored, and where no weight is left. Reads the labels on
/// the host, for which a CUDA device is waited for.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels,
                     const CrossEntropyOptions& options);

}  // namespace shatter
