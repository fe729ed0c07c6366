// Elementwise functions, broadcasting, copies, conversions and permutation on CUDA.
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/elementwise_dispatch.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

template <class T, class F>
struct UnaryForward {
  const T* x;
  T* y;
  F f;
  template <int width>
  __device__ void run(std::int64_t i) const {
    auto v = load<width>(x + i);
    for (int k = 0; k < width; ++k) v[k] = f(v[k]);
    store(v, y + i);
  }
};

template <class T, class F>
struct UnaryBackward {
  const T *x, *y, *dy;
  T* dx;
  F f;
  template <int width>
  __device__ void run(std::int64_t i) const {
    const auto in = load<width>(x + i), out = load<width>(y + i);
    auto v = load<width>(dy + i);
    for (int k = 0; k < width; ++k) v[k] *= f.derivative(in[k], out[k]);
    store(v, dx + i);
  }
};

// Where element i of the result finds its operands.
struct Offsets {
  std::int64_t a = 0, b = 0;
};
__device__ Offsets offsets_of(const BroadcastGeometry& g, std::int64_t i) {
  Offsets offsets;
  for (std::size_t d = BroadcastGeometry::rank; d-- > 0;) {
    if (g.shape[d] == 1) continue;
    const std::int64_t rest = i / g.shape[d], at = i - rest * g.shape[d];
    offsets.a += at * g.a_step[d];
    offsets.b += at * g.b_step[d];
    i = rest;
  }
  return offsets;
}

// `width` values of an operand that the last dimension walks with `step`.
template <int width, class T>
__device__ Values<wide_t<T>, width> load_step(const T* from, std::int64_t step) {
  if (width > 1 && step == 0) {
    Values<wide_t<T>, width> values;
    for (int k = 0; k < width; ++k) values[k] = static_cast<wide_t<T>>(*from);
    return values;
  }
  return load<width>(from);
}

template <class T, class F>
struct Binary {
  BroadcastGeometry g;
  const T *a, *b;
  T* y;
  F f;
  template <int width>
  __device__ void run(std::int64_t i) const {
    constexpr std::size_t last = BroadcastGeometry::rank - 1;
    const Offsets offsets = offsets_of(g, i);
    auto v = load_step<width>(a + offsets.a, g.a_step[last]);
    const auto w = load_step<width>(b + offsets.b, g.b_step[last]);
    for (int k = 0; k < width; ++k) v[k] = f(v[k], w[k]);
    store(v, y + i);
  }
};

template <class T, class F>
struct Compare {
  BroadcastGeometry g;
  const T *a, *b;
  std::uint8_t* y;
  F f;
  template <int>
  __device__ void run(std::int64_t i) const {
    const Offsets offsets = offsets_of(g, i);
    const bool holds =
        f(static_cast<wide_t<T>>(a[offsets.a]), static_cast<wide_t<T>>(b[offsets.b]));
    y[i] = static_cast<std::uint8_t>(holds);
  }
};

template <class T>
struct Select {
  const std::uint8_t* mask;
  const T *a, *b;
  T* y;
  template <int>
  __device__ void run(std::int64_t i) const {
    y[i] = mask[i] ? a[i] : b[i];
  }
};

// Whether an operand of merged dimensions can be read `width` elements at a time.
template <int width, class T>
bool walks_in_vectors(const std::array<std::int64_t, BroadcastGeometry::rank>& step,
                      const T* operand) {
  if (step.back() == 0) return true;
  if (step.back() != 1 || !vectors_at<width>(operand)) return false;
  for (std::size_t d = 0; d + 1 < step.size(); ++d)
    if (step[d] % width != 0) return false;
  return true;
}

template <class T>
struct Affine {
  wide_t<T> scale, shift;
  const T* x;
  T* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    auto v = load<width>(x + i);
    for (int k = 0; k < width; ++k) v[k] = scale * v[k] + shift;
    store(v, y + i);
  }
};

// Rows of x and y that lie x_step and y_step elements apart.
struct Rows {
  std::int64_t columns, x_step, y_step;
  __device__ Offsets at(std::int64_t i) const {
    const std::int64_t row = i / columns, column = i - row * columns;
    return {row * x_step + column, row * y_step + column};
  }
};

// Bits, whatever they mean: `Unit` is an unsigned integer or a vector of them.
template <class Unit>
struct Copy {
  Rows rows;
  const Unit* x;
  Unit* y;
  template <int>
  __device__ void run(std::int64_t i) const {
    const Offsets at = rows.at(i);
    y[at.b] = x[at.a];
  }
};

