// 2-D convolution (cross-correlation, as in deep learning). Images NHWC, weights KRSC.
// y[n,p,q,k] = bias[k] + sum_{r,s,c} x[n, p*stride_h - top + r*dilation_h,
// q*stride_w - left + s*dilation_w, c] w[k,r,s,c] with x = 0 outside the image; with groups, c runs
// over the channels of k's group. Forward, data gradient and weight gradient are kernels
// of their own.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// How a convolution is computed. im2col: patches gathered, then a matrix product. implicit_gemm:
/// the same product on tensor cores, its patches never stored. winograd: minimal filtering
/// F(4x4, 3x3), a quarter of the multiplications for several times the rounding error (Lavin and
/// Gray, arXiv:1509.09308). The CPU has onednn (float, and bfloat16 where it
/// multiplies that), winograd (float, 3x3 windows at stride 1) and im2col; CUDA has im2col,
/// implicit_gemm (float, bfloat16, no dilation) and, built with it, cudnn (float, bfloat16). Groups
/// are one convolution each, but for onednn, which takes them at once. float takes its
/// operands as TF32 only where context.tf32(); implicit_gemm always does. automatic: on the CPU
/// onednn, or without it (or where it is wrong in bfloat16) im2col, but in float winograd where
/// context.winograd() and there are at least 16 channels and filters; on CUDA cudnn, or without it
/// implicit_gemm in bfloat16 (dilated: im2col), and im2col in float and double.
enum class Conv2dAlgorithm { automatic, onednn, winograd, im2col, cudnn, implicit_gemm };

enum class Conv2dDirection { forward, backward_data, backward_weight };

constexpr const char* name_of(Conv2dAlgorithm algorithm) {
  switch (algorithm) {
    case Conv2dAlgorithm::automatic: return "automatic";
    case Conv2dAlgorithm::onednn: return "onednn";
    case Conv2dAlgorithm::winograd: return "winograd";
    case Conv2dAlgorithm::im2col: return "im2col";
    case Conv2dAlgorithm::cudnn: return "cudnn";
    case Conv2dAlgorithm::implicit_gemm: return "implicit_gemm";
  }
  return "?";
}

/// Whether winograd can be had for these windows: 3x3 at stride 1, not dilated.
constexpr bool winograd_fits(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  return win.r == 3 && win.s == 3 && win.stride_h == 1 && win.stride_w == 1 && !win.is_dilated();
}

/// Calls run(geometry of one group, its first channel, its first filter, its first weight).
template <class Run>
void for_groups(const Conv2dGeometry& g, Run run) {
  const Conv2dGeometry one = g.group();
  for (std::int64_t i = 0; i < g.groups; ++i) run(one, i * one.c, i * one.k, i * one.weights());
}

/// Overwrites y. bias [k] may be null. T: float, double, bfloat16. Throws Error for an
/// algorithm that the context does not have for T or these windows.
template <class T>
void conv2d_forward(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y,
                    Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic);
template <class T>
void conv2d_forward(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y,
                    Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic);

/// dx[n,h,w,c] = sum of dy * w over the windows that cover the pixel. Overwrites dx.
template <class T>
void conv2d_backward_data(CpuContext& context, const Conv2dGeometry& g, const T* dy, const T* w,
                          T* dx, Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic);
template <class T>
void conv2d_backward_data(CudaContext& context, const Conv2dGeometry& g, const T* dy, const T* w,
                          T* dx, Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic);

/// dw[k,r,s,c] = sum over images and windows of dy * x, added in an order fixed by the shape.
/// Overwrites dw. The bias gradient is reduce_rows(dy). cudnn rounds the dw of bfloat16 to
/// bfloat16.
template <class T>
void conv2d_backward_weight(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* dy,
                            wide_t<T>* dw, Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic);
template <class T>
void conv2d_backward_weight(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* dy,
                            wide_t<T>* dw, Conv2dAlgorithm algorithm = Conv2dAlgorithm::automatic);

}  // namespace shatter::kernels
