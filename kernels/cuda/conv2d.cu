// Convolution on CUDA: the choice of algorithm, and what is left when there is nothing to sum.
#include <algorithm>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T>
constexpr bool on_tensor_cores = std::is_same_v<T, float> || std::is_same_v<T, bfloat16>;

// What automatic stands for; throws for an algorithm that cannot be had.
template <class T>
Conv2dAlgorithm choose(const CudaContext& context, const Conv2dGeometry& g,
                       Conv2dAlgorithm algorithm, const char* op) {
  const bool cudnn = on_tensor_cores<T> && has_cudnn();
  if (algorithm == Conv2dAlgorithm::automatic) {
    if (cudnn) return Conv2dAlgorithm::cudnn;
    return std::is_same_v<T, bfloat16> && !g.windows.is_dilated() ? Conv2dAlgorithm::implicit_gemm
                                                                  : Conv2dAlgorithm::im2col;
  }
  const bool known = algorithm == Conv2dAlgorithm::im2col ||
                     (algorithm == Conv2dAlgorithm::implicit_gemm && on_tensor_cores<T>) ||
                     (algorithm == Conv2dAlgorithm::cudnn && cudnn);
  check(known, op, ": no algorithm ", name_of(algorithm), " for ", name_of(dtype_of<T>),
        " on this CUDA device; it has automatic, im2col",
        on_tensor_cores<T> ? ", implicit_gemm" : "", cudnn ? ", cudnn" : "");
  check(algorithm != Conv2dAlgorithm::implicit_gemm || !std::is_same_v<T, float> || context.tf32(),
        op,
        ": implicit_gemm rounds float32 to TF32, which is switched off (set_tf32); use "
        "automatic or im2col");
  check(algorithm != Conv2dAlgorithm::implicit_gemm || !g.windows.is_dilated(), op,
        ": implicit_gemm has no dilation; use automatic or im2col");
  return algorithm;
}

bool empty(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  return win.n <= 0 || g.c <= 0 || g.k <= 0 || win.out_h() <= 0 || win.out_w() <= 0;
}

// y [pixels, channels] = bias (null: 0).
template <class T>
__global__ void fill_pixels(std::int64_t pixels, int channels, std::int64_t step,
                            const wide_t<T>* bias, T* y) {
  const std::int64_t i = thread_index();
  if (i >= pixels * channels) return;
  const int k = static_cast<int>(i % channels);
  y[i / channels * step + k] = bias ? T(bias[k]) : T(0);
}

std::int64_t output_pixels(const Windows& win) {
  return win.n * std::max<std::int64_t>(win.out_h(), 0) * std::max<std::int64_t>(win.out_w(), 0);
}

template <class T>
void fill(CudaContext& context, const char* op, std::int64_t pixels, std::int64_t channels,
          std::int64_t step, const wide_t<T>* bias, T* y) {
  if (pixels <= 0 || channels <= 0) return;
  launch(context, op, one_thread_each(pixels * channels), fill_pixels<T>, pixels,
         static_cast<int>(channels), step, bias, y);
}

}  // namespace

template <class T>
void conv2d_forward(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y, Conv2dAlgorithm algorithm) {
  algorithm = choose<T>(context, g, algorithm, "conv2d_forward");
  if (g.groups > 1)
    return for_groups(g, [&](const Conv2dGeometry& one, auto c, auto k, auto weight) {
      conv2d_forward(context, one, x + c, w + weight, bias ? bias + k : nullptr, y + k, algorithm);
    });
  const Windows& win = g.windows;
  if (empty(g))
    return fill(context, "conv2d_forward", output_pixels(win), g.k, g.y_step(), bias, y);
  const ProfileScope scope(context, "conv2d_forward", conv2d_work(g, sizeof(T), sizeof(T)),
                           name_of(algorithm));
  if constexpr (on_tensor_cores<T>) {
    if (algorithm == Conv2dAlgorithm::cudnn) return conv2d_forward_cudnn(context, g, x, w, bias, y);
    if (algorithm == Conv2dAlgorithm::implicit_gemm)
      return conv2d_forward_implicit_gemm(context, g, x, w, bias, y);
  }
  conv2d_forward_im2col(context, g, x, w, bias, y);
}

template <class T>
void conv2d_backward_data(CudaContext& context, const Conv2dGeometry& g, const T* dy, const T* w,
                          T* dx, Conv2dAlgorithm algorithm) {
  algorithm = choose<T>(context, g, algorithm, "conv2d_backward_data");
  if (g.groups > 1)
    return for_groups(g, [&](const Conv2dGeometry& one, auto c, auto k, auto weight) {
      conv2d_backward_data(context, one, dy + k, w + weight, dx + c, algorithm);
    });
  const Windows& win = g.windows;
  if (empty(g))
    return fill<T>(context, "conv2d_backward_data", win.n * win.h * win.w, g.c, g.x_step(), nullptr,
                   dx);
  const ProfileScope scope(context, "conv2d_backward_data", conv2d_work(g, sizeof(T), sizeof(T)),
                           name_of(algorithm));
  if constexpr (on_tensor_cores<T>) {
    if (algorithm == Conv2dAlgorithm::cudnn)
      return conv2d_backward_data_cudnn(context, g, dy, w, dx);
    if (algorithm == Conv2dAlgorithm::implicit_gemm)
      return conv2d_backward_data_implicit_gemm(context, g, dy, w, dx);
  }
  conv2d_backward_data_im2col(context, g, dy, w, dx);
}

template <class T>
void conv2d_backward_weight(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* dy,
                            wide_t<T>* dw, Conv2dAlgorithm algorithm) {
  algorithm = choose<T>(context, g, algorithm, "conv2d_backward_weight");
  if (g.groups > 1)
    return for_groups(g, [&](const Conv2dGeometry& one, auto c, auto k, auto weight) {
      conv2d_backward_weight(context, one, x + c, dy + k, dw + weight, algorithm);
    });
  const Windows& win = g.windows;
  if (empty(g))
    return fill<wide_t<T>>(context, "conv2d_backward_weight", g.k, win.r * win.s * g.c,
                           win.r * win.s * g.c, nullptr, dw);
  const ProfileScope scope(context, "conv2d_backward_weight",
                           conv2d_work(g, sizeof(T), sizeof(wide_t<T>)), name_of(algorithm));
  if constexpr (on_tensor_cores<T>) {
    if (algorithm == Conv2dAlgorithm::cudnn)
      return conv2d_backward_weight_cudnn(context, g, x, dy, dw);
    if (algorithm == Conv2dAlgorithm::implicit_gemm)
      return conv2d_backward_weight_implicit_gemm(context, g, x, dy, dw);
  }
  conv2d_backward_weight_im2col(context, g, x, dy, dw);
}

#define SHATTER_INSTANTIATE(T)                                                                    \
  template void conv2d_forward(CudaContext&, const Conv2dGeometry&, const T*, const T*,           \
                               const wide_t<T>*, T*, Conv2dAlgorithm);                            \
  template void conv2d_backward_data(CudaContext&, const Conv2dGeometry&, const T*, const T*, T*, \
                                     Conv2dAlgorithm);                                            \
  template void conv2d_backward_weight(CudaContext&, const Conv2dGeometry&, const T*, const T*,   \
                                       wide_t<T>*, Conv2dAlgorithm);
SHATTER_INSTANTIATE(float)
SHATTER_INSTANTIATE(double)
SHATTER_INSTANTIATE(bfloat16)
#undef SHATTER_INSTANTIATE

}  // namespace shatter::kernels
