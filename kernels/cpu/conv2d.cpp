// Convolution: choice of algorithm, and im2col (patches gathered, then a matrix product).
#include <algorithm>
#include <type_traits>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/work.h>

#include "conv2d_onednn.h"
#include "conv2d_winograd.h"
#include "gemm.h"
#include "multiversion.h"
#include "wide_rows.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

bool empty(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  return win.n <= 0 || g.c <= 0 || g.k <= 0 || win.out_h() <= 0 || win.out_w() <= 0;
}

// What `automatic` stands for; throws for an algorithm that the CPU does not have for T or g.
template <class T>
Conv2dAlgorithm chosen(const CpuContext& context, const Conv2dGeometry& g,
                       Conv2dDirection direction, Conv2dAlgorithm algorithm, const char* op) {
  using enum Conv2dAlgorithm;
  constexpr bool is_float = std::is_same_v<T, float>;
  const bool has_onednn = is_float || (std::is_same_v<T, bfloat16> && has_bfloat16_products());
  const bool fits = onednn_fits(g) && (is_float || onednn_fits_bfloat16(g, direction));
  if (algorithm == automatic) {
    if (!has_onednn || !fits) return im2col;
    const bool filtering = is_float && context.winograd() && g.groups == 1 && prefers_winograd(g);
    return filtering ? winograd : onednn;
  }
  const bool known = algorithm == im2col || (has_onednn && algorithm == onednn) ||
                     (is_float && algorithm == winograd);
  check(known, op, ": no algorithm ", name_of(algorithm), " for ", name_of(dtype_of<T>),
        " on this CPU; it has automatic, im2col", has_onednn ? ", onednn" : "",
        is_float ? ", winograd" : "");
  check(algorithm != onednn || fits, op, ": oneDNN computes these windows wrongly in ",
        name_of(dtype_of<T>), ": input [", g.windows.n, ", ", g.windows.h, ", ", g.windows.w, ", ",
        g.c, "], windows ", g.windows.r, "x", g.windows.s, " at ", g.windows.stride_h, ", ",
        g.windows.stride_w);
  check(algorithm != winograd || winograd_fits(g), op,
        ": the algorithm winograd is for 3x3 windows at stride 1, undilated, not ", g.windows.r,
        "x", g.windows.s, " at ", g.windows.stride_h, ", ", g.windows.stride_w);
  return algorithm;
}

// Output rows whose patches are held at once: about a million elements.
std::int64_t rows_per_block(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const std::int64_t row = win.out_w() * win.r * win.s * g.c;
  return std::min(win.out_h(), std::max<std::int64_t>(1, (1 << 20) / row));
}

// Calls visit(r, s, pixel) for each tap of the window of output pixel (p, q); the pixel it reads is
// -1 outside the image.
template <class Visit>
void for_window(const Windows& win, std::int64_t p, std::int64_t q, Visit&& visit) {
  for (std::int64_t r = 0; r < win.r; ++r) {
    const std::int64_t i = p * win.stride_h - win.padding.top + r * win.dilation_h;
    for (std::int64_t s = 0; s < win.s; ++s) {
      const std::int64_t j = q * win.stride_w - win.padding.left + s * win.dilation_w;
      const bool inside = i >= 0 && i < win.h && j >= 0 && j < win.w;
      visit(r * win.s + s, inside ? i * win.w + j : -1);
    }
  }
}

// patches [rows * out_w, r * s * c] of output rows [first, first + rows) of one image.
template <class T>
void gather_patches(const Conv2dGeometry& g, std::int64_t first, std::int64_t rows, const T* x,
                    T* patches) {
  const Windows& win = g.windows;
  for (std::int64_t p = first; p < first + rows; ++p)
    for (std::int64_t q = 0; q < win.out_w(); ++q) {
      for_window(win, p, q, [&](std::int64_t place, std::int64_t pixel) {
        if (pixel >= 0)
          std::copy_n(x + pixel * g.x_step(), g.c, patches + place * g.c);
        else
          std::fill_n(patches + place * g.c, g.c, T(0));
      });
      patches += win.r * win.s * g.c;
    }
}

// Adds patches back to the pixels they came from, `step` apart.
template <class W>
void scatter_patches(const Conv2dGeometry& g, std::int64_t first, std::int64_t rows,
                     const W* patches, std::int64_t step, W* dx) {
  const Windows& win = g.windows;
  for (std::int64_t p = first; p < first + rows; ++p)
    for (std::int64_t q = 0; q < win.out_w(); ++q) {
      for_window(win, p, q, [&](std::int64_t place, std::int64_t pixel) {
        if (pixel < 0) return;
        W* const target = dx + pixel * step;
        const W* const source = patches + place * g.c;
        for (std::int64_t c = 0; c < g.c; ++c) target[c] += source[c];
      });
      patches += win.r * win.s * g.c;
    }
}

