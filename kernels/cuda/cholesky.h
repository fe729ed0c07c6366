// Cholesky factors of dense matrices on CUDA, in float32, by cuSOLVER. On the CPU large systems are
// factored in half the memory (experiments/linear_algebra/cholesky.h).
#pragma once

#include <shatter/kernels/cuda/context.h>

namespace shatter::kernels {

/// Overwrites the lower triangle of the symmetric a [n, n], row-major and packed, with L,
/// a = L L^T; what lies above the diagonal is lost. Returns -1, or the first row whose leading
/// minor is not positive definite; a is then undefined. Needs a workspace beside a. Waits for the
/// device. Throws (device) where libcusolver is not found.
std::int64_t cholesky(CudaContext& context, std::int64_t n, float* a);

/// Overwrites each row of b [columns, n], packed, a right-hand side, with the solution x of
/// L L^T x = b, for what cholesky() left in l.
void cholesky_solve(CudaContext& context, std::int64_t n, std::int64_t columns, const float* l,
                    float* b);

}  // namespace shatter::kernels
