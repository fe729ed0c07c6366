// What one element of each indexing kernel is, the same on every backend.
#pragma once

#include <limits>
#include <type_traits>

#include <shatter/kernels/indexing.h>

namespace shatter::kernels {

/// Copies element number `i` of the block, in row-major order.
template <class T>
constexpr void copy_strided_element(const StridedGeometry& g, std::int64_t i, const T* x, T* y) {
  std::int64_t from = 0, to = 0;
  for (int d = StridedGeometry::rank - 1; d >= 0; --d) {
    const auto at = static_cast<std::size_t>(d);
    const std::int64_t place = i % g.shape[at];
    i /= g.shape[at];
    from += place * g.x_step[at];
    to += place * g.y_step[at];
  }
  y[to] = x[from];
}

/// The index of element number `k` of y.
constexpr std::int64_t index_at(const GatherGeometry& g, std::int64_t k,
                                const std::int64_t* index) {
  return index[g.each ? k : k / g.inner % g.count];
}

template <class T>
constexpr void gather_element(const GatherGeometry& g, std::int64_t k, const T* x,
                              const std::int64_t* index, T* y) {
  const std::int64_t a = index_at(g, k, index);
  if (a >= 0 && a < g.extent)
    y[k] = x[(k / (g.count * g.inner) * g.extent + a) * g.inner + k % g.inner];
  else if constexpr (std::is_integral_v<T>)
    y[k] = T(0);
  else
    y[k] = T(std::numeric_limits<wide_t<T>>::quiet_NaN());
}

/// All of x[o, :, i], column = o * inner + i. Sums of bfloat16 are rounded at every addition.
template <class T>
constexpr void scatter_column(const GatherGeometry& g, std::int64_t column, const T* y,
                              const std::int64_t* index, T* x) {
  const std::int64_t o = column / g.inner, i = column % g.inner;
  for (std::int64_t a = 0; a < g.extent; ++a) x[(o * g.extent + a) * g.inner + i] = T(0);
  for (std::int64_t j = 0; j < g.count; ++j) {
    const std::int64_t k = (o * g.count + j) * g.inner + i, a = index_at(g, k, index);
    if (a < 0 || a >= g.extent) continue;
    T& sum = x[(o * g.extent + a) * g.inner + i];
    sum = T(wide_t<T>(sum) + wide_t<T>(y[k]));
  }
}

}  // namespace shatter::kernels
