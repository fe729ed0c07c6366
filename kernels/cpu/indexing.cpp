// Copies between strided places, and elements taken by index.
#include <shatter/kernels/indexing_math.h>
#include <shatter/kernels/work.h>

#include "workspace.h"

namespace shatter::kernels {
namespace {

// Calls body(i) for every i below n.
template <class Body>
void for_each_index(CpuContext& context, std::int64_t n, std::int64_t cost, Body body) {
  if (n <= 0) return;
  context.parallel_for(n, rows_per_chunk(cost), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace

template <class T>
void copy_strided(CpuContext& context, const StridedGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "copy_strided", elementwise_work<T>(g.size(), 0, 2));
  for_each_index(context, g.size(), 1, [=](std::int64_t i) { copy_strided_element(g, i, x, y); });
}

template <class T>
void gather(CpuContext& context, const GatherGeometry& g, const T* x, const std::int64_t* index,
            T* y) {
  const std::int64_t n = g.outer * g.count * g.inner;
  const ProfileScope scope(context, "gather", elementwise_work<T>(n, 0, 2));
  for_each_index(context, n, 1, [=](std::int64_t k) { gather_element(g, k, x, index, y); });
}

template <class T>
void scatter_add(CpuContext& context, const GatherGeometry& g, const T* y,
                 const std::int64_t* index, T* x) {
  const ProfileScope scope(context, "scatter_add",
                           elementwise_work<T>(g.outer * g.count * g.inner, 1, 3));
  for_each_index(context, g.outer * g.inner, g.extent + g.count,
                 [=](std::int64_t column) { scatter_column(g, column, y, index, x); });
}

template void copy_strided(CpuContext&, const StridedGeometry&, const float*, float*);
template void copy_strided(CpuContext&, const StridedGeometry&, const double*, double*);
template void copy_strided(CpuContext&, const StridedGeometry&, const bfloat16*, bfloat16*);
template void copy_strided(CpuContext&, const StridedGeometry&, const std::uint8_t*, std::uint8_t*);
template void copy_strided(CpuContext&, const StridedGeometry&, const std::int32_t*, std::int32_t*);
template void copy_strided(CpuContext&, const StridedGeometry&, const std::int64_t*, std::int64_t*);
template void gather(CpuContext&, const GatherGeometry&, const float*, const std::int64_t*, float*);
template void gather(CpuContext&, const GatherGeometry&, const double*, const std::int64_t*,
                     double*);
template void gather(CpuContext&, const GatherGeometry&, const bfloat16*, const std::int64_t*,
                     bfloat16*);
template void gather(CpuContext&, const GatherGeometry&, const std::uint8_t*, const std::int64_t*,
                     std::uint8_t*);
template void gather(CpuContext&, const GatherGeometry&, const std::int32_t*, const std::int64_t*,
                     std::int32_t*);
template void gather(CpuContext&, const GatherGeometry&, const std::int64_t*, const std::int64_t*,
                     std::int64_t*);
template void scatter_add(CpuContext&, const GatherGeometry&, const float*, const std::int64_t*,
                          float*);
template void scatter_add(CpuContext&, const GatherGeometry&, const double*, const std::int64_t*,
                          double*);
template void scatter_add(CpuContext&, const GatherGeometry&, const bfloat16*, const std::int64_t*,
                          bfloat16*);

}  // namespace shatter::kernels
