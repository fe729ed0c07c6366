// Elementwise kernels against <cmath> in double.
#include <functional>

#include <shatter/kernels/elementwise.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

struct Function {
  UnaryOp op;
  std::function<double(double)> value, derivative;
  double low, high;
};

const std::vector<Function> functions{
    {UnaryOp::negate, [](double x) { return -x; }, [](double) { return -1.0; }, -3, 3},
    {UnaryOp::exp, [](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }, -5,
     5},
    {UnaryOp::log, [](double x) { return std::log(x); }, [](double x) { return 1 / x; }, 1.5, 9},
    {UnaryOp::sqrt, [](double x) { return std::sqrt(x); },
     [](double x) { return 0.5 / std::sqrt(x); }, 0.1, 9},
    {UnaryOp::square, [](double x) { return x * x; }, [](double x) { return 2 * x; }, -3, 3},
    {UnaryOp::abs, [](double x) { return std::abs(x); },
     [](double x) { return x > 0   ? 1.0
                           : x < 0 ? -1.0
                                   : 0.0; }, -3, 3},
    {UnaryOp::relu, [](double x) { return x > 0 ? x : 0.0; },
     [](double x) { return x > 0 ? 1.0 : 0.0; }, -3, 3},
    {UnaryOp::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); },
     [](double x) { return 1 / (2 + std::exp(-x) + std::exp(x)); }, -5, 5},
    {UnaryOp::tanh, [](double x) { return std::tanh(x); },
     [](double x) { return 1 - std::tanh(x) * std::tanh(x); }, -2, 2}};

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEMPLATE_TEST_CASE("unary functions and their gradients agree with cmath", "", float, double) {
  using T = TestType;
  for (const Function& f : functions)
    for (const std::int64_t n : {0, 1, 31, 32, 33, 1003, 40001}) {
      CAPTURE(int(f.op), n);
      const auto x = random_values<T>(n, 1, f.low, f.high), dy = random_values<T>(n, 2, 1, 2);
      std::vector<double> value, gradient;
      for (std::size_t i = 0; i < x.size(); ++i) {
        value.push_back(f.value(double(x[i])));
        gradient.push_back(f.derivative(double(x[i])) * double(dy[i]));
      }
      const auto y = on_threads<T>(
          n, [&](CpuContext& context, T* out) { unary_forward(context, f.op, n, x.data(), out); });
      require_each_close(y, value);
      REQUIRE(on_threads_from<T>(x, [&](CpuContext& context, T* out) {
                unary_forward(context, f.op, n, out, out);
              }) == y);
      const auto dx = on_threads<T>(n, [&](CpuContext& context, T* out) {
        unary_backward(context, f.op, n, x.data(), y.data(), dy.data(), out);
      });
      require_close(dx, gradient, 16, 1);  // y (1 - y) has the rounding of y near 1
      REQUIRE(on_threads_from<T>(dy, [&](CpuContext& context, T* out) {
                unary_backward(context, f.op, n, x.data(), y.data(), out, out);
              }) == dx);
    }
}

TEMPLATE_TEST_CASE("unary functions at zero, NaN and far out", "", float, double) {
  using T = TestType;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  CpuContext context(1);
  const auto apply = [&](UnaryOp op, T x) {
    T y = 0;
    unary_forward(context, op, 1, &x, &y);
    return double(y);
  };
  const auto slope = [&](UnaryOp op, T x) {
    T y = 0, dx = 0;
    const T dy = 1;
    unary_forward(context, op, 1, &x, &y);
    unary_backward(context, op, 1, &x, &y, &dy, &dx);
    return double(dx);
  };
  for (const Function& f : functions) REQUIRE(std::isnan(apply(f.op, nan)));
  REQUIRE(apply(UnaryOp::relu, T(-0.0)) == 0);
  REQUIRE(slope(UnaryOp::relu, 0) == 0);
  REQUIRE(slope(UnaryOp::abs, 0) == 0);
  REQUIRE(apply(UnaryOp::exp, T(1e4)) == infinity);
  REQUIRE(apply(UnaryOp::exp, T(-1e4)) == 0);
  for (const UnaryOp op : {UnaryOp::sigmoid, UnaryOp::tanh}) {
    REQUIRE(apply(op, T(1e4)) == 1);
    REQUIRE(apply(op, T(-1e4)) == (op == UnaryOp::tanh ? -1 : 0));
    REQUIRE(slope(op, T(1e4)) == 0);
    REQUIRE(slope(op, T(-1e4)) == 0);
  }
  REQUIRE(apply(UnaryOp::log, 0) == -infinity);
}

