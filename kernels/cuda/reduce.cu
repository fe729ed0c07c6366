// Sums and maxima along a dimension, column sums, and argmax on CUDA.
#include <limits>
#include <type_traits>

#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/reduce.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T>
struct SumOf {
  using Accumulator = std::conditional_t<std::is_integral_v<T>, T, double>;
  static constexpr Accumulator start = 0;
  __device__ Accumulator operator()(Accumulator a, Accumulator b) const { return Add{}(a, b); }
};

// The least value of a type.
template <class T>
constexpr T lowest() {
  using Limits = std::numeric_limits<T>;
  return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
}

template <class T>
struct MaximumOf {
  using Accumulator = wide_t<T>;
  static constexpr Accumulator start = lowest<Accumulator>();
  __device__ Accumulator operator()(Accumulator a, Accumulator b) const {
    return Exceeds{}(b, a) ? b : a;
  }
};

// x is [outer, reduced, inner], its rows of `inner` elements `step` apart; y is [outer, segments,
// inner]. A block takes blockDim.x neighbouring vectors of columns of blockDim.z segments of
// `length` rows, the lanes blockDim.y taking turns along the rows.
struct Cut {
  std::int64_t outer, reduced, inner, step, segments, length, column_blocks;
};

template <int width, class Op, class T, class Y>
__global__ void reduce_segment(Cut cut, const T* x, Y* y) {
  using A = typename Op::Accumulator;
  __shared__ A shared[width * threads_per_block];
  const std::int64_t block = blockIdx.x / cut.column_blocks;
  const std::int64_t column =
      ((blockIdx.x - block * cut.column_blocks) * blockDim.x + threadIdx.x) * width;
  const std::int64_t part = block * blockDim.z + threadIdx.z;  // o * segments + segment
  const bool inside = column < cut.inner && part < cut.outer * cut.segments;
  const Op join;
  Values<A, width> result;
  for (int k = 0; k < width; ++k) result[k] = Op::start;
  if (inside) {
    const std::int64_t o = part / cut.segments, begin = (part - o * cut.segments) * cut.length;
    const std::int64_t end = std::min(begin + cut.length, cut.reduced), lanes = blockDim.y;
    const T* const in = x + o * cut.reduced * cut.step + column;
    std::int64_t row = begin + threadIdx.y;
    for (; row + 3 * lanes < end; row += 4 * lanes) {  // four loads under way at once
      const auto a = load<width>(in + row * cut.step);
      const auto b = load<width>(in + (row + lanes) * cut.step);
      const auto c = load<width>(in + (row + 2 * lanes) * cut.step);
      const auto d = load<width>(in + (row + 3 * lanes) * cut.step);
      for (int k = 0; k < width; ++k)
        result[k] = join(result[k], join(join(static_cast<A>(a[k]), static_cast<A>(b[k])),
                                         join(static_cast<A>(c[k]), static_cast<A>(d[k]))));
    }
    for (; row < end; row += lanes) {
      const auto a = load<width>(in + row * cut.step);
      for (int k = 0; k < width; ++k) result[k] = join(result[k], static_cast<A>(a[k]));
    }
  }
  const int stride = static_cast<int>(blockDim.x) * width, lanes = static_cast<int>(blockDim.y);
  const int lane = static_cast<int>(threadIdx.y);
  A* const first = shared + (threadIdx.z * blockDim.y * blockDim.x + threadIdx.x) * width;
  for (int k = 0; k < width; ++k) first[lane * stride + k] = result[k];
  join_columns<width>(first, lane, lanes, stride, join);
  if (lane == 0 && inside)
    for (int k = 0; k < width; ++k)
      y[part * cut.inner + column + k] = static_cast<Y>(static_cast<wide_t<Y>>(first[k]));
}

