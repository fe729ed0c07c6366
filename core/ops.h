// Differentiable operations. Each checks its operands, allocates, calls the kernel of the operand's
// device and records its gradient. Images are NHWC [n, h, w, c], convolution weights KRSC. Floating
// operands are float32 or float64, all of one type and device. The elementwise functions, sum,
// mean, permute, matmul, concat, linear and the layers' operations up to dropout also take
// bfloat16, with parameters in float32, and give bfloat16. A violation throws Error naming the op
// and the shapes, before anything is computed.
#pragma once

#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include <shatter/core/tensor.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/philox.h>

namespace shatter {

/// A number beside a tensor. Beside an integer tensor an integer stays one, exact up to 2^53; a
/// fraction makes the integer tensor float32.
struct Scalar {
  double value;
  bool whole;
  template <class T>
  requires std::is_arithmetic_v<T> Scalar(T number)
      : value(static_cast<double>(number)), whole(std::is_integral_v<T>) {}
};

// Elementwise, with NumPy's broadcasting. Operands may be of integer types: beside a floating
// operand an integer one is converted to its type, two integer types give the wider one, and a
// quotient of integers is float32. Integers wrap and have no gradient. float32, float64 and
// bfloat16 do not mix: convert one with to().
Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);
Tensor add(const Tensor& x, Scalar shift);
Tensor subtract(const Tensor& x, Scalar shift);
Tensor subtract(Scalar from, const Tensor& x);
Tensor multiply(const Tensor& x, Scalar scale);
/// x times 1 / divisor.
Tensor divide(const Tensor& x, Scalar divisor);
Tensor divide(Scalar dividend, const Tensor& x);
Tensor negative(const Tensor& x);
/// The gradient of maximum and minimum goes to the chosen operand, to a on ties.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// a to the power of b, of one floating type. Where a is 0 and b >= 0 the gradient of b is 0.
Tensor pow(const Tensor& a, const Tensor& b);
Tensor pow(const Tensor& x, double exponent);
/// Each element of floating x, but at least low and at most high. The gradient passes from low to
/// high, ends included.
Tensor clamp(const Tensor& x, double low, double high);
/// scale * x + shift, of a floating x.
Tensor affine(const Tensor& x, double scale, double shift);

// Masks: uint8, 1 where the statement holds, else 0. Not differentiable. Operands as above.
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor equal(const Tensor& x, Scalar s);
Tensor not_equal(const Tensor& x, Scalar s);
Tensor less(const Tensor& x, Scalar s);
Tensor less_equal(const Tensor& x, Scalar s);
Tensor greater(const Tensor& x, Scalar s);
Tensor greater_equal(const Tensor& x, Scalar s);
Tensor isnan(const Tensor& x);
// Whatever is not 0 counts as true.
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_not(const Tensor& x);
/// a where the mask (uint8) is not 0, else b, all three broadcast.
Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& mask, const Tensor& a, Scalar b);
Tensor where(const Tensor& mask, Scalar a, const Tensor& b);

// Operators. == and != are left out: they would have to be masks here and a question elsewhere.
inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return add(a, b);
}
inline Tensor operator+(const Tensor& x, Scalar s) {
  return add(x, s);
}
inline Tensor operator+(Scalar s, const Tensor& x) {
  return add(x, s);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return subtract(a, b);
}
inline Tensor operator-(const Tensor& x, Scalar s) {
  return subtract(x, s);
}
inline Tensor operator-(Scalar s, const Tensor& x) {
  return subtract(s, x);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return multiply(a, b);
}
inline Tensor operator*(const Tensor& x, Scalar s) {
  return multiply(x, s);
}
inline Tensor operator*(Scalar s, const Tensor& x) {
  return multiply(x, s);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return divide(a, b);
}
inline Tensor operator/(const Tensor& x, Scalar s) {
  return divide(x, s);
}
inline Tensor operator/(Scalar s, const Tensor& x) {
  return divide(s, x);
}
inline Tensor operator-(const Tensor& x) {
  return negative(x);
}
inline Tensor operator<(const Tensor& a, const Tensor& b) {
  return less(a, b);
}
inline Tensor operator<(const Tensor& x, Scalar s) {
  return less(x, s);
}
inline Tensor operator<(Scalar s, const Tensor& x) {
  return greater(x, s);
}
inline Tensor operator<=(const Tensor& a, const Tensor& b) {
  return less_equal(a, b);
}
inline Tensor operator<=(const Tensor& x, Scalar s) {
  return less_equal(x, s);
}
inline Tensor operator<=(Scalar s, const Tensor& x) {
  return greater_equal(x, s);
}
inline Tensor operator>(const Tensor& a, const Tensor& b) {
  return greater(a, b);
}
inline Tensor operator>(const Tensor& x, Scalar s) {
  return greater(x, s);
}
inline Tensor operator>(Scalar s, const Tensor& x) {
  return less(x, s);
}
inline Tensor operator>=(const Tensor& a, const Tensor& b) {
  return greater_equal(a, b);
}
inline Tensor operator>=(const Tensor& x, Scalar s) {
  return greater_equal(x, s);
}
inline Tensor operator>=(Scalar s, const Tensor& x) {
  return less_equal(x, s);
}

