// The algorithms behind conv2d on CUDA, one function for each direction; conv2d.cu chooses. Same
// parameters and meaning as in kernels/conv2d.h. None is called with an empty geometry: images,
// channels, filters and output pixels are all at least 1.
#pragma once

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cuda/context.h>

namespace shatter::kernels {

/// T: float (operands rounded to TF32), bfloat16.
template <class T>
void conv2d_forward_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                  const T* w, const wide_t<T>* bias, T* y);
template <class T>
void conv2d_backward_data_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                        const T* w, T* dx);
template <class T>
void conv2d_backward_weight_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                          const T* dy, wide_t<T>* dw);

/// T: float, double, bfloat16.
template <class T>
void conv2d_forward_im2col(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                           const wide_t<T>* bias, T* y);
template <class T>
void conv2d_backward_data_im2col(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                 const T* w, T* dx);
template <class T>
void conv2d_backward_weight_im2col(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                   const T* dy, wide_t<T>* dw);

/// Whether the build has cuDNN. Without it the functions below throw.
bool has_cudnn();

/// T: float (with TF32 only if context.tf32()), bfloat16.
template <class T>
void conv2d_forward_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                          const wide_t<T>* bias, T* y);
template <class T>
void conv2d_backward_data_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                const T* w, T* dx);
template <class T>
void conv2d_backward_weight_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                  const T* dy, wide_t<T>* dw);

}  // namespace shatter::kernels