TEMPLATE_TEST_CASE("binary functions broadcast over any dimensions", "", float, double) {
  using T = TestType;
  const std::vector<std::pair<BinaryOp, std::function<double(double, double)>>> ops{
      {BinaryOp::add, std::plus<>()},
      {BinaryOp::subtract, std::minus<>()},
      {BinaryOp::multiply, std::multiplies<>()},
      {BinaryOp::divide, std::divides<>()},
      {BinaryOp::maximum, [](double a, double b) { return std::max(a, b); }},
      {BinaryOp::minimum, [](double a, double b) { return std::min(a, b); }}};
  const std::vector<std::array<std::int64_t, 6>> shapes{
      {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1003}, {1, 1, 1, 3, 31, 33},  {2, 3, 2, 3, 2, 5},
      {1, 1, 4, 1, 7, 1}, {1, 1, 1, 0, 3, 5},    {1, 1, 1, 1, 300, 129}};
  // Which dimensions an operand has; the others are broadcast.
  for (const auto& shape : shapes)
    for (const auto& [a_mask, b_mask] : std::vector<std::pair<int, int>>{
             {63, 63}, {63, 1}, {1, 63}, {62, 63}, {63, 0}, {42, 21}}) {
      CAPTURE(shape[3], shape[4], shape[5], a_mask, b_mask);
      BroadcastGeometry g;
      g.shape = shape;
      std::int64_t n = 1, a_size = 1, b_size = 1;
      for (std::size_t d = 6; d-- > 0;) {
        n *= shape[d];
        const bool in_a = a_mask >> (5 - d) & 1, in_b = b_mask >> (5 - d) & 1;
        g.a_step[d] = in_a ? a_size : 0;
        g.b_step[d] = in_b ? b_size : 0;
        if (in_a) a_size *= shape[d];
        if (in_b) b_size *= shape[d];
      }
      const auto a = random_values<T>(a_size, 1, 1, 3), b = random_values<T>(b_size, 2, 1, 3);
      for (const auto& [op, f] : ops) {
        std::vector<double> expected;
        for (std::int64_t i = 0; i < n; ++i) {
          std::int64_t rest = i, ai = 0, bi = 0;
          for (std::size_t d = 6; d-- > 0;) {
            ai += rest % shape[d] * g.a_step[d];
            bi += rest % shape[d] * g.b_step[d];
            rest /= shape[d];
          }
          expected.push_back(
              f(double(a[static_cast<std::size_t>(ai)]), double(b[static_cast<std::size_t>(bi)])));
        }
        require_each_close(on_threads<T>(n,
                                         [&, op = op](CpuContext& context, T* out) {
                                           binary(context, op, g, a.data(), b.data(), out);
                                         }),
                           expected, 1);
        if (a_mask == 63)
          require_each_close(on_threads_from<T>(a,
                                                [&, op = op](CpuContext& context, T* out) {
                                                  binary(context, op, g, out, b.data(), out);
                                                }),
                             expected, 1);
      }
    }
}

TEMPLATE_TEST_CASE("maximum and minimum keep NaN and give a on ties", "", float, double) {
  using T = TestType;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  BroadcastGeometry g;
  g.shape[5] = 4;
  g.a_step[5] = g.b_step[5] = 1;
  const std::vector<T> a{nan, 1, T(0.0), T(-0.0)}, b{1, nan, T(-0.0), T(0.0)};
  for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum}) {
    std::vector<T> y(4);
    CpuContext context(1);
    binary(context, op, g, a.data(), b.data(), y.data());
    REQUIRE(std::isnan(y[0]));
    REQUIRE(std::isnan(y[1]));
    REQUIRE_FALSE(std::signbit(y[2]));
    REQUIRE(std::signbit(y[3]));
  }
}

TEMPLATE_TEST_CASE("affine scales and shifts", "", float, double) {
  using T = TestType;
  for (const std::int64_t n : {0, 1, 33, 40001}) {
    const auto x = integer_values<T>(n, 1);
    std::vector<T> expected;
    for (const T value : x) expected.push_back(3 * value - 2);
    REQUIRE(on_threads<T>(n, [&](CpuContext& context, T* y) {
              affine(context, n, T(3), T(-2), x.data(), y);
            }) == expected);
    REQUIRE(on_threads_from<T>(x, [&](CpuContext& context, T* y) {
              affine(context, n, T(3), T(-2), y, y);
            }) == expected);
  }
}