// One launch for `segments` segments of each of `outer` parts.
template <int width, class Op, class T, class Y>
void reduce_once(CudaContext& context, std::int64_t outer, std::int64_t reduced, std::int64_t inner,
                 std::int64_t segments, const T* x, std::int64_t step, Y* y) {
  const std::int64_t length = ceil_div(reduced, segments), vectors = inner / width;
  unsigned columns = 1, lanes = 1;  // neighbours in memory first
  while (columns < 32 && columns < vectors) columns *= 2;
  while (columns * lanes < threads_per_block && lanes < length) lanes *= 2;
  const unsigned parts = std::min(64u, threads_per_block / (columns * lanes));
  const Cut cut{outer, reduced, inner, step, segments, length, ceil_div(vectors, columns)};
  const std::int64_t blocks = ceil_div(outer * segments, parts) * cut.column_blocks;
  launch(context, "reduce", {dim3(static_cast<unsigned>(blocks)), dim3(columns, lanes, parts)},
         reduce_segment<width, Op, T, Y>, cut, x, y);
}

// Where outer and inner alone give too few blocks to keep a GPU busy, the rows are cut into
// segments, whose results are joined by a second launch.
template <int width, class Op, class T, class Y>
void reduce_segments(CudaContext& context, std::int64_t outer, std::int64_t reduced,
                     std::int64_t inner, const T* x, std::int64_t step, Y* y) {
  constexpr std::int64_t busy = 512, vectors_of_block = 2048;
  const std::int64_t vectors = std::max<std::int64_t>(1, inner / width);
  const std::int64_t blocks = std::max<std::int64_t>(1, outer * ceil_div(vectors, 32));
  const std::int64_t rows = ceil_div(vectors_of_block, std::min<std::int64_t>(vectors, 32));
  const std::int64_t segments = std::clamp<std::int64_t>(ceil_div(reduced, rows), 1,
                                                         std::max<std::int64_t>(1, busy / blocks));
  if (segments == 1) return reduce_once<width, Op>(context, outer, reduced, inner, 1, x, step, y);
  const CudaWorkspace<typename Op::Accumulator> partials(context, outer * segments * inner);
  reduce_once<width, Op>(context, outer, reduced, inner, segments, x, step, partials.data());
  reduce_once<1, Op>(context, outer, segments, inner, 1, partials.data(), inner, y);
}

template <class Op, class T, class Y>
void reduce_columns(CudaContext& context, std::int64_t outer, std::int64_t reduced,
                    std::int64_t inner, const T* x, std::int64_t step, Y* y) {
  constexpr int width = vector_width<T>;
  if (multiples<width>(inner, step) && vectors_at<width>(x))
    reduce_segments<width, Op>(context, outer, reduced, inner, x, step, y);
  else
    reduce_segments<1, Op>(context, outer, reduced, inner, x, step, y);
}

// One thread for each line along the dimension.
template <class T>
__global__ void cumulate_line(ReduceGeometry g, bool reverse, const T* x, T* y) {
  using Join = SumOf<T>;
  const std::int64_t line = thread_index();
  if (line >= g.outer * g.inner) return;
  const std::int64_t o = line / g.inner, first = o * g.reduced * g.inner + line - o * g.inner;
  const Join join;
  typename Join::Accumulator sum = 0;
  for (std::int64_t k = 0; k < g.reduced; ++k) {
    const std::int64_t at = first + (reverse ? g.reduced - 1 - k : k) * g.inner;
    sum = join(sum, static_cast<typename Join::Accumulator>(x[at]));
    y[at] = static_cast<T>(sum);
  }
}

// A candidate for a row's largest value.
template <class A>
struct Best {
  A value;
  std::int64_t index;
};
template <class A>
__device__ Best<A> exchange_lanes(const Best<A>& best, int lanes) {
  return {kernels::exchange_lanes(best.value, lanes), kernels::exchange_lanes(best.index, lanes)};
}
struct Better {
  template <class A>
  __device__ Best<A> operator()(const Best<A>& a, const Best<A>& b) const {
    if (Exceeds{}(b.value, a.value)) return b;
    return Exceeds{}(a.value, b.value) || a.index < b.index ? a : b;
  }
};

