// 3x3 convolution by Winograd's minimal filtering, float only; the caller has dealt with empty
// problems.
#pragma once

#include <shatter/kernels/conv2d.h>

namespace shatter::kernels {

/// Whether it can and it pays: below 16 channels on either side the transforms cost more than they
/// save.
bool prefers_winograd(const Conv2dGeometry& g);

void conv2d_forward_winograd(CpuContext& context, const Conv2dGeometry& g, const float* x,
                             const float* w, const float* bias, float* y);
void conv2d_backward_data_winograd(CpuContext& context, const Conv2dGeometry& g, const float* dy,
                                   const float* w, float* dx);
void conv2d_backward_weight_winograd(CpuContext& context, const Conv2dGeometry& g, const float* x,
                                     const float* dy, float* dw);

}  // namespace shatter::kernels