TEMPLATE_TEST_CASE("copy_rows and fill for every element type", "", float, double, std::uint8_t,
                   std::int32_t, std::int64_t, bfloat16) {
  using T = TestType;
  for (const std::int64_t columns : {1, 31, 64})
    for (const std::int64_t gap : {0, 3}) {
      const std::int64_t rows = 1003;
      std::vector<T> x;
      for (std::int64_t i = 0; i < rows * columns; ++i) x.push_back(T(static_cast<float>(i % 100)));
      const auto xs = spread(x, columns, columns + gap);
      const auto y = on_threads<T>(rows * (columns + 2 * gap), [&](CpuContext& context, T* out) {
        copy_rows(context, rows, columns, xs.data(), columns + gap, out, columns + 2 * gap);
      });
      REQUIRE(gather(y, columns, columns + 2 * gap) == x);
    }
  const T seven(7.0f);
  REQUIRE(on_threads<T>(40001, [&](CpuContext& context, T* y) {
            fill(context, 40001, seven, y);
          }) == std::vector<T>(40001, seven));
}

TEMPLATE_TEST_CASE("add_rows adds into pitched rows", "", float, double) {
  using T = TestType;
  for (const std::int64_t gap : {0, 5}) {
    const std::int64_t rows = 1003, columns = 33;
    const auto x = integer_values<T>(rows * columns, 1), y = integer_values<T>(rows * columns, 2);
    std::vector<T> expected;
    for (std::size_t i = 0; i < x.size(); ++i) expected.push_back(x[i] + y[i]);
    const auto xs = spread(x, columns, columns + gap), ys = spread(y, columns, columns + 2 * gap);
    const auto sum = on_threads_from<T>(ys, [&](CpuContext& context, T* out) {
      add_rows(context, rows, columns, xs.data(), columns + gap, out, columns + 2 * gap);
    });
    REQUIRE(gather(sum, columns, columns + 2 * gap) == expected);
  }
}

TEST_CASE("convert goes between any two types") {
  const std::vector<double> values{0, 1, 2.75, 100, 37.5};
  CpuContext context(1);
  const std::vector<DType> types{DType::float32, DType::float64, DType::bfloat16,
                                 DType::uint8,   DType::int32,   DType::int64};
  const auto integral = [](DType type) { return !is_floating(type); };
  for (const DType from : types)
    for (const DType to : types) {
      CAPTURE(name_of(from), name_of(to));
      Guarded<std::uint8_t> x(40), y(40);
      std::vector<double> back(values.size());
      const auto n = static_cast<std::int64_t>(values.size());
      convert(context, n, DType::float64, values.data(), from, x.data());
      convert(context, n, from, x.data(), to, y.data());
      convert(context, n, to, y.data(), DType::float64, back.data());
      for (std::size_t i = 0; i < values.size(); ++i)
        REQUIRE(back[i] == (integral(from) || integral(to) ? std::trunc(values[i]) : values[i]));
    }
  const std::vector<float> negative{-1.75f, -0.5f};
  std::int32_t truncated[2];
  convert(context, 2, DType::float32, negative.data(), DType::int32, truncated);
  REQUIRE(truncated[0] == -1);
  REQUIRE(truncated[1] == 0);
  const std::vector<std::int64_t> large{(std::int64_t{1} << 53) + 2};
  double exact = 0;
  convert(context, 1, DType::int64, large.data(), DType::float64, &exact);
  REQUIRE(exact == 9007199254740994.0);
}

TEMPLATE_TEST_CASE("permute reorders dimensions", "", float, double, std::uint8_t) {
  using T = TestType;
  struct Order {
    std::vector<std::int64_t> shape;
    std::vector<int> order;
  };
  for (const Order& o : std::vector<Order>{{{7}, {0}},
                                           {{31, 33}, {1, 0}},
                                           {{2, 3, 5, 7}, {0, 3, 1, 2}},
                                           {{2, 3, 5, 7}, {0, 2, 3, 1}},
                                           {{40, 30, 20}, {2, 1, 0}},
                                           {{2, 3, 1, 2, 3, 2}, {5, 3, 1, 4, 2, 0}},
                                           {{4, 0, 3}, {2, 0, 1}},
                                           {{}, {}}}) {
    std::int64_t n = 1;
    for (const std::int64_t size : o.shape) n *= size;
    std::vector<T> x, expected(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) x.push_back(static_cast<T>(i * 7 % 251));
    const std::size_t rank = o.shape.size();
    for (std::int64_t i = 0; i < n; ++i) {
      std::vector<std::int64_t> at(rank);
      std::int64_t rest = i, target = 0;
      for (std::size_t d = rank; d-- > 0;) {
        at[d] = rest % o.shape[d];
        rest /= o.shape[d];
      }
      for (std::size_t d = 0; d < rank; ++d) {
        const auto source = static_cast<std::size_t>(o.order[d]);
        target = target * o.shape[source] + at[source];
      }
      expected[static_cast<std::size_t>(target)] = x[static_cast<std::size_t>(i)];
    }
    REQUIRE(on_threads<T>(n, [&](CpuContext& context, T* y) {
              permute(context, int(rank), o.shape.data(), o.order.data(), x.data(), y);
            }) == expected);
  }
}
