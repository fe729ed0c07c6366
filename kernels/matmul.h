// Matrix products. Matrices are row-major.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// c [m, n] = alpha * op(a) op(b) + beta * c, op(a) [m, k], op(b) [k, n]. With transpose_a, a is
/// stored [k, m]; with transpose_b, b is stored [n, k]. A leading dimension is the distance in
/// elements between stored rows; 0 means packed.
struct MatmulGeometry {
  std::int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
};

/// c is not read when beta == 0. T: float, double, bfloat16, summed in float and
/// rounded once.
template <class T>
void matmul(CpuContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a, const T* b,
            wide_t<T> beta, T* c);
template <class T>
void matmul(CudaContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a, const T* b,
            wide_t<T> beta, T* c);
/// The same with c in float: weight gradients, and sums that go on elsewhere.
void matmul(CpuContext& context, const MatmulGeometry& g, float alpha, const bfloat16* a,
            const bfloat16* b, float beta, float* c);
void matmul(CudaContext& context, const MatmulGeometry& g, float alpha, const bfloat16* a,
            const bfloat16* b, float beta, float* c);

struct LinearGeometry {
  std::int64_t n = 0, in = 0, out = 0;
  bool relu = false;
};

/// The linear layer: y [n, out] = x [n, in] w [out, in]^T + bias [out], then max(0, y) with relu
/// (NaN stays). Packed; bias may be null. T as for matmul, summed in float and rounded once on the
/// CPU; CUDA rounds a bfloat16 product before the bias too.
template <class T>
void linear_forward(CpuContext& context, const LinearGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y);
template <class T>
void linear_forward(CudaContext& context, const LinearGeometry& g, const T* x, const T* w,
                    const wide_t<T>* bias, T* y);

}  // namespace shatter::kernels
