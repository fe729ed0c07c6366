// Elementwise functions, broadcasting, copies, conversions and permutation.
#include <cstring>

#include <shatter/kernels/elementwise_dispatch.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

using Index = std::array<std::int64_t, BroadcastGeometry::rank>;

// Calls body(begin, end), compiled for this machine, on ranges of n elements.
template <class Body>
void for_ranges(CpuContext& context, std::int64_t n, Body body) {
  context.parallel_for(n, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
    multiversion([=] { body(begin, end); });
  });
}

template <class Body>
void for_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, Body body) {
  context.parallel_for(rows, rows_per_chunk(columns), [=](std::int64_t begin, std::int64_t end) {
    multiversion([=] {
      for (std::int64_t row = begin; row < end; ++row) body(row);
    });
  });
}

template <class T, class Y, class F>
void binary_run(std::int64_t n, const T* a, std::int64_t a_step, const T* b, std::int64_t b_step,
                Y* y, F f) {
  if (a_step == 1 && b_step == 1) {
    SHATTER_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step == 1 && b_step == 0) {
    const T value = *b;
    SHATTER_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(a[i], value);
  } else if (a_step == 0 && b_step == 1) {
    const T value = *a;
    SHATTER_INDEPENDENT
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(value, b[i]);
  } else {
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(a[i * a_step], b[i * b_step]);
  }
}

// Elements [begin, end) of y, in runs along the last dimension.
template <class T, class Y, class F>
void binary_range(const BroadcastGeometry& g, std::int64_t begin, std::int64_t end, const T* a,
                  const T* b, Y* y, F f) {
  constexpr std::size_t last = BroadcastGeometry::rank - 1;
  Index at{};
  std::int64_t rest = begin;
  for (std::size_t d = last + 1; d-- > 0;) {
    at[d] = rest % g.shape[d];
    rest /= g.shape[d];
  }
  while (begin < end) {
    std::int64_t a_offset = 0, b_offset = 0;
    for (std::size_t d = 0; d <= last; ++d) {
      a_offset += at[d] * g.a_step[d];
      b_offset += at[d] * g.b_step[d];
    }
    const std::int64_t n = std::min(end - begin, g.shape[last] - at[last]);
    binary_run(n, a + a_offset, g.a_step[last], b + b_offset, g.b_step[last], y + begin, f);
    begin += n;
    at[last] = 0;
    for (std::size_t d = last; d-- > 0;) {
      if (++at[d] < g.shape[d]) break;
      at[d] = 0;
    }
  }
}

}  // namespace

template <class T>
void unary_forward(CpuContext& context, UnaryOp op, std::int64_t n, const T* x, T* y) {
  const ProfileScope scope(context, "unary_forward", elementwise_work<T>(n, 1, 2), name_of(op));
  with_function(op, [&](auto f) {
    for_ranges(context, n, [=](std::int64_t begin, std::int64_t end) {
      SHATTER_INDEPENDENT
      for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(f(wide_t<T>(x[i])));
    });
  });
}

template <class T>
void unary_backward(CpuContext& context, UnaryOp op, std::int64_t n, const T* x, const T* y,
                    const T* dy, T* dx) {
  const ProfileScope scope(context, "unary_backward", elementwise_work<T>(n, 2, 3), name_of(op));
  with_function(op, [&](auto f) {
    for_ranges(context, n, [=](std::int64_t begin, std::int64_t end) {
      SHATTER_INDEPENDENT
      for (std::int64_t i = begin; i < end; ++i)
        dx[i] = static_cast<T>(dy[i] * f.derivative(wide_t<T>(x[i]), wide_t<T>(y[i])));
    });
  });
}

template <class T>
void binary(CpuContext& context, BinaryOp op, const BroadcastGeometry& g, const T* a, const T* b,
            T* y) {
  const ProfileScope scope(context, "binary", binary_work<T>(g), name_of(op));
  const BroadcastGeometry merged = coalesce(g);
  with_function<T>(op, [&](auto f) {
    for_ranges(context, g.size(), [=](std::int64_t begin, std::int64_t end) {
      binary_range(merged, begin, end, a, b, y, [f](T left, T right) {
        return static_cast<T>(f(wide_t<T>(left), wide_t<T>(right)));
      });
    });
  });
}

template <class T>
void compare(CpuContext& context, CompareOp op, const BroadcastGeometry& g, const T* a, const T* b,
             std::uint8_t* y) {
  const ProfileScope scope(context, "compare", binary_work<T>(g), name_of(op));
  const BroadcastGeometry merged = coalesce(g);
  with_function(op, [&](auto f) {
    for_ranges(context, g.size(), [=](std::int64_t begin, std::int64_t end) {
      binary_range(merged, begin, end, a, b, y, [f](T left, T right) {
        return static_cast<std::uint8_t>(f(wide_t<T>(left), wide_t<T>(right)));
      });
    });
  });
}

