// Elementwise functions, broadcasting, copies and conversions.
#pragma once

#include <array>

#include <shatter/kernels/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

enum class UnaryOp {
  exp,
  log,
  sqrt,
  square,
  abs,
  relu,
  sigmoid,
  tanh,
  sin,
  cos,
  erf,
  sign,
  log1p,
  expm1,
  floor,
  ceil,
  round,
  gelu
};

constexpr const char* name_of(UnaryOp op) {
  constexpr const char* names[] = {"exp",     "log",   "sqrt",  "square", "abs",   "relu",
                                   "sigmoid", "tanh",  "sin",   "cos",    "erf",   "sign",
                                   "log1p",   "expm1", "floor", "ceil",   "round", "gelu"};
  return names[static_cast<int>(op)];
}

/// y = f(x), packed, in place allowed. relu keeps NaN. T: float, double,
/// bfloat16.
template <class T>
void unary_forward(CpuContext& context, UnaryOp op, std::int64_t n, const T* x, T* y);
template <class T>
void unary_forward(CudaContext& context, UnaryOp op, std::int64_t n, const T* x, T* y);

/// dx = dy * f'(x), in place on dy allowed. x is the input, y the output of forward. relu'(0) = 0,
/// abs'(0) = 0; sign, floor, ceil and round have the derivative 0. T as in forward.
template <class T>
void unary_backward(CpuContext& context, UnaryOp op, std::int64_t n, const T* x, const T* y,
                    const T* dy, T* dx);
template <class T>
void unary_backward(CudaContext& context, UnaryOp op, std::int64_t n, const T* x, const T* y,
                    const T* dy, T* dx);

enum class BinaryOp { add, subtract, multiply, divide, maximum, minimum, pow, left };

constexpr const char* name_of(BinaryOp op) {
  constexpr const char* names[] = {"add",     "subtract", "multiply", "divide",
                                   "maximum", "minimum",  "pow",      "left"};
  return names[static_cast<int>(op)];
}

/// y has `shape`, packed; a step is the distance in elements along that dimension, 0 where the
/// operand is broadcast. Unused leading dimensions have size 1.
struct BroadcastGeometry {
  static constexpr int rank = 6;
  std::array<std::int64_t, rank> shape{1, 1, 1, 1, 1, 1};
  std::array<std::int64_t, rank> a_step{}, b_step{};

  constexpr std::int64_t size() const {
    std::int64_t n = 1;
    for (const std::int64_t d : shape) n *= d;
    return n;
  }
};

/// y = op(a, b); y may be a or b where that operand is packed and not broadcast. maximum and
/// minimum return a on ties and keep NaN; left is a, the copy of a into its broadcast. T: any, but
/// divide and pow throw for integers. Integers wrap.
template <class T>
void binary(CpuContext& context, BinaryOp op, const BroadcastGeometry& g, const T* a, const T* b,
            T* y);
template <class T>
void binary(CudaContext& context, BinaryOp op, const BroadcastGeometry& g, const T* a, const T* b,
            T* y);

enum class CompareOp { equal, not_equal, less, less_equal };

constexpr const char* name_of(CompareOp op) {
  constexpr const char* names[] = {"equal", "not_equal", "less", "less_equal"};
  return names[static_cast<int>(op)];
}

/// y = 1 where op(a, b), else 0. T: any.
template <class T>
void compare(CpuContext& context, CompareOp op, const BroadcastGeometry& g, const T* a, const T* b,
             std::uint8_t* y);
template <class T>
void compare(CudaContext& context, CompareOp op, const BroadcastGeometry& g, const T* a, const T* b,
             std::uint8_t* y);

/// y = a where the mask is not 0, else b; all packed, in place on a or b allowed. T: any.
template <class T>
void select(CpuContext& context, std::int64_t n, const std::uint8_t* mask, const T* a, const T* b,
            T* y);
template <class T>
void select(CudaContext& context, std::int64_t n, const std::uint8_t* mask, const T* a, const T* b,
            T* y);

/// y = scale * x + shift, packed, in place allowed. T: float, double, bfloat16.
template <class T>
void affine(CpuContext& context, std::int64_t n, wide_t<T> scale, wide_t<T> shift, const T* x,
            T* y);
template <class T>
void affine(CudaContext& context, std::int64_t n, wide_t<T> scale, wide_t<T> shift, const T* x,
            T* y);

/// y = x for `rows` rows of `columns` elements, rows x_step and y_step elements apart. T: any.
template <class T>
void copy_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
               std::int64_t x_step, T* y, std::int64_t y_step);
template <class T>
void copy_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
               std::int64_t x_step, T* y, std::int64_t y_step);

/// y += x, as copy_rows. T: float, double, bfloat16.
template <class T>
void add_rows(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              std::int64_t x_step, T* y, std::int64_t y_step);
template <class T>
void add_rows(CudaContext& context, std::int64_t rows, std::int64_t columns, const T* x,
              std::int64_t x_step, T* y, std::int64_t y_step);

/// y[i] = value. T: any.
template <class T>
void fill(CpuContext& context, std::int64_t n, T value, T* y);
template <class T>
void fill(CudaContext& context, std::int64_t n, T value, T* y);

/// y = x converted, between any two element types. Floating to integer drops the fraction; what the
/// integer type cannot hold becomes its nearest value, NaN 0. Between integers bits are dropped.
void convert(CpuContext& context, std::int64_t n, DType from, const void* x, DType to, void* y);
void convert(CudaContext& context, std::int64_t n, DType from, const void* x, DType to, void* y);

/// y = x with its dimensions reordered: y's dimension d is x's dimension order[d]. shape is x's,
/// rank at most 6. Both packed. T: any.
template <class T>
void permute(CpuContext& context, int rank, const std::int64_t* shape, const int* order, const T* x,
             T* y);
template <class T>
void permute(CudaContext& context, int rank, const std::int64_t* shape, const int* order,
             const T* x, T* y);

}  // namespace shatter::kernels
