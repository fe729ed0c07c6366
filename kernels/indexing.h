// Copies between strided places, and elements taken by index.
#pragma once

#include <array>

#include <shatter/kernels/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// A block of `shape` elements in two places; a step is the distance in elements between neighbours
/// along that dimension there. Unused leading dimensions have size 1.
struct StridedGeometry {
  static constexpr int rank = 6;
  std::array<std::int64_t, rank> shape{1, 1, 1, 1, 1, 1};
  std::array<std::int64_t, rank> x_step{}, y_step{};

  constexpr std::int64_t size() const {
    std::int64_t n = 1;
    for (const std::int64_t d : shape) n *= d;
    return n;
  }
};

/// y = x, element by element of the block. No two elements may share a place in y. T: any.
template <class T>
void copy_strided(CpuContext& context, const StridedGeometry& g, const T* x, T* y);
template <class T>
void copy_strided(CudaContext& context, const StridedGeometry& g, const T* x, T* y);

/// x [outer, extent, inner], y [outer, count, inner]; index [count], or with `each` one index for
/// each element of y. All packed.
struct GatherGeometry {
  std::int64_t outer = 1, extent = 1, count = 1, inner = 1;
  bool each = false;
};

/// y[o, j, i] = x[o, index, i]; where the index lies outside [0, extent): NaN, for integers 0.
/// T: any.
template <class T>
void gather(CpuContext& context, const GatherGeometry& g, const T* x, const std::int64_t* index,
            T* y);
template <class T>
void gather(CudaContext& context, const GatherGeometry& g, const T* x, const std::int64_t* index,
            T* y);

/// x[o, a, i] = the sum of the y[o, j, i] whose index is a, in the order of j: the gradient of
/// gather. An index outside adds to nothing. Overwrites x. T: float, double, bfloat16.
template <class T>
void scatter_add(CpuContext& context, const GatherGeometry& g, const T* y,
                 const std::int64_t* index, T* x);
template <class T>
void scatter_add(CudaContext& context, const GatherGeometry& g, const T* y,
                 const std::int64_t* index, T* x);

}  // namespace shatter::kernels
