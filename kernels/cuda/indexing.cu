// Copies between strided places, and elements taken by index: one thread for each element, or for
// each column that is summed into.
#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/indexing_math.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T>
__global__ void copy_all(StridedGeometry g, std::int64_t n, const T* x, T* y) {
  const std::int64_t i = thread_index();
  if (i < n) copy_strided_element(g, i, x, y);
}

template <class T>
__global__ void gather_all(GatherGeometry g, std::int64_t n, const T* x, const std::int64_t* index,
                           T* y) {
  const std::int64_t k = thread_index();
  if (k < n) gather_element(g, k, x, index, y);
}

template <class T>
__global__ void scatter_all(GatherGeometry g, std::int64_t columns, const T* y,
                            const std::int64_t* index, T* x) {
  const std::int64_t column = thread_index();
  if (column < columns) scatter_column(g, column, y, index, x);
}

}  // namespace

template <class T>
void copy_strided(CudaContext& context, const StridedGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "copy_strided", elementwise_work<T>(g.size(), 0, 2));
  if (g.size() > 0)
    launch(context, "copy_strided", one_thread_each(g.size()), copy_all<T>, g, g.size(), x, y);
}

template <class T>
void gather(CudaContext& context, const GatherGeometry& g, const T* x, const std::int64_t* index,
            T* y) {
  const std::int64_t n = g.outer * g.count * g.inner;
  const ProfileScope scope(context, "gather", elementwise_work<T>(n, 0, 2));
  if (n > 0) launch(context, "gather", one_thread_each(n), gather_all<T>, g, n, x, index, y);
}

template <class T>
void scatter_add(CudaContext& context, const GatherGeometry& g, const T* y,
                 const std::int64_t* index, T* x) {
  const std::int64_t columns = g.outer * g.inner;
  const ProfileScope scope(context, "scatter_add", elementwise_work<T>(columns * g.count, 1, 3));
  if (columns > 0)
    launch(context, "scatter_add", one_thread_each(columns), scatter_all<T>, g, columns, y, index,
           x);
}

template void copy_strided(CudaContext&, const StridedGeometry&, const float*, float*);
template void copy_strided(CudaContext&, const StridedGeometry&, const double*, double*);
template void copy_strided(CudaContext&, const StridedGeometry&, const bfloat16*, bfloat16*);
template void copy_strided(CudaContext&, const StridedGeometry&, const std::uint8_t*,
                           std::uint8_t*);
template void copy_strided(CudaContext&, const StridedGeometry&, const std::int32_t*,
                           std::int32_t*);
template void copy_strided(CudaContext&, const StridedGeometry&, const std::int64_t*,
                           std::int64_t*);
template void gather(CudaContext&, const GatherGeometry&, const float*, const std::int64_t*,
                     float*);
template void gather(CudaContext&, const GatherGeometry&, const double*, const std::int64_t*,
                     double*);
template void gather(CudaContext&, const GatherGeometry&, const bfloat16*, const std::int64_t*,
                     bfloat16*);
template void gather(CudaContext&, const GatherGeometry&, const std::uint8_t*, const std::int64_t*,
                     std::uint8_t*);
template void gather(CudaContext&, const GatherGeometry&, const std::int32_t*, const std::int64_t*,
                     std::int32_t*);
template void gather(CudaContext&, const GatherGeometry&, const std::int64_t*, const std::int64_t*,
                     std::int64_t*);
template void scatter_add(CudaContext&, const GatherGeometry&, const float*, const std::int64_t*,
                          float*);
template void scatter_add(CudaContext&, const GatherGeometry&, const double*, const std::int64_t*,
                          double*);
template void scatter_add(CudaContext&, const GatherGeometry&, const bfloat16*, const std::int64_t*,
                          bfloat16*);

}  // namespace shatter::kernels