/// What t += u and its like do with their result. It must have t's shape and type. Where it carries
/// a gradient's history, the handle t becomes the result and other handles keep what they have;
/// else the result overwrites t's elements, which every handle and view sees. Throws for a leaf
/// that requires a gradient, unless recording is off.
Tensor& update(const char* op, Tensor& t, const Tensor& result);
inline Tensor& operator+=(Tensor& t, const Tensor& u) {
  return update("operator+=", t, t + u);
}
inline Tensor& operator+=(Tensor& t, Scalar u) {
  return update("operator+=", t, t + u);
}
inline Tensor& operator-=(Tensor& t, const Tensor& u) {
  return update("operator-=", t, t - u);
}
inline Tensor& operator-=(Tensor& t, Scalar u) {
  return update("operator-=", t, t - u);
}
inline Tensor& operator*=(Tensor& t, const Tensor& u) {
  return update("operator*=", t, t * u);
}
inline Tensor& operator*=(Tensor& t, Scalar u) {
  return update("operator*=", t, t * u);
}
inline Tensor& operator/=(Tensor& t, const Tensor& u) {
  return update("operator/=", t, t / u);
}
inline Tensor& operator/=(Tensor& t, Scalar u) {
  return update("operator/=", t, t / u);
}

Tensor exp(const Tensor& x);
Tensor log(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor square(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor relu(const Tensor& x);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor erf(const Tensor& x);
/// -1, 0 or 1; its gradient is 0.
Tensor sign(const Tensor& x);
/// log(1 + x) and exp(x) - 1, exact for small x.
Tensor log1p(const Tensor& x);
Tensor expm1(const Tensor& x);
/// Whole numbers, with the gradient 0; round takes halves to the even one.
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);
/// x times the standard normal distribution function of x.
Tensor gelu(const Tensor& x);
/// x sigmoid(x).
Tensor silu(const Tensor& x);

// Reductions. Without an axis they run over all elements, to shape []. An axis becomes 1 with keep,
// else is removed. Integer tensors have sums of int64.
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, int axis, bool keep = false);
/// Of integers: float32.
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, int axis, bool keep = false);
/// The largest; the gradient is shared equally among ties.
Tensor max(const Tensor& x);
Tensor max(const Tensor& x, int axis, bool keep = false);
/// The smallest; the gradient is shared equally among ties.
Tensor min(const Tensor& x);
Tensor min(const Tensor& x, int axis, bool keep = false);
/// log(sum(exp(x))), without overflow.
Tensor logsumexp(const Tensor& x, int axis, bool keep = false);
/// The sum of squares about the mean, over (size - correction).
Tensor var(const Tensor& x, int axis, bool keep = false, double correction = 1);
/// The root of var().
Tensor stddev(const Tensor& x, int axis, bool keep = false, double correction = 1);
/// The Euclidean norm; its gradient at 0 is 0.
Tensor norm(const Tensor& x);
Tensor norm(const Tensor& x, int axis, bool keep = false);
inline constexpr double p_infinity = std::numeric_limits<double>::infinity();
/// (sum |x|^p)^(1/p), p >= 1; the largest |x| for p_infinity. Its gradient at 0 is 0.
Tensor p_norm(const Tensor& x, double p, int axis, bool keep = false);
/// int64: how many elements are not 0.
Tensor count_nonzero(const Tensor& x);
Tensor count_nonzero(const Tensor& x, int axis, bool keep = false);
/// The sums up to each place along a dimension, in x's shape. float32, float64 or integers.
Tensor cumsum(const Tensor& x, int axis);
/// x summed over its broadcast dimensions down to `shape`: the gradient of broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// int64: the place of the largest along a dimension, the first on ties. Not differentiable.
Tensor argmax(const Tensor& x, int axis = -1, bool keep = false);
/// The same of the smallest.
Tensor argmin(const Tensor& x, int axis = -1, bool keep = false);

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
  /// Explicit padding, one number for all four sides, or TensorFlow's SAME when empty.
  std::optional<Padding> padding = Padding{};
  std::int64_t dilation = 1;  ///< pixels between neighbouring taps of a window
  std::int64_t groups = 1;    ///< each group of filters sees its own group of channels
};
inline constexpr std::nullopt_t same = std::nullopt;

/// x [n, h, w, c], w [k, r, s, c / groups], b [k] or undefined -> [n, p, q, k].
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& options = {},
              const Tensor& into = {});

struct Pool2dOptions {
  std::int64_t window = 2;
  std::int64_t stride = 2;
  std::optional<Padding> padding = Padding{};  ///< as in Conv2dOptions
  bool count_padding = false;                  ///< of averages: padding counts as zeros
};
Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& into = {});
/// The mean over the window's pixels inside the image, or with count_padding over all of them.
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

Tensor softmax(const Tensor& x, int axis = -1);
Tensor log_softmax(const Tensor& x, int axis = -1);

/// Mean softmax cross-entropy of logits [n, classes] and labels int32 [n], shape []. With label
/// smoothing s the target is (1 - s) onehot + s / classes. A label outside [0, classes) throws; on
/// a CUDA device, where looking would wait, it makes the loss NaN.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing = 0);
/// Per-example losses [n].
Tensor cross_entropy_each(const Tensor& logits, const Tensor& labels);
/// Mean of (x - y)^2 over all elements.
Tensor mean_squared_error(const Tensor& x, const Tensor& y);
/// How many rows of logits [n, classes] are largest at the label, the first on ties.
std::int64_t count_correct(const Tensor& logits, const Tensor& labels);

}  // namespace shatter