// Calls use with the largest unit of at most 16 bytes that divides all of `sizes`.
template <class Use>
void with_unit(std::size_t sizes, Use&& use) {
  if (sizes % 16 == 0) return use(uint4{});
  if (sizes % 8 == 0) return use(std::uint64_t{});
  if (sizes % 4 == 0) return use(std::uint32_t{});
  if (sizes % 2 == 0) return use(std::uint16_t{});
  return use(std::uint8_t{});
}

template <class T>
struct AddTo {
  Rows rows;
  const T* x;
  T* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    const Offsets at = rows.at(i);
    auto v = load<width>(y + at.b);
    const auto w = load<width>(x + at.a);
    for (int k = 0; k < width; ++k) v[k] += w[k];
    store(v, y + at.b);
  }
};

template <class T>
struct Fill {
  T value;
  T* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    Packed<T, width> packed;
    for (int k = 0; k < width; ++k) packed.at[k] = value;
    store_packed(packed, y + i);
  }
};

template <class From, class To>
struct Convert {
  const From* x;
  To* y;
  template <int width>
  __device__ void run(std::int64_t i) const {
    const auto in = load_packed<width>(x + i);
    Packed<To, width> out;
    for (int k = 0; k < width; ++k) out.at[k] = converted<To>(in.at[k]);
    store_packed(out, y + i);
  }
};

template <class T>
struct Permute {
  BroadcastGeometry g;
  const T* x;
  T* y;
  template <int>
  __device__ void run(std::int64_t i) const {
    y[i] = x[offsets_of(g, i).a];
  }
};

}  // namespace

template <class T>
void unary_forward(CudaContext& context, UnaryOp op, std::int64_t n, const T* x, T* y) {
  const ProfileScope scope(context, "unary_forward", elementwise_work<T>(n, 1, 2), name_of(op));
  constexpr int width = vector_width<T>;
  with_function(op, [&](auto f) {
    launch_vectors<width>(context, "unary_forward", n, vectors_at<width>(x, y),
                          UnaryForward<T, decltype(f)>{x, y, f});
  });
}

template <class T>
void unary_backward(CudaContext& context, UnaryOp op, std::int64_t n, const T* x, const T* y,
                    const T* dy, T* dx) {
  const ProfileScope scope(context, "unary_backward", elementwise_work<T>(n, 2, 3), name_of(op));
  constexpr int width = vector_width<T>;
  with_function(op, [&](auto f) {
    launch_vectors<width>(context, "unary_backward", n, vectors_at<width>(x, y, dy, dx),
                          UnaryBackward<T, decltype(f)>{x, y, dy, dx, f});
  });
}

template <class T>
void binary(CudaContext& context, BinaryOp op, const BroadcastGeometry& g, const T* a, const T* b,
            T* y) {
  const ProfileScope scope(context, "binary", binary_work<T>(g), name_of(op));
  constexpr int width = vector_width<T>;
  const BroadcastGeometry merged = coalesce(g);
  const bool vectors = merged.shape.back() % width == 0 && vectors_at<width>(y) &&
                       walks_in_vectors<width>(merged.a_step, a) &&
                       walks_in_vectors<width>(merged.b_step, b);
  with_function<T>(op, [&](auto f) {
    launch_vectors<width>(context, "binary", g.size(), vectors,
                          Binary<T, decltype(f)>{merged, a, b, y, f});
  });
}

template <class T>
void compare(CudaContext& context, CompareOp op, const BroadcastGeometry& g, const T* a, const T* b,
             std::uint8_t* y) {
  const ProfileScope scope(context, "compare", binary_work<T>(g), name_of(op));
  const BroadcastGeometry merged = coalesce(g);
  with_function(op, [&](auto f) {
    launch_vectors<1>(context, "compare", g.size(), false,
                      Compare<T, decltype(f)>{merged, a, b, y, f});
  });
}

template <class T>
void select(CudaContext& context, std::int64_t n, const std::uint8_t* mask, const T* a, const T* b,
            T* y) {
  const ProfileScope scope(context, "select", elementwise_work<T>(n, 1, 3));
  launch_vectors<1>(context, "select", n, false, Select<T>{mask, a, b, y});
}

template <class T>
void affine(CudaContext& context, std::int64_t n, wide_t<T> scale, wide_t<T> shift, const T* x,
            T* y) {
  const ProfileScope scope(context, "affine", elementwise_work<T>(n, 2, 2));
  constexpr int width = vector_width<T>;
  launch_vectors<width>(context, "affine", n, vectors_at<width>(x, y),
                        Affine<T>{scale, shift, x, y});
}