// One warp for each row.
template <class T>
__global__ void argmax_row(std::int64_t rows, std::int64_t columns, const T* x,
                           std::int64_t* index) {
  using A = wide_t<T>;
  const std::int64_t row = thread_index() / warpSize;
  if (row >= rows) return;
  const auto lane = static_cast<std::int64_t>(threadIdx.x % warpSize);
  const T* const in = x + row * columns;
  // Lanes beyond the row start from its first value, which changes nothing.
  Best<A> best{static_cast<A>(in[lane < columns ? lane : 0]), lane < columns ? lane : 0};
  for (std::int64_t i = lane + warpSize; i < columns; i += warpSize) {
    const auto value = static_cast<A>(in[i]);
    if (Exceeds{}(value, best.value)) best = {value, i};
  }
  best = join_warp(best, Better{});
  if (lane == 0) index[row] = best.index;
}

}  // namespace

template <class T>
void reduce(CudaContext& context, ReduceOp op, const ReduceGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "reduce", reduce_work<T>(g));
  if (op == ReduceOp::sum)
    reduce_columns<SumOf<T>>(context, g.outer, g.reduced, g.inner, x, g.inner, y);
  else
    reduce_columns<MaximumOf<T>>(context, g.outer, g.reduced, g.inner, x, g.inner, y);
}

template <class T>
void reduce_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t x_step, wide_t<T>* y) {
  const ProfileScope scope(context, "reduce_rows",
                           rows_work<T>(rows, columns, 1, columns, sizeof(wide_t<T>)));
  reduce_columns<SumOf<T>>(context, 1, rows, columns, x, x_step, y);
}

template <class T>
void cumulate(CudaContext& context, const ReduceGeometry& g, bool reverse, const T* x, T* y) {
  const std::int64_t lines = g.outer * g.inner;
  const ProfileScope scope(context, "cumulate", elementwise_work<T>(lines * g.reduced, 1, 2));
  launch(context, "cumulate", one_thread_each(lines), cumulate_line<T>, g, reverse, x, y);
}

template <class T>
void argmax_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t* index) {
  const ProfileScope scope(context, "argmax_rows",
                           rows_work<T>(rows, columns, 0, rows, sizeof(std::int64_t)));
  launch(context, "argmax_rows", one_thread_each(rows * 32), argmax_row<T>, rows, columns, x,
         index);
}

template void reduce(CudaContext&, ReduceOp, const ReduceGeometry&, const float*, float*);
template void reduce(CudaContext&, ReduceOp, const ReduceGeometry&, const double*, double*);
template void reduce_rows(CudaContext&, std::int64_t, std::int64_t, const float*, std::int64_t,
                          float*);
template void reduce_rows(CudaContext&, std::int64_t, std::int64_t, const double*, std::int64_t,
                          double*);
template void reduce_rows(CudaContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t,
                          float*);
template void argmax_rows(CudaContext&, std::int64_t, std::int64_t, const float*, std::int64_t*);
template void argmax_rows(CudaContext&, std::int64_t, std::int64_t, const double*, std::int64_t*);
template void argmax_rows(CudaContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t*);
template void cumulate(CudaContext&, const ReduceGeometry&, bool, const float*, float*);
template void cumulate(CudaContext&, const ReduceGeometry&, bool, const double*, double*);
template void cumulate(CudaContext&, const ReduceGeometry&, bool, const std::int64_t*,
                       std::int64_t*);
template void reduce(CudaContext&, ReduceOp, const ReduceGeometry&, const std::int64_t*,
                     std::int64_t*);
template void reduce(CudaContext&, ReduceOp, const ReduceGeometry&, const bfloat16*, bfloat16*);
template void argmax_rows(CudaContext&, std::int64_t, std::int64_t, const std::int64_t*,
                          std::int64_t*);

}  // namespace shatter::kernels
