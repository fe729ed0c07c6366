// Cholesky factorisation in place of a large symmetric matrix, in float32 on all threads.
#pragma once

#include <functional>
#include <optional>

#include <shatter/experiments/linear_algebra/packed_matrix.h>
#include <shatter/kernels/context.h>

namespace shatter::experiments {

/// How a factorisation ended.
struct Cholesky {
  bool stopped = false;      ///< `stop` said so; the matrix is then neither itself nor its factor
  std::int64_t failed = -1;  ///< the row whose pivot was not above 0; -1: none
  double failed_pivot = 0;   ///< NaN where the solver does not tell
  double min_pivot = 0;      ///< the least squared diagonal element of the factor
};

/// Called after each block column; true ends the factorisation there.
using StopAfterColumn = std::function<bool(std::int64_t done, std::int64_t columns)>;

/// Overwrites a with L, a = L L^T: n^3 / 3 operations. A pivot that is not above 0 (or NaN) ends it
/// with `failed` set. The same bits on any number of threads.
Cholesky cholesky(CpuContext& context, PackedLower& a, const StopAfterColumn& stop = {});

/// b [n, columns] = (L L^T)^-1 b. The sums along a block are in float, those across blocks follow
/// the order of the blocks.
void cholesky_solve(CpuContext& context, const PackedLower& l, std::int64_t columns, float* b);

}  // namespace shatter::experiments
