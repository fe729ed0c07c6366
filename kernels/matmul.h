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

/// y [rows, columns] = x + bias [columns], in place allowed. T: float, double,
/// bfloat16.
template <class T>
void add_bias(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              const wide_t<T>* bias, T* y);
template <class T>
void add_bias(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              const wide_t<T>* bias, T* y);

}  // namespace shatter::kernels
