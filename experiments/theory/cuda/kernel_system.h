// Kernel systems on a GPU (kernel_system.h chooses them): the square matrix in float32 and panels
// of it in double, products by cuBLAS, factors by cuSOLVER. Only in builds with CUDA.
#pragma once

#include <shatter/experiments/theory/kernel_system.h>

namespace shatter::experiments {

/// Rows of a matrix that are in double at once; changes nothing but roundings.
constexpr std::int64_t default_panel = 1024;

/// GPU memory: 4 n^2 bytes for the factor, 8 n d for the points, and panels.
std::unique_ptr<GaussianSystem> cuda_gaussian_system(Device device, const Features& points,
                                                     double gamma,
                                                     std::int64_t panel = default_panel);

/// GPU memory: 4 (2 n^2 + m n) bytes, the images, and features of a block of filters. Products of
/// features are float32's, never TF32's.
std::unique_ptr<ConvnetSystem> cuda_convnet_system(Device device, const data::Dataset& train,
                                                   const data::Dataset& test,
                                                   const RandomConvnet& net,
                                                   const std::function<bool(double)>& each,
                                                   std::int64_t panel = default_panel);

}  // namespace shatter::experiments