template <class T>
void select(CpuContext& context, std::int64_t n, const std::uint8_t* mask, const T* a, const T* b,
            T* y) {
  const ProfileScope scope(context, "select", elementwise_work<T>(n, 1, 3));
  for_ranges(context, n, [=](std::int64_t begin, std::int64_t end) {
    SHATTER_INDEPENDENT
    for (std::int64_t i = begin; i < end; ++i) y[i] = mask[i] ? a[i] : b[i];
  });
}

template <class T>
void affine(CpuContext& context, std::int64_t n, wide_t<T> scale, wide_t<T> shift, const T* x,
            T* y) {
  const ProfileScope scope(context, "affine", elementwise_work<T>(n, 2, 2));
  for_ranges(context, n, [=](std::int64_t begin, std::int64_t end) {
    SHATTER_INDEPENDENT
    for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(scale * x[i] + shift);
  });
}

template <class T>
void copy_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
               std::int64_t x_step, T* y, std::int64_t y_step) {
  const ProfileScope scope(context, "copy_rows", elementwise_work<T>(rows * columns, 0, 2));
  if (rows <= 0 || columns <= 0) return;
  if (x_step == columns && y_step == columns)
    return context.parallel_for(
        rows * columns, elements_per_chunk, [=](std::int64_t begin, std::int64_t end) {
          std::memcpy(y + begin, x + begin, static_cast<std::size_t>(end - begin) * sizeof(T));
        });
  context.parallel_for(rows, rows_per_chunk(columns), [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      std::memcpy(y + row * y_step, x + row * x_step,
                  static_cast<std::size_t>(columns) * sizeof(T));
  });
}

template <class T>
void add_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              std::int64_t x_step, T* y, std::int64_t y_step) {
  const ProfileScope scope(context, "add_rows", elementwise_work<T>(rows * columns, 1, 3));
  if (x_step == columns && y_step == columns)
    return for_ranges(context, rows * columns, [=](std::int64_t begin, std::int64_t end) {
      SHATTER_INDEPENDENT
      for (std::int64_t i = begin; i < end; ++i) y[i] = static_cast<T>(y[i] + x[i]);
    });
  for_rows(context, rows, columns, [=](std::int64_t row) {
    SHATTER_INDEPENDENT
    for (std::int64_t i = 0; i < columns; ++i) {
      T& sum = y[row * y_step + i];
      sum = static_cast<T>(sum + x[row * x_step + i]);
    }
  });
}

template <class T>
void fill(CpuContext& context, std::int64_t n, T value, T* y) {
  const ProfileScope scope(context, "fill", elementwise_work<T>(n, 0, 1));
  for_ranges(context, n, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) y[i] = value;
  });
}

void convert(CpuContext& context, std::int64_t n, DType from, const void* x, DType to, void* y) {
  const ProfileScope scope(context, "convert", convert_work(n, from, to));
  with_type(from, [&](auto source) {
    with_type(to, [&](auto target) {
      using From = decltype(source);
      using To = decltype(target);
      for_ranges(context, n,
                 [in = static_cast<const From*>(x), out = static_cast<To*>(y)](std::int64_t begin,
                                                                               std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) out[i] = converted<To>(in[i]);
                 });
    });
  });
}

template <class T>
void permute(CpuContext& context, int rank, const std::int64_t* shape, const int* order, const T* x,
             T* y) {
  const ProfileScope scope(context, "permute", permute_work(rank, shape, sizeof(T)));
  const BroadcastGeometry g = permuted(rank, shape, order);
  for_ranges(context, g.size(), [=](std::int64_t begin, std::int64_t end) {
    binary_range(g, begin, end, x, x, y, [](T value, T) { return value; });
  });
}

template void unary_forward(CpuContext&, UnaryOp, std::int64_t, const float*, float*);
template void unary_forward(CpuContext&, UnaryOp, std::int64_t, const double*, double*);
template void unary_forward(CpuContext&, UnaryOp, std::int64_t, const bfloat16*, bfloat16*);
template void unary_backward(CpuContext&, UnaryOp, std::int64_t, const bfloat16*, const bfloat16*,
                             const bfloat16*, bfloat16*);
template void binary(CpuContext&, BinaryOp, const BroadcastGeometry&, const bfloat16*,
                     const bfloat16*, bfloat16*);
template void affine(CpuContext&, std::int64_t, float, float, const bfloat16*, bfloat16*);
template void add_rows(CpuContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t,
                       bfloat16*, std::int64_t);
template void unary_backward(CpuContext&, UnaryOp, std::int64_t, const float*, const float*,
                             const float*, float*);
template void unary_backward(CpuContext&, UnaryOp, std::int64_t, const double*, const double*,
                             const double*, double*);
