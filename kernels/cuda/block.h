// Results of a whole block, joined in an order that depends on its size alone.
#pragma once

#include <shatter/kernels/cuda/launch.h>

namespace shatter::kernels {

/// The value of the lane whose number differs in the bits of `lanes`. Types of more than one number
/// have their own overload beside them.
template <class A>
__device__ inline A exchange_lanes(A value, int lanes) {
  return __shfl_xor_sync(0xffffffffu, value, lanes);
}

/// The join of every lane's value, in every lane of the warp.
template <class A, class Join>
__device__ inline A join_warp(A value, Join join) {
  for (int lanes = warpSize / 2; lanes > 0; lanes /= 2) {
    const A other = exchange_lanes(value, lanes);
    // The lower lane's value first, so that both sides get the same bits.
    value = threadIdx.x % warpSize & lanes ? join(other, value) : join(value, other);
  }
  return value;
}

/// The join of every thread's value, in every thread of the one-dimensional block, whose size is a
/// multiple of a warp. `start` is what joins without effect.
template <class A, class Join>
__device__ inline A join_block(A value, A start, Join join) {
  __shared__ A of_warp[32];
  value = join_warp(value, join);
  __syncthreads();  // the last call's reads
  if (threadIdx.x % warpSize == 0) of_warp[threadIdx.x / warpSize] = value;
  __syncthreads();
  const unsigned lane = threadIdx.x % warpSize;
  return join_warp(lane < blockDim.x / warpSize ? of_warp[lane] : start, join);
}

/// Joins column[0], column[stride], ... of `rows` shared values into column[0] by threads
/// row = 0 .. rows - 1 of each column, and likewise the `width` - 1 columns behind it. Every thread
/// of the block calls it.
template <int width = 1, class A, class Join>
__device__ inline void join_columns(A* column, int row, int rows, int stride, Join join) {
  while (rows > 1) {
    const int half = (rows + 1) / 2;
    __syncthreads();
    if (row < rows - half)
      for (int k = 0; k < width; ++k)
        column[row * stride + k] =
            join(column[row * stride + k], column[(row + half) * stride + k]);
    rows = half;
  }
}

}  // namespace shatter::kernels
