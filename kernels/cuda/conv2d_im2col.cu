// Convolution by im2col: patches [pixels, r * s * c] of some images at a time, then a matrix
// product. Sums are kept in wide_t<T> to the end.
#include <algorithm>

#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/matmul.h>

namespace shatter::kernels {
namespace {

constexpr std::int64_t patch_elements = std::int64_t{1} << 26;  // held at once

std::int64_t output_size(const Conv2dGeometry& g) {
  return g.windows.out_h() * g.windows.out_w();
}
std::int64_t patch_size(const Conv2dGeometry& g) {
  return g.windows.r * g.windows.s * g.c;
}

// A 1x1 window that visits every pixel: the image is its own patches.
bool patches_are_pixels(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  return win.r == 1 && win.s == 1 && win.stride_h == 1 && win.stride_w == 1 &&
         win.padding == Padding{};
}

// Calls run(first image, number of images) for groups of images whose patches fit.
template <class Run>
void for_images(const Conv2dGeometry& g, Run run) {
  const std::int64_t n = g.windows.n;
  const std::int64_t group =
      std::clamp<std::int64_t>(patch_elements / (output_size(g) * patch_size(g)), 1, n);
  for (std::int64_t first = 0; first < n; first += group) run(first, std::min(group, n - first));
}

// One thread for each element of the patches of `images` images.
template <class T>
__global__ void gather_patches(Conv2dGeometry g, std::int64_t images, const T* x, T* patches) {
  const Windows& win = g.windows;
  const std::int64_t i = thread_index();
  const std::int64_t c = i % g.c, tap = i / g.c % (win.r * win.s);
  const std::int64_t place = i / (g.c * win.r * win.s);
  const std::int64_t q = place % win.out_w(), p = place / win.out_w() % win.out_h();
  const std::int64_t n = place / (win.out_w() * win.out_h());
  if (n >= images) return;
  const std::int64_t h = p * win.stride_h - win.padding.top + tap / win.s * win.dilation_h;
  const std::int64_t v = q * win.stride_w - win.padding.left + tap % win.s * win.dilation_w;
  const bool inside = h >= 0 && h < win.h && v >= 0 && v < win.w;
  patches[i] = inside ? x[((n * win.h + h) * win.w + v) * g.x_step() + c] : T(0);
}

// One thread for each channel of each pixel of dx: adds its places in the patches, taps rising.
template <class T>
__global__ void add_patches(Conv2dGeometry g, std::int64_t images, const wide_t<T>* patches,
                            T* dx) {
  const Windows& win = g.windows;
  const std::int64_t i = thread_index();
  const std::int64_t c = i % g.c, pixel = i / g.c;
  const std::int64_t v = pixel % win.w, h = pixel / win.w % win.h, n = pixel / (win.w * win.h);
  if (n >= images) return;
  wide_t<T> sum = 0;
  for (std::int64_t r = 0; r < win.r; ++r)
    for (std::int64_t s = 0; s < win.s; ++s) {
      const std::int64_t from_h = h + win.padding.top - r * win.dilation_h;
      const std::int64_t from_w = v + win.padding.left - s * win.dilation_w;
      if (from_h < 0 || from_w < 0 || from_h % win.stride_h || from_w % win.stride_w) continue;
      const std::int64_t p = from_h / win.stride_h, q = from_w / win.stride_w;
      if (p >= win.out_h() || q >= win.out_w()) continue;
      sum += patches[(((n * win.out_h() + p) * win.out_w() + q) * win.r * win.s + r * win.s + s) *
                         g.c +
                     c];
    }
  dx[pixel * g.x_step() + c] = T(sum);
}

// y [rows, columns] = sums + bias (may be null), sums packed or y itself.
template <class T>
__global__ void add_bias_to_sums(std::int64_t rows, std::int64_t columns, std::int64_t sums_step,
                                 const wide_t<T>* sums, const wide_t<T>* bias, std::int64_t step,
                                 T* y) {
  const std::int64_t i = thread_index();
  const std::int64_t row = i / columns, column = i % columns;
  if (row >= rows) return;
  y[row * step + column] = T(sums[row * sums_step + column] + (bias ? bias[column] : wide_t<T>(0)));
}

// The patches of images: gathered into `memory` unless x holds them already.
template <class T>
struct Patches {
  const T* data;
  std::int64_t step;
};

template <class T>
Patches<T> patches_of(CudaContext& context, const Conv2dGeometry& g, std::int64_t first,
                      std::int64_t images, const T* x, T* memory) {
  const T* const from = x + first * g.windows.h * g.windows.w * g.x_step();
  if (patches_are_pixels(g)) return {from, g.x_step()};
  launch(context, "conv2d_gather_patches", one_thread_each(images * output_size(g) * patch_size(g)),
         gather_patches<T>, g, images, from, memory);
  return {memory, patch_size(g)};
}

std::int64_t patches_needed(const Conv2dGeometry& g) {
  if (patches_are_pixels(g)) return 0;
  const std::int64_t image = output_size(g) * patch_size(g);
  return std::min(g.windows.n, std::max<std::int64_t>(patch_elements / image, 1)) * image;
}

}  // namespace

template <class T>
void conv2d_forward_im2col(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                           const wide_t<T>* bias, T* y) {
  constexpr bool direct = std::is_same_v<T, wide_t<T>>;  // products can be summed in y
  const CudaWorkspace<T> memory(context, patches_needed(g));
  for_images(g, [&](std::int64_t first, std::int64_t images) {
    const Patches<T> patches = patches_of(context, g, first, images, x, memory.data());
    const std::int64_t rows = images * output_size(g);
    T* const to = y + first * output_size(g) * g.y_step();
    const CudaWorkspace<wide_t<T>> apart(context, direct ? 0 : rows * g.k);
    wide_t<T>* sums = apart.data();
    if constexpr (direct) sums = to;
    const std::int64_t step = direct ? g.y_step() : g.k;
    const MatmulGeometry product{.m = rows,
                                 .n = g.k,
                                 .k = patch_size(g),
                                 .transpose_b = true,
                                 .lda = patches.step,
                                 .ldc = step};
    matmul(context, product, wide_t<T>(1), patches.data, w, wide_t<T>(0), sums);
    if (bias || !direct)
      launch(context, "conv2d_add_bias", one_thread_each(rows * g.k), add_bias_to_sums<T>, rows,
             g.k, step, sums, bias, g.y_step(), to);
  });
}

template <class T>
void conv2d_backward_data_im2col(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                 const T* w, T* dx) {
  const Windows& win = g.windows;
  for_images(g, [&](std::int64_t first, std::int64_t images) {
    const std::int64_t rows = images * output_size(g);
    const CudaWorkspace<wide_t<T>> patches(context, rows * patch_size(g));
    const MatmulGeometry product{.m = rows, .n = patch_size(g), .k = g.k, .lda = g.y_step()};
    matmul(context, product, wide_t<T>(1), dy + first * output_size(g) * g.y_step(), w,
           wide_t<T>(0), patches.data());
    launch(context, "conv2d_add_patches", one_thread_each(images * win.h * win.w * g.c),
           add_patches<T>, g, images, patches.data(), dx + first * win.h * win.w * g.x_step());
  });
}

template <class T>
void conv2d_backward_weight_im2col(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                   const T* dy, wide_t<T>* dw) {
  const CudaWorkspace<T> memory(context, patches_needed(g));
  for_images(g, [&](std::int64_t first, std::int64_t images) {
    const Patches<T> patches = patches_of(context, g, first, images, x, memory.data());
    const MatmulGeometry product{.m = g.k,
                                 .n = patch_size(g),
                                 .k = images * output_size(g),
                                 .transpose_a = true,
                                 .lda = g.y_step(),
                                 .ldb = patches.step};
    matmul(context, product, wide_t<T>(1), dy + first * output_size(g) * g.y_step(), patches.data,
           wide_t<T>(first == 0 ? 0 : 1), dw);
  });
}

#define SHATTER_INSTANTIATE(T)                                                                 \
  template void conv2d_forward_im2col(CudaContext&, const Conv2dGeometry&, const T*, const T*, \
                                      const wide_t<T>*, T*);                                   \
  template void conv2d_backward_data_im2col(CudaContext&, const Conv2dGeometry&, const T*,     \
                                            const T*, T*);                                     \
  template void conv2d_backward_weight_im2col(CudaContext&, const Conv2dGeometry&, const T*,   \
                                              const T*, wide_t<T>*);
SHATTER_INSTANTIATE(float)
SHATTER_INSTANTIATE(double)
SHATTER_INSTANTIATE(bfloat16)
#undef SHATTER_INSTANTIATE

}  // namespace shatter::kernels