template <class T>
void copy_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
               std::int64_t x_step, T* y, std::int64_t y_step) {
  const ProfileScope scope(context, "copy_rows", elementwise_work<T>(rows * columns, 0, 2));
  if (rows <= 0 || columns <= 0) return;
  if (rows == 1 || (x_step == columns && y_step == columns)) {
    x_step = y_step = columns *= rows;
    rows = 1;
  }
  const std::size_t sizes =
      (reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(y)) |
      (static_cast<std::size_t>(columns | x_step | y_step) * sizeof(T));
  with_unit(sizes, [&](auto unit) {
    using Unit = decltype(unit);
    const auto units = [](std::int64_t n) {
      return n * static_cast<std::int64_t>(sizeof(T)) / static_cast<std::int64_t>(sizeof(Unit));
    };
    launch_vectors<1>(context, "copy_rows", rows * units(columns), false,
                      Copy<Unit>{{units(columns), units(x_step), units(y_step)},
                                 reinterpret_cast<const Unit*>(x),
                                 reinterpret_cast<Unit*>(y)});
  });
}

template <class T>
void add_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              std::int64_t x_step, T* y, std::int64_t y_step) {
  const ProfileScope scope(context, "add_rows", elementwise_work<T>(rows * columns, 1, 3));
  constexpr int width = vector_width<T>;
  launch_vectors<width>(context, "add_rows", rows * columns,
                        vectors_at<width>(x, y) && multiples<width>(columns, x_step, y_step),
                        AddTo<T>{{columns, x_step, y_step}, x, y});
}

template <class T>
void fill(CudaContext& context, std::int64_t n, T value, T* y) {
  const ProfileScope scope(context, "fill", elementwise_work<T>(n, 0, 1));
  constexpr int width = vector_width<T>;
  launch_vectors<width>(context, "fill", n, vectors_at<width>(y), Fill<T>{value, y});
}

void convert(CudaContext& context, std::int64_t n, DType from, const void* x, DType to, void* y) {
  const ProfileScope scope(context, "convert", convert_work(n, from, to));
  with_type(from, [&](auto source) {
    with_type(to, [&](auto target) {
      using From = decltype(source);
      using To = decltype(target);
      constexpr int width = std::min(vector_width<From>, vector_width<To>);
      const auto in = static_cast<const From*>(x);
      const auto out = static_cast<To*>(y);
      launch_vectors<width>(context, "convert", n, vectors_at<width>(in, out),
                            Convert<From, To>{in, out});
    });
  });
}

template <class T>
void permute(CudaContext& context, int rank, const std::int64_t* shape, const int* order,
             const T* x, T* y) {
  const ProfileScope scope(context, "permute", permute_work(rank, shape, sizeof(T)));
  const BroadcastGeometry g = permuted(rank, shape, order);
  launch_vectors<1>(context, "permute", g.size(), false, Permute<T>{g, x, y});
}

template void unary_forward(CudaContext&, UnaryOp, std::int64_t, const float*, float*);
template void unary_forward(CudaContext&, UnaryOp, std::int64_t, const double*, double*);
template void unary_forward(CudaContext&, UnaryOp, std::int64_t, const bfloat16*, bfloat16*);
template void unary_backward(CudaContext&, UnaryOp, std::int64_t, const float*, const float*,
                             const float*, float*);
template void unary_backward(CudaContext&, UnaryOp, std::int64_t, const double*, const double*,
                             const double*, double*);
template void unary_backward(CudaContext&, UnaryOp, std::int64_t, const bfloat16*, const bfloat16*,
                             const bfloat16*, bfloat16*);
template void binary(CudaContext&, BinaryOp, const BroadcastGeometry&, const float*, const float*,
                     float*);
template void binary(CudaContext&, BinaryOp, const BroadcastGeometry&, const double*, const double*,
                     double*);
template void binary(CudaContext&, BinaryOp, const BroadcastGeometry&, const bfloat16*,
                     const bfloat16*, bfloat16*);
template void affine(CudaContext&, std::int64_t, float, float, const float*, float*);
template void affine(CudaContext&, std::int64_t, double, double, const double*, double*);
template void affine(CudaContext&, std::int64_t, float, float, const bfloat16*, bfloat16*);
template void copy_rows(CudaContext&, std::int64_t, std::int64_t, const float*, std::int64_t,
                        float*, std::int64_t);