template <class T>
void forward_im2col(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y) {
  using W = wide_t<T>;
  const Windows& win = g.windows;
  const std::int64_t patch = win.r * win.s * g.c, block = rows_per_block(g);
  context.parallel(win.n, [&](std::int64_t n) {
    const Workspace<T> patches(block * win.out_w() * patch);
    for (std::int64_t p = 0; p < win.out_h(); p += block) {
      const std::int64_t rows = std::min(block, win.out_h() - p);
      const WideRows<T> sums(y + (n * win.out_h() + p) * win.out_w() * g.y_step(),
                             rows * win.out_w(), g.k, g.y_step());
      gather_patches(g, p, rows, x + n * win.h * win.w * g.x_step(), patches.data());
      if (bias)
        for (std::int64_t i = 0; i < rows * win.out_w(); ++i)
          std::copy(bias, bias + g.k, sums.data() + i * sums.step());
      gemm(false, true, rows * win.out_w(), g.k, patch, W(1), patches.data(), patch, w, patch,
           bias ? W(1) : W(0), sums.data(), sums.step());
      sums.store();
    }
  });
}

template <class T>
void backward_data_im2col(CpuContext& context, const Conv2dGeometry& g, const T* dy, const T* w,
                          T* dx) {
  using W = wide_t<T>;
  const Windows& win = g.windows;
  const std::int64_t patch = win.r * win.s * g.c, block = rows_per_block(g);
  context.parallel(win.n, [&](std::int64_t n) {
    const Workspace<W> patches(block * win.out_w() * patch);
    const WideRows<T> sums(dx + n * win.h * win.w * g.x_step(), win.h * win.w, g.c, g.x_step());
    sums.clear();
    for (std::int64_t p = 0; p < win.out_h(); p += block) {
      const std::int64_t rows = std::min(block, win.out_h() - p);
      gemm(false, false, rows * win.out_w(), patch, g.k, W(1),
           dy + (n * win.out_h() + p) * win.out_w() * g.y_step(), g.y_step(), w, patch, W(0),
           patches.data(), patch);
      scatter_patches(g, p, rows, patches.data(), sums.step(), sums.data());
    }
    sums.store();
  });
}

template <class T>
void backward_weight_im2col(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* dy,
                            wide_t<T>* dw) {
  using W = wide_t<T>;
  const Windows& win = g.windows;
  const std::int64_t patch = win.r * win.s * g.c, block = rows_per_block(g);
  const std::int64_t images = ceil_div(win.n, 8), chunks = ceil_div(win.n, images);
  const Workspace<W> partials(chunks * g.k * patch);
  context.parallel(chunks, [&](std::int64_t chunk) {
    const Workspace<T> patches(block * win.out_w() * patch);
    W* const partial = partials.data() + chunk * g.k * patch;
    bool first = true;
    for (std::int64_t n = chunk * images; n < std::min(win.n, (chunk + 1) * images); ++n)
      for (std::int64_t p = 0; p < win.out_h(); p += block) {
        const std::int64_t rows = std::min(block, win.out_h() - p);
        gather_patches(g, p, rows, x + n * win.h * win.w * g.x_step(), patches.data());
        gemm(true, false, g.k, patch, rows * win.out_w(), W(1),
             dy + (n * win.out_h() + p) * win.out_w() * g.y_step(), g.y_step(), patches.data(),
             patch, first ? W(0) : W(1), partial, patch);
        first = false;
      }
  });
  for (std::int64_t i = 0; i < g.k * patch; ++i) {
    W sum = partials[i];
    for (std::int64_t chunk = 1; chunk < chunks; ++chunk) sum += partials[chunk * g.k * patch + i];
    dw[i] = sum;
  }
}

}  // namespace

template <class T>
void conv2d_forward(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y, Conv2dAlgorithm algorithm) {
  algorithm = chosen<T>(context, g, Conv2dDirection::forward, algorithm, "conv2d_forward");
  if (g.groups > 1 && algorithm != Conv2dAlgorithm::onednn)
    return for_groups(g, [&](const Conv2dGeometry& one, auto c, auto k, auto weight) {
      conv2d_forward(context, one, x + c, w + weight, bias ? bias + k : nullptr, y + k, algorithm);
    });
  if (empty(g)) {  // nothing to write, or (no input channels) the bias alone
    const Windows& win = g.windows;
    for (std::int64_t i = 0; i < win.n * win.out_h() * win.out_w(); ++i)
      for (std::int64_t k = 0; k < g.k; ++k)
        y[i * g.y_step() + k] = static_cast<T>(bias ? bias[k] : 0);
    return;
  }
  const ProfileScope scope(context, "conv2d_forward", conv2d_work(g, sizeof(T), sizeof(T)),
                           name_of(algorithm));
  if constexpr (std::is_same_v<T, float>)
    if (algorithm == Conv2dAlgorithm::winograd)
      return conv2d_forward_winograd(context, g, x, w, bias, y);
  if constexpr (!std::is_same_v<T, double>)
    if (algorithm == Conv2dAlgorithm::onednn)
      return conv2d_forward_onednn<T>(context, g, x, w, bias, y);
  forward_im2col(context, g, x, w, bias, y);
}

