// A matrix product on the calling thread, the building block of matmul and im2col.
#pragma once

#include <cstdint>

#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// c [m, n] = alpha * op(a) op(b) + beta * c, row-major, leading dimensions given. m, n, k >= 1;
/// c is not read when beta == 0. float: oneDNN; double: Eigen; bfloat16, summed in float: oneDNN
/// where the machine multiplies it, else as float.
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
          float beta, float* c, std::int64_t ldc);
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          double alpha, const double* a, std::int64_t lda, const double* b, std::int64_t ldb,
          double beta, double* c, std::int64_t ldc);
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          float alpha, const bfloat16* a, std::int64_t lda, const bfloat16* b, std::int64_t ldb,
          float beta, float* c, std::int64_t ldc);

}  // namespace shatter::kernels
