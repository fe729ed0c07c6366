// Max and average pooling. Images NHWC. Global average pooling is a window as large as the image.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/geometry.h>

namespace shatter::kernels {

/// y = the largest value of each window (padding never wins; NaN does), the first one in row-major
/// order on ties. index[n,p,q,c] (packed) receives its place r * S + s in the window. A window that
/// holds padding only is refused by the op. Overwrites y and index. T, here and below: float,
/// double, bfloat16.
template <class T>
void max_pool2d_forward(CpuContext& context, const Pool2dGeometry& g, const T* x, T* y,
                        std::uint8_t* index);
template <class T>
void max_pool2d_forward(CudaContext& context, const Pool2dGeometry& g, const T* x, T* y,
                        std::uint8_t* index);

/// dx = the sum of dy over the windows whose largest value the pixel was. Overwrites dx.
template <class T>
void max_pool2d_backward(CpuContext& context, const Pool2dGeometry& g, const T* dy,
                         const std::uint8_t* index, T* dx);
template <class T>
void max_pool2d_backward(CudaContext& context, const Pool2dGeometry& g, const T* dy,
                         const std::uint8_t* index, T* dx);

/// y = the element of x that each window chose, by the places that the forward pass wrote: the
/// gradient of the backward pass. Overwrites y.
template <class T>
void max_pool2d_chosen(CpuContext& context, const Pool2dGeometry& g, const T* x,
                       const std::uint8_t* index, T* y);
template <class T>
void max_pool2d_chosen(CudaContext& context, const Pool2dGeometry& g, const T* x,
                       const std::uint8_t* index, T* y);

/// y = the sum of the window's pixels inside the image over their number, or with g.count_padding
/// over r * s. Overwrites y.
template <class T>
void avg_pool2d_forward(CpuContext& context, const Pool2dGeometry& g, const T* x, T* y);
template <class T>
void avg_pool2d_forward(CudaContext& context, const Pool2dGeometry& g, const T* x, T* y);

/// dx = the sum over covering windows of dy over the number that the window was divided by.
template <class T>
void avg_pool2d_backward(CpuContext& context, const Pool2dGeometry& g, const T* dy, T* dx);
template <class T>
void avg_pool2d_backward(CudaContext& context, const Pool2dGeometry& g, const T* dy, T* dx);

}  // namespace shatter::kernels
