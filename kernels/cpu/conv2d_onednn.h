// Convolution by oneDNN, float and bfloat16; the caller has dealt with empty problems.
#pragma once

#include <shatter/kernels/conv2d.h>

namespace shatter::kernels {

template <class T>
void conv2d_forward_onednn(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                           const float* bias, T* y);
template <class T>
void conv2d_backward_data_onednn(CpuContext& context, const Conv2dGeometry& g, const T* dy,
                                 const T* w, T* dx);
template <class T>
void conv2d_backward_weight_onednn(CpuContext& context, const Conv2dGeometry& g, const T* x,
                                   const T* dy, float* dw);

}  // namespace shatter::kernels
