// Sums and maxima along a dimension, column sums, and argmax.
#include <limits>
#include <type_traits>

#include <shatter/kernels/functions.h>
#include <shatter/kernels/reduce.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// A reduction: the type it accumulates in, its start, and how a value joins.
template <class T>
struct SumOf {
  using Accumulator = std::conditional_t<std::is_integral_v<T>, T, double>;
  static constexpr Accumulator start = 0;
  static Accumulator join(Accumulator a, Accumulator b) { return Add{}(a, b); }
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
  static Accumulator join(Accumulator a, Accumulator b) { return Exceeds{}(b, a) ? b : a; }
};

// n neighbouring values; sixteen running results keep the order fixed and the lanes busy.
template <class Op, class T>
typename Op::Accumulator reduce_run(std::int64_t n, const T* x) {
  using A = typename Op::Accumulator;
  constexpr std::int64_t lanes = 16;
  A partial[lanes];
  for (std::int64_t i = 0; i < lanes; ++i) partial[i] = Op::start;
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j)
      partial[j] = Op::join(partial[j], static_cast<A>(x[i + j]));
  for (std::int64_t j = 0; i + j < n; ++j)
    partial[j] = Op::join(partial[j], static_cast<A>(x[i + j]));
  for (std::int64_t width = lanes / 2; width > 0; width /= 2)
    for (std::int64_t j = 0; j < width; ++j) partial[j] = Op::join(partial[j], partial[j + width]);
  return partial[0];
}

// rows x columns, step elements apart, joined into result [columns], which holds a start.
template <class Op, class T>
void reduce_block(std::int64_t rows, std::int64_t columns, const T* x, std::int64_t step,
                  typename Op::Accumulator* result) {
  using A = typename Op::Accumulator;
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const T* const r = x + row * step;
    SHATTER_INDEPENDENT
    for (std::int64_t c = 0; c < columns; ++c) {
      const A first = Op::join(static_cast<A>(r[c]), static_cast<A>(r[step + c]));
      const A second = Op::join(static_cast<A>(r[2 * step + c]), static_cast<A>(r[3 * step + c]));
      result[c] = Op::join(result[c], Op::join(first, second));
    }
  }
  for (; row < rows; ++row) {
    SHATTER_INDEPENDENT
    for (std::int64_t c = 0; c < columns; ++c)
      result[c] = Op::join(result[c], static_cast<A>(x[row * step + c]));
  }
}

// The general case: each of `outer` blocks of reduced x inner is cut into segments of rows, whose
// results are joined in order.
template <class Op, class T, class Y>
void reduce_segments(CpuContext& context, std::int64_t outer, std::int64_t reduced,
                     std::int64_t inner, const T* x, std::int64_t step, Y* y) {
  using A = typename Op::Accumulator;
  const std::int64_t grain = 4 * rows_per_chunk(inner);
  const std::int64_t segments = std::max<std::int64_t>(1, ceil_div(reduced, grain));
  const std::int64_t blocks = segments > 1 ? 1 : rows_per_chunk(reduced * inner);
  const Workspace<A> partials(outer * segments * inner);
  context.parallel_for(outer * segments, blocks,
                       [=, all = partials.data()](std::int64_t begin, std::int64_t end) {
                         multiversion([=] {
                           for (std::int64_t i = begin; i < end; ++i) {
                             const std::int64_t row = i % segments * grain;
                             const std::int64_t rows = std::min(grain, reduced - row);
                             const T* const in = x + (i / segments * reduced + row) * step;
                             A* const out = all + i * inner;
                             if (inner == 1 && step == 1) {
                               *out = reduce_run<Op>(rows, in);
                             } else {
                               for (std::int64_t c = 0; c < inner; ++c) out[c] = Op::start;
                               reduce_block<Op>(rows, inner, in, step, out);
                             }
                           }
                         });
                       });
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t c = 0; c < inner; ++c) {
      A result = partials[o * segments * inner + c];
      for (std::int64_t s = 1; s < segments; ++s)
        result = Op::join(result, partials[(o * segments + s) * inner + c]);
      y[o * inner + c] = static_cast<Y>(static_cast<wide_t<Y>>(result));
    }
}

}  // namespace

