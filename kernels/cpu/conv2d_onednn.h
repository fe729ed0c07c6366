// Convolution by oneDNN, float and bfloat16; the caller has dealt with empty problems.
#pragma once

#include <shatter/kernels/conv2d.h>

namespace shatter::kernels {

/// Whether every window fits the image and reads some pixel of it: else oneDNN 3.7.2 has given
/// wrong sums and ended in a fault. It has also given wrong sums in forward passes of one input
/// channel and one output column at a horizontal stride above 1, which are left out too.
bool onednn_fits(const Conv2dGeometry& g);

/// Whether oneDNN (seen in 2.6.3) computes this in bfloat16 without a fault. Its weight gradient
/// reads scratch memory that it never wrote, or beyond x, where the image is narrower than the
/// stride; its forward pass on AMX reads outside the image where the stride exceeds 1
/// and the last row of windows lies wholly in the bottom padding.
bool onednn_fits_bfloat16(const Conv2dGeometry& g, Conv2dDirection direction);

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
