// The Gaussian kernel matrix K[i, j] = exp(-|a_i - b_j|^2 / (2 sigma^2)) of points a [m, d] and
// b [n, d], from their squared norms and the matrix product a b^T.
#pragma once

#include <shatter/kernels/context.h>

namespace shatter::kernels {

/// norms[i] = |x_i|^2 for the packed rows of x [rows, columns], added up in double in an order
/// fixed by the shape. T: float, double.
template <class T>
void row_squared_norms(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                       T* norms);
template <class T>
void row_squared_norms(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                       T* norms);

struct GaussianKernelGeometry {
  std::int64_t m = 0, n = 0;
  double sigma = 1;          ///< above 0
  bool same_points = false;  ///< a is b, m == n: the diagonal becomes exactly 1
};

/// Overwrites k [m, n], which holds the products a_i . b_j, with K. The squared distance is
/// |a_i|^2 + |b_j|^2 - 2 a_i . b_j, with the roundings of these terms; below 0 it counts as 0.
/// T: float, double.
template <class T>
void gaussian_kernel(CpuContext& context, const GaussianKernelGeometry& g, const T* a_norms,
                     const T* b_norms, T* k);
template <class T>
void gaussian_kernel(CudaContext& context, const GaussianKernelGeometry& g, const T* a_norms,
                     const T* b_norms, T* k);

}  // namespace shatter::kernels
