// Differentiable operations. Each checks its operands, allocates, calls the kernel of the operand's
// device and records its gradient. Images are NHWC [n, h, w, c], convolution weights KRSC. Floating
// operands are float32 or float64, all of one type and device. The functions of one tensor from exp
// to tanh, matmul, concat, linear and the layers' operations up to dropout also take bfloat16, with
// parameters in float32, and give bfloat16. A violation throws Error naming the op and the shapes,
// before anything is computed.
#pragma once

#include <optional>
#include <vector>

#include <shatter/core/tensor.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/philox.h>

namespace shatter {

// Elementwise, with NumPy's broadcasting.
Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);
/// The gradient of maximum and minimum goes to the chosen operand, to a on ties.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// 1 where a == b, else 0. Not differentiable.
Tensor equal(const Tensor& a, const Tensor& b);
/// scale * x + shift.
Tensor affine(const Tensor& x, double scale, double shift);

inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return add(a, b);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return subtract(a, b);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return multiply(a, b);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return divide(a, b);
}
inline Tensor operator-(const Tensor& x) {
  return affine(x, -1, 0);
}
inline Tensor operator*(double scale, const Tensor& x) {
  return affine(x, scale, 0);
}
inline Tensor operator*(const Tensor& x, double scale) {
  return affine(x, scale, 0);
}
inline Tensor operator/(const Tensor& x, double divisor) {
  return affine(x, 1 / divisor, 0);
}
inline Tensor operator+(const Tensor& x, double shift) {
  return affine(x, 1, shift);
}
inline Tensor operator-(const Tensor& x, double shift) {
  return affine(x, 1, -shift);
}

Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor relu(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);

// Reductions.
/// The sum of all elements, shape [].
Tensor sum(const Tensor& x);
/// The sum along one dimension, which becomes 1 with keep, else is removed.
Tensor sum(const Tensor& x, int axis, bool keep = false);
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, int axis, bool keep = false);
/// The largest along one dimension; the gradient is shared equally among ties.
Tensor max(const Tensor& x, int axis, bool keep = false);
/// x summed over its broadcast dimensions down to `shape`: the gradient of broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// int32: the place of the largest along the last dimension, the first on ties. Not differentiable.
Tensor argmax(const Tensor& x);

// Shapes.
/// [n, ...] -> [n, product]: for images in the order h, w, c.
Tensor flatten(const Tensor& x);
/// The dimensions reordered: result dimension d is x's dimension order[d].
Tensor permute(const Tensor& x, const std::vector<int>& order);
/// [..., c0 + c1 + ...]: joined along the last dimension. Parts that already are neighbouring
/// slices of one block (see `into` below) are joined without a copy.
Tensor concat(const std::vector<Tensor>& parts);

// Matrix products.
/// op(a) [..., m, k] times op(b) [..., k, n], the leading dimensions broadcast as NumPy's matmul
/// does; a vector is a row on the left and a column on the right. A transposed operand is stored
/// with its last two dimensions the other way round.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);
/// x [n, in] times w [out, in] transposed, plus b [out] (may be undefined); with_relu: and the ReLU
/// of it, in the same pass.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b = {}, bool with_relu = false);

// Layers' operations. `into`, where given, is a tensor (usually a channel slice) of the result's
// shape that receives the result; the op returns it.
struct Conv2dOptions {
  std::int64_t stride = 1;
  /// Explicit padding, or TensorFlow's SAME when empty.
  std::optional<Padding> padding = Padding{};
};
inline constexpr std::nullopt_t same = std::nullopt;

/// x [n, h, w, c], w [k, r, s, c], b [k] or undefined -> [n, p, q, k].
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options = {},
              const Tensor& into = {});

struct Pool2dOptions {
  std::int64_t window = 2;
  std::int64_t stride = 2;
  std::optional<Padding> padding = Padding{};  ///< as in Conv2dOptions
};
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& into = {});
/// The mean over the pixels inside the image: padding is not counted.
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& into = {});
/// [n, h, w, c] -> [n, c].
Tensor global_avg_pool2d(const Tensor& x);

struct BatchNormOptions {
  double epsilon = 1e-3;
  bool relu = false;     ///< fused ReLU behind it
  bool training = true;  ///< normalise by the batch and update the running statistics
  double decay = 0.99;   ///< running = decay * running + (1 - decay) * batch
  bool unbiased_running_variance = false;  ///< PyTorch's choice; TensorFlow's is biased
};
/// x [..., c], gamma, beta [c] (each may be undefined), running_mean, running_variance [c] (updated
/// in training, used otherwise).
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_variance,
                  const BatchNormOptions& options = {}, const Tensor& into = {});

struct LrnOptions {
  std::int64_t radius = 4;
  double bias = 1, alpha = 0.001 / 9, beta = 0.75;
};
/// Across channels; alpha is not divided by the window (TensorFlow's definition).
Tensor local_response_norm(const Tensor& x, const LrnOptions& options = {});

/// Zeroes elements with probability p and scales the others by 1 / (1 - p); the mask is a function
/// of (key, step, position).
Tensor dropout(const Tensor& x, double p, const RandomKey& key, std::int64_t step);
/// The same with the step in a tensor int64 [1] on the device of x, read by the kernel.
Tensor dropout(const Tensor& x, double p, const RandomKey& key, const Tensor& step);

Tensor softmax(const Tensor& x);      ///< along the last dimension
Tensor log_softmax(const Tensor& x);  ///< along the last dimension

/// Mean softmax cross-entropy of logits [n, classes] and labels int32 [n], shape []. With label
/// smoothing s the target is (1 - s) onehot + s / classes. A label outside [0, classes) throws; on
/// a CUDA device, where looking would wait, it makes the loss NaN.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing = 0);
/// Per-example losses [n]; not differentiable.
Tensor cross_entropy_each(const Tensor& logits, const Tensor& labels);
/// Mean of (x - y)^2 over all elements.
Tensor mean_squared_error(const Tensor& x, const Tensor& y);
/// How many rows of logits [n, classes] are largest at the label, the first on ties.
std::int64_t count_correct(const Tensor& logits, const Tensor& labels);

}  // namespace shatter
