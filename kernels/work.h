// The work of each kernel: what a profile divides by its time. Arithmetic is that of the defining
// formula: an addition, product, quotient, comparison, root or exponential counts as one operation;
// random draws, copies, searches for a maximum's place and augmentation count as none.
#pragma once

#include <algorithm>
#include <span>

#include <shatter/kernels/augment.h>
#include <shatter/kernels/batch_norm.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/gaussian_kernel.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/lrn.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/profile.h>
#include <shatter/kernels/randomize.h>
#include <shatter/kernels/reduce.h>
#include <shatter/kernels/softmax_cross_entropy.h>

namespace shatter::kernels {

/// `flop` operations for each of n elements of T, and `arrays` arrays of them.
template <class T>
constexpr Work elementwise_work(std::int64_t n, int flop, int arrays) {
  return {n * flop, n * arrays * static_cast<std::int64_t>(sizeof(T))};
}

template <class T>
constexpr Work binary_work(const BroadcastGeometry& g) {
  std::int64_t a = 1, b = 1;
  for (std::size_t d = 0; d < g.shape.size(); ++d) {
    if (g.a_step[d] != 0) a *= g.shape[d];
    if (g.b_step[d] != 0) b *= g.shape[d];
  }
  const std::int64_t y = g.size();
  return {y, (a + b + y) * static_cast<std::int64_t>(sizeof(T))};
}

constexpr Work convert_work(std::int64_t n, DType from, DType to) {
  return {0, n * static_cast<std::int64_t>(size_of(from) + size_of(to))};
}

constexpr Work permute_work(int rank, const std::int64_t* shape, std::size_t element) {
  std::int64_t n = 1;
  for (int d = 0; d < rank; ++d) n *= shape[d];
  return {0, 2 * n * static_cast<std::int64_t>(element)};
}

template <class In, class Out = In>
constexpr Work matmul_work(const MatmulGeometry& g, bool reads_c) {
  const auto in = static_cast<std::int64_t>(sizeof(In)),
             out = static_cast<std::int64_t>(sizeof(Out));
  return {2 * g.m * g.n * g.k, (g.m * g.k + g.k * g.n) * in + (reads_c ? 2 : 1) * g.m * g.n * out};
}

/// The bias and ReLU are left out.
template <class T>
constexpr Work linear_work(const LinearGeometry& g) {
  return matmul_work<T>({.m = g.n, .n = g.out, .k = g.in}, false);
}

/// Images of `image` bytes an element and filters of `filter`; the bias is left out.
constexpr Work conv2d_work(const Conv2dGeometry& g, std::size_t image, std::size_t filter) {
  const Windows& win = g.windows;
  const std::int64_t images = win.n * (win.h * win.w * g.c + win.out_h() * win.out_w() * g.k);
  return {2 * g.multiply_adds(), images * static_cast<std::int64_t>(image) +
                                     g.weights() * static_cast<std::int64_t>(filter)};
}

/// An operation for each place of the window, or one for the window; y comes with `index` bytes
/// more for each element.
template <class T>
constexpr Work pool2d_work(const Pool2dGeometry& g, bool each_place, int index) {
  const Windows& win = g.windows;
  const std::int64_t x = win.n * win.h * win.w * g.c;
  const std::int64_t y =
      win.n * std::max<std::int64_t>(win.out_h(), 0) * std::max<std::int64_t>(win.out_w(), 0) * g.c;
  return {y * (each_place ? win.r * win.s : 1),
          (x + y) * static_cast<std::int64_t>(sizeof(T)) + y * index};
}

/// `arrays` images, `vectors` values for each channel.
template <class T>
constexpr Work batch_norm_work(const BatchNormGeometry& g, int flop, int arrays, int vectors) {
  const Work images = elementwise_work<T>(g.rows * g.channels, flop, arrays);
  return {images.flop,
          images.bytes + vectors * g.channels * static_cast<std::int64_t>(sizeof(wide_t<T>))};
}
/// The sum, and the sum of squares about the mean.
template <class T>
constexpr Work batch_norm_statistics_work(const BatchNormGeometry& g) {
  return batch_norm_work<T>(g, 4, 1, 2);
}
template <class T>
constexpr Work batch_norm_forward_work(const BatchNormGeometry& g) {
  return batch_norm_work<T>(g, g.relu ? 4 : 3, 2, 4);
}
/// xhat, the two sums, dx; with ReLU also the mask, from y anew.
template <class T>
constexpr Work batch_norm_backward_work(const BatchNormGeometry& g) {
  return batch_norm_work<T>(g, (g.training ? 9 : 6) + (g.relu ? 3 : 0), 3, 6);
}

template <class T>
constexpr Work lrn_forward_work(const LrnGeometry& g) {
  return elementwise_work<T>(g.rows * g.channels, static_cast<int>(2 * g.radius + 5), 2);
}
template <class T>
constexpr Work lrn_backward_work(const LrnGeometry& g) {
  return elementwise_work<T>(g.rows * g.channels, static_cast<int>(4 * g.radius + 11), 3);
}

template <class T>
constexpr Work reduce_work(const ReduceGeometry& g) {
  const std::int64_t x = g.outer * g.reduced * g.inner, y = g.outer * g.inner;
  return {x, (x + y) * static_cast<std::int64_t>(sizeof(T))};
}
/// rows x columns to `each` bytes for each of n results, with `flop` operations an element.
template <class T>
constexpr Work rows_work(std::int64_t rows, std::int64_t columns, int flop, std::int64_t n,
                         std::size_t each) {
  return {rows * columns * flop, rows * columns * static_cast<std::int64_t>(sizeof(T)) +
                                     n * static_cast<std::int64_t>(each)};
}

/// Maximum, difference, exponential, sum; the gradient's quotient and difference.
template <class T>
constexpr Work cross_entropy_work(const CrossEntropyGeometry& g, bool gradient) {
  const Work logits = elementwise_work<T>(g.rows * g.classes, gradient ? 6 : 4, gradient ? 2 : 1);
  return {logits.flop, logits.bytes + g.rows * static_cast<std::int64_t>(sizeof(std::int32_t) +
                                                                         sizeof(wide_t<T>))};
}

/// Three operations and a comparison for the distance; the factor and the exponential.
template <class T>
constexpr Work gaussian_kernel_work(const GaussianKernelGeometry& g) {
  return {6 * g.m * g.n, (2 * g.m * g.n + g.m + g.n) * static_cast<std::int64_t>(sizeof(T))};
}

template <class T>
constexpr Work tensors_work(std::span<const UpdateTensor<T>> tensors, int flop, int arrays) {
  Work sum;
  for (const UpdateTensor<T>& tensor : tensors) {
    const Work one = elementwise_work<T>(tensor.n, flop, arrays);
    sum.flop += one.flop, sum.bytes += one.bytes;
  }
  return sum;
}
/// w and its buffers read and written, dw read.
template <class Rule, class T>
constexpr Work update_work(std::span<const UpdateTensor<T>> tensors) {
  return tensors_work(tensors, Rule::flop, 3 + 2 * Rule::buffers);
}
template <class T>
constexpr Work gradient_norm_work(std::span<const UpdateTensor<T>> tensors) {
  return tensors_work(tensors, 2, 1);
}

/// The cropped part of the images read, the output written.
template <class Source>
constexpr Work augment_work(const AugmentGeometry& g, std::int64_t batch) {
  const std::int64_t pixels = batch * g.crop_h * g.crop_w;
  return {0, pixels * (g.c * static_cast<std::int64_t>(sizeof(Source)) +
                       (g.y_pitch ? g.y_pitch : g.c) * static_cast<std::int64_t>(sizeof(float)))};
}
/// A place, an item read, an item written.
template <class T>
constexpr Work gather_items_work(std::int64_t batch, std::int64_t width) {
  return {0, batch * (static_cast<std::int64_t>(sizeof(std::int64_t)) +
                      2 * width * static_cast<std::int64_t>(sizeof(T)))};
}
constexpr Work randomize_labels_work(std::int64_t n) {
  return elementwise_work<std::int32_t>(n, 0, 2);
}
/// The pixels that stay, read and written.
constexpr Work pixels_work(const PixelGeometry& g) {
  return elementwise_work<std::uint8_t>(g.n * g.y_pixels * g.bytes, 0, 2);
}
constexpr Work channel_sums_work(std::int64_t pixels, std::int64_t c) {
  return elementwise_work<std::uint8_t>(pixels * c, 3, 1);
}
constexpr Work noise_work(const NoiseGeometry& g) {
  return elementwise_work<float>(g.n * g.values, 2, 1);
}
template <class T>
constexpr Work finish_step_work(std::int64_t batch, std::int64_t classes) {
  return rows_work<T>(batch, classes, 0, batch, sizeof(std::int32_t));
}

}  // namespace shatter::kernels