template <class T>
void reduce(CpuContext& context, ReduceOp op, const ReduceGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "reduce", reduce_work<T>(g));
  if (op == ReduceOp::sum)
    reduce_segments<SumOf<T>>(context, g.outer, g.reduced, g.inner, x, g.inner, y);
  else
    reduce_segments<MaximumOf<T>>(context, g.outer, g.reduced, g.inner, x, g.inner, y);
}

template <class T>
void reduce_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t x_step, wide_t<T>* y) {
  const ProfileScope scope(context, "reduce_rows",
                           rows_work<T>(rows, columns, 1, columns, sizeof(wide_t<T>)));
  reduce_segments<SumOf<T>>(context, 1, rows, columns, x, x_step, y);
}

template <class T>
void cumulate(CpuContext& context, const ReduceGeometry& g, bool reverse, const T* x, T* y) {
  using A = typename SumOf<T>::Accumulator;
  const ProfileScope scope(context, "cumulate",
                           elementwise_work<T>(g.outer * g.reduced * g.inner, 1, 2));
  context.parallel_for(g.outer * g.inner, rows_per_chunk(g.reduced),
                       [=](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t i = begin; i < end; ++i) {
                           const std::int64_t o = i / g.inner;
                           const std::int64_t first = o * g.reduced * g.inner + i - o * g.inner;
                           A sum = 0;
                           for (std::int64_t k = 0; k < g.reduced; ++k) {
                             const std::int64_t place = reverse ? g.reduced - 1 - k : k;
                             const std::int64_t at = first + place * g.inner;
                             sum = SumOf<T>::join(sum, static_cast<A>(x[at]));
                             y[at] = static_cast<T>(sum);
                           }
                         }
                       });
}

template <class T>
void argmax_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                 std::int64_t* index) {
  const ProfileScope scope(context, "argmax_rows",
                           rows_work<T>(rows, columns, 0, rows, sizeof(std::int64_t)));
  context.parallel_for(rows, rows_per_chunk(columns), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* const values = x + row * columns;
      std::int64_t best = 0;
      for (std::int64_t i = 1; i < columns; ++i)
        if (Exceeds{}(wide_t<T>(values[i]), wide_t<T>(values[best]))) best = i;
      index[row] = best;
    }
  });
}

template void reduce(CpuContext&, ReduceOp, const ReduceGeometry&, const float*, float*);
template void reduce(CpuContext&, ReduceOp, const ReduceGeometry&, const double*, double*);
template void reduce_rows(CpuContext&, std::int64_t, std::int64_t, const float*, std::int64_t,
                          float*);
template void reduce_rows(CpuContext&, std::int64_t, std::int64_t, const double*, std::int64_t,
                          double*);
template void argmax_rows(CpuContext&, std::int64_t, std::int64_t, const float*, std::int64_t*);
template void argmax_rows(CpuContext&, std::int64_t, std::int64_t, const double*, std::int64_t*);
template void reduce(CpuContext&, ReduceOp, const ReduceGeometry&, const bfloat16*, bfloat16*);
template void reduce_rows(CpuContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t,
                          float*);
template void argmax_rows(CpuContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t*);
template void cumulate(CpuContext&, const ReduceGeometry&, bool, const float*, float*);
template void cumulate(CpuContext&, const ReduceGeometry&, bool, const double*, double*);
template void cumulate(CpuContext&, const ReduceGeometry&, bool, const std::int64_t*,
                       std::int64_t*);
template void reduce(CpuContext&, ReduceOp, const ReduceGeometry&, const std::int64_t*,
                     std::int64_t*);
template void argmax_rows(CpuContext&, std::int64_t, std::int64_t, const std::int64_t*,
                          std::int64_t*);

}  // namespace shatter::kernels
