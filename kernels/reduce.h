// Reductions, added in an order fixed by the shape.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

enum class ReduceOp { sum, maximum };

/// x [outer, reduced, inner] -> y [outer, inner].
struct ReduceGeometry {
  std::int64_t outer = 1, reduced = 1, inner = 1;
};

/// Overwrites y. The sum of nothing is 0, the maximum of nothing the lowest value, -inf; maximum
/// keeps NaN. Sums of float accumulate in double. T: float, double, bfloat16, int64.
template <class T>
void reduce(CpuContext& context, ReduceOp op, const ReduceGeometry& g, const T* x, T* y);
template <class T>
void reduce(CudaContext& context, ReduceOp op, const ReduceGeometry& g, const T* x, T* y);

/// y [columns] = the sum over rows of x, rows x_step elements apart: the bias gradient of a linear
/// or convolution layer. Accumulates in double. T: float, double, bfloat16.
template <class T>
void reduce_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t x_step, wide_t<T>* y);
template <class T>
void reduce_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t x_step, wide_t<T>* y);

/// y [outer, reduced, inner] = the sums of x over the places up to each, with `reverse` from it on.
/// In place allowed. Adds one after the other, floating types in double. T: float, double, int64.
template <class T>
void cumulate(CpuContext& context, const ReduceGeometry& g, bool reverse, const T* x, T* y);
template <class T>
void cumulate(CudaContext& context, const ReduceGeometry& g, bool reverse, const T* x, T* y);

/// index[row] = the column of the row's largest value, the first one on ties. columns >= 1.
/// T: float, double, bfloat16, int64.
template <class T>
void argmax_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t* index);
template <class T>
void argmax_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t* index);

}  // namespace shatter::kernels