template void binary(CpuContext&, BinaryOp, const BroadcastGeometry&, const float*, const float*,
                     float*);
template void binary(CpuContext&, BinaryOp, const BroadcastGeometry&, const double*, const double*,
                     double*);
template void affine(CpuContext&, std::int64_t, float, float, const float*, float*);
template void affine(CpuContext&, std::int64_t, double, double, const double*, double*);
template void copy_rows(CpuContext&, std::int64_t, std::int64_t, const float*, std::int64_t, float*,
                        std::int64_t);
template void copy_rows(CpuContext&, std::int64_t, std::int64_t, const double*, std::int64_t,
                        double*, std::int64_t);
template void copy_rows(CpuContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t,
                        bfloat16*, std::int64_t);
template void copy_rows(CpuContext&, std::int64_t, std::int64_t, const std::uint8_t*, std::int64_t,
                        std::uint8_t*, std::int64_t);
template void copy_rows(CpuContext&, std::int64_t, std::int64_t, const std::int32_t*, std::int64_t,
                        std::int32_t*, std::int64_t);
template void copy_rows(CpuContext&, std::int64_t, std::int64_t, const std::int64_t*, std::int64_t,
                        std::int64_t*, std::int64_t);
template void add_rows(CpuContext&, std::int64_t, std::int64_t, const float*, std::int64_t, float*,
                       std::int64_t);
template void add_rows(CpuContext&, std::int64_t, std::int64_t, const double*, std::int64_t,
                       double*, std::int64_t);
template void fill(CpuContext&, std::int64_t, float, float*);
template void fill(CpuContext&, std::int64_t, double, double*);
template void fill(CpuContext&, std::int64_t, bfloat16, bfloat16*);
template void fill(CpuContext&, std::int64_t, std::uint8_t, std::uint8_t*);
template void fill(CpuContext&, std::int64_t, std::int32_t, std::int32_t*);
template void fill(CpuContext&, std::int64_t, std::int64_t, std::int64_t*);
template void permute(CpuContext&, int, const std::int64_t*, const int*, const float*, float*);
template void permute(CpuContext&, int, const std::int64_t*, const int*, const double*, double*);
template void permute(CpuContext&, int, const std::int64_t*, const int*, const std::uint8_t*,
                      std::uint8_t*);
template void binary(CpuContext&, BinaryOp, const BroadcastGeometry&, const std::uint8_t*,
                     const std::uint8_t*, std::uint8_t*);
template void binary(CpuContext&, BinaryOp, const BroadcastGeometry&, const std::int32_t*,
                     const std::int32_t*, std::int32_t*);
template void binary(CpuContext&, BinaryOp, const BroadcastGeometry&, const std::int64_t*,
                     const std::int64_t*, std::int64_t*);
template void compare(CpuContext&, CompareOp, const BroadcastGeometry&, const float*, const float*,
                      std::uint8_t*);
template void select(CpuContext&, std::int64_t, const std::uint8_t*, const float*, const float*,
                     float*);
template void compare(CpuContext&, CompareOp, const BroadcastGeometry&, const double*,
                      const double*, std::uint8_t*);
template void select(CpuContext&, std::int64_t, const std::uint8_t*, const double*, const double*,
                     double*);
template void compare(CpuContext&, CompareOp, const BroadcastGeometry&, const bfloat16*,
                      const bfloat16*, std::uint8_t*);
template void select(CpuContext&, std::int64_t, const std::uint8_t*, const bfloat16*,
                     const bfloat16*, bfloat16*);
template void compare(CpuContext&, CompareOp, const BroadcastGeometry&, const std::uint8_t*,
                      const std::uint8_t*, std::uint8_t*);
template void select(CpuContext&, std::int64_t, const std::uint8_t*, const std::uint8_t*,
                     const std::uint8_t*, std::uint8_t*);
template void compare(CpuContext&, CompareOp, const BroadcastGeometry&, const std::int32_t*,
                      const std::int32_t*, std::uint8_t*);
template void select(CpuContext&, std::int64_t, const std::uint8_t*, const std::int32_t*,
                     const std::int32_t*, std::int32_t*);
template void compare(CpuContext&, CompareOp, const BroadcastGeometry&, const std::int64_t*,
                      const std::int64_t*, std::uint8_t*);
template void select(CpuContext&, std::int64_t, const std::uint8_t*, const std::int64_t*,
                     const std::int64_t*, std::int64_t*);
template void permute(CpuContext&, int, const std::int64_t*, const int*, const bfloat16*,
                      bfloat16*);
template void permute(CpuContext&, int, const std::int64_t*, const int*, const std::int32_t*,
                      std::int32_t*);
template void permute(CpuContext&, int, const std::int64_t*, const int*, const std::int64_t*,
                      std::int64_t*);

}  // namespace shatter::kernels
