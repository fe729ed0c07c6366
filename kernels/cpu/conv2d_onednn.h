// Convolution by oneDNN, float only; the caller has dealt with empty problems.
#pragma once

#include <shatter/kernels/conv2d.h>

namespace shatter::kernels {

void conv2d_forward_onednn(CpuContext& context, const Conv2dGeometry& g, const float* x,
                           const float* w, const float* bias, float* y);
void conv2d_backward_data_onednn(CpuContext& context, const Conv2dGeometry& g, const float* dy,
                                 const float* w, float* dx);
void conv2d_backward_weight_onednn(CpuContext& context, const Conv2dGeometry& g, const float* x,
                                   const float* dy, float* dw);

}  // namespace shatter::kernels