template void copy_rows(CudaContext&, std::int64_t, std::int64_t, const double*, std::int64_t,
                        double*, std::int64_t);
template void copy_rows(CudaContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t,
                        bfloat16*, std::int64_t);
template void copy_rows(CudaContext&, std::int64_t, std::int64_t, const std::uint8_t*, std::int64_t,
                        std::uint8_t*, std::int64_t);
template void copy_rows(CudaContext&, std::int64_t, std::int64_t, const std::int32_t*, std::int64_t,
                        std::int32_t*, std::int64_t);
template void copy_rows(CudaContext&, std::int64_t, std::int64_t, const std::int64_t*, std::int64_t,
                        std::int64_t*, std::int64_t);
template void add_rows(CudaContext&, std::int64_t, std::int64_t, const float*, std::int64_t, float*,
                       std::int64_t);
template void add_rows(CudaContext&, std::int64_t, std::int64_t, const double*, std::int64_t,
                       double*, std::int64_t);
template void add_rows(CudaContext&, std::int64_t, std::int64_t, const bfloat16*, std::int64_t,
                       bfloat16*, std::int64_t);
template void fill(CudaContext&, std::int64_t, float, float*);
template void fill(CudaContext&, std::int64_t, double, double*);
template void fill(CudaContext&, std::int64_t, bfloat16, bfloat16*);
template void fill(CudaContext&, std::int64_t, std::uint8_t, std::uint8_t*);
template void fill(CudaContext&, std::int64_t, std::int32_t, std::int32_t*);
template void fill(CudaContext&, std::int64_t, std::int64_t, std::int64_t*);
template void permute(CudaContext&, int, const std::int64_t*, const int*, const float*, float*);
template void permute(CudaContext&, int, const std::int64_t*, const int*, const double*, double*);
template void permute(CudaContext&, int, const std::int64_t*, const int*, const std::uint8_t*,
                      std::uint8_t*);
template void binary(CudaContext&, BinaryOp, const BroadcastGeometry&, const std::uint8_t*,
                     const std::uint8_t*, std::uint8_t*);
template void binary(CudaContext&, BinaryOp, const BroadcastGeometry&, const std::int32_t*,
                     const std::int32_t*, std::int32_t*);
template void binary(CudaContext&, BinaryOp, const BroadcastGeometry&, const std::int64_t*,
                     const std::int64_t*, std::int64_t*);
template void compare(CudaContext&, CompareOp, const BroadcastGeometry&, const float*, const float*,
                      std::uint8_t*);
template void select(CudaContext&, std::int64_t, const std::uint8_t*, const float*, const float*,
                     float*);
template void compare(CudaContext&, CompareOp, const BroadcastGeometry&, const double*,
                      const double*, std::uint8_t*);
template void select(CudaContext&, std::int64_t, const std::uint8_t*, const double*, const double*,
                     double*);
template void compare(CudaContext&, CompareOp, const BroadcastGeometry&, const bfloat16*,
                      const bfloat16*, std::uint8_t*);
template void select(CudaContext&, std::int64_t, const std::uint8_t*, const bfloat16*,
                     const bfloat16*, bfloat16*);
template void compare(CudaContext&, CompareOp, const BroadcastGeometry&, const std::uint8_t*,
                      const std::uint8_t*, std::uint8_t*);
template void select(CudaContext&, std::int64_t, const std::uint8_t*, const std::uint8_t*,
                     const std::uint8_t*, std::uint8_t*);
template void compare(CudaContext&, CompareOp, const BroadcastGeometry&, const std::int32_t*,
                      const std::int32_t*, std::uint8_t*);
template void select(CudaContext&, std::int64_t, const std::uint8_t*, const std::int32_t*,
                     const std::int32_t*, std::int32_t*);
template void compare(CudaContext&, CompareOp, const BroadcastGeometry&, const std::int64_t*,
                      const std::int64_t*, std::uint8_t*);
template void select(CudaContext&, std::int64_t, const std::uint8_t*, const std::int64_t*,
                     const std::int64_t*, std::int64_t*);
template void permute(CudaContext&, int, const std::int64_t*, const int*, const bfloat16*,
                      bfloat16*);
template void permute(CudaContext&, int, const std::int64_t*, const int*, const std::int32_t*,
                      std::int32_t*);
template void permute(CudaContext&, int, const std::int64_t*, const int*, const std::int64_t*,
                      std::int64_t*);

}  // namespace shatter::kernels