template <class T>
void conv2d_backward_data(CpuContext& context, const Conv2dGeometry& g, const T* dy, const T* w,
                          T* dx, Conv2dAlgorithm algorithm) {
  algorithm =
      chosen<T>(context, g, Conv2dDirection::backward_data, algorithm, "conv2d_backward_data");
  if (g.groups > 1 && algorithm != Conv2dAlgorithm::onednn)
    return for_groups(g, [&](const Conv2dGeometry& one, auto c, auto k, auto weight) {
      conv2d_backward_data(context, one, dy + k, w + weight, dx + c, algorithm);
    });
  if (empty(g)) {
    for (std::int64_t i = 0; i < g.windows.n * g.windows.h * g.windows.w; ++i)
      std::fill_n(dx + i * g.x_step(), g.c, T(0));
    return;
  }
  const ProfileScope scope(context, "conv2d_backward_data", conv2d_work(g, sizeof(T), sizeof(T)),
                           name_of(algorithm));
  if constexpr (std::is_same_v<T, float>)
    if (algorithm == Conv2dAlgorithm::winograd)
      return conv2d_backward_data_winograd(context, g, dy, w, dx);
  if constexpr (!std::is_same_v<T, double>)
    if (algorithm == Conv2dAlgorithm::onednn)
      return conv2d_backward_data_onednn<T>(context, g, dy, w, dx);
  backward_data_im2col(context, g, dy, w, dx);
}

template <class T>
void conv2d_backward_weight(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* dy,
                            wide_t<T>* dw, Conv2dAlgorithm algorithm) {
  algorithm =
      chosen<T>(context, g, Conv2dDirection::backward_weight, algorithm, "conv2d_backward_weight");
  if (g.groups > 1 && algorithm != Conv2dAlgorithm::onednn)
    return for_groups(g, [&](const Conv2dGeometry& one, auto c, auto k, auto weight) {
      conv2d_backward_weight(context, one, x + c, dy + k, dw + weight, algorithm);
    });
  if (empty(g)) {
    std::fill_n(dw, g.weights(), T(0));
    return;
  }
  const ProfileScope scope(context, "conv2d_backward_weight",
                           conv2d_work(g, sizeof(T), sizeof(wide_t<T>)), name_of(algorithm));
  if constexpr (std::is_same_v<T, float>)
    if (algorithm == Conv2dAlgorithm::winograd)
      return conv2d_backward_weight_winograd(context, g, x, dy, dw);
  if constexpr (!std::is_same_v<T, double>)
    if (algorithm == Conv2dAlgorithm::onednn)
      return conv2d_backward_weight_onednn<T>(context, g, x, dy, dw);
  backward_weight_im2col(context, g, x, dy, dw);
}

template void conv2d_forward(CpuContext&, const Conv2dGeometry&, const float*, const float*,
                             const float*, float*, Conv2dAlgorithm);
template void conv2d_forward(CpuContext&, const Conv2dGeometry&, const double*, const double*,
                             const double*, double*, Conv2dAlgorithm);
template void conv2d_backward_data(CpuContext&, const Conv2dGeometry&, const float*, const float*,
                                   float*, Conv2dAlgorithm);
template void conv2d_backward_data(CpuContext&, const Conv2dGeometry&, const double*, const double*,
                                   double*, Conv2dAlgorithm);
template void conv2d_backward_weight(CpuContext&, const Conv2dGeometry&, const float*, const float*,
                                     float*, Conv2dAlgorithm);
template void conv2d_backward_weight(CpuContext&, const Conv2dGeometry&, const double*,
                                     const double*, double*, Conv2dAlgorithm);
template void conv2d_forward(CpuContext&, const Conv2dGeometry&, const bfloat16*, const bfloat16*,
                             const float*, bfloat16*, Conv2dAlgorithm);
template void conv2d_backward_data(CpuContext&, const Conv2dGeometry&, const bfloat16*,
                                   const bfloat16*, bfloat16*, Conv2dAlgorithm);
template void conv2d_backward_weight(CpuContext&, const Conv2dGeometry&, const bfloat16*,
                                     const bfloat16*, float*, Conv2dAlgorithm);

}  // namespace shatter::kernels
