// Elementwise kernels against <cmath> in double.
#include <functional>

#include <shatter/kernels/elementwise.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
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

double normal_distribution(double x) {
  return std::erfc(-x / std::sqrt(2.0)) / 2;
}

const std::vector<Function> functions{
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
     [](double x) { return 1 - std::tanh(x) * std::tanh(x); }, -2, 2},
    {UnaryOp::sin, [](double x) { return std::sin(x); }, [](double x) { return std::cos(x); }, 0.2,
     1.3},
    {UnaryOp::cos, [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }, 0.2,
     1.3},
    {UnaryOp::erf, [](double x) { return std::erf(x); },
     [](double x) { return 2 / std::sqrt(std::acos(-1.0)) * std::exp(-x * x); }, -2, 2},
    {UnaryOp::sign, [](double x) { return x > 0   ? 1.0
                                          : x < 0 ? -1.0
                                                  : 0.0; },
     [](double) { return 0.0; }, -3, 3},
    {UnaryOp::log1p, [](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); },
     0.01, 3},
    {UnaryOp::expm1, [](double x) { return std::expm1(x); }, [](double x) { return std::exp(x); },
     -2, 2},
    {UnaryOp::floor, [](double x) { return std::floor(x); }, [](double) { return 0.0; }, -3, 3},
    {UnaryOp::ceil, [](double x) { return std::ceil(x); }, [](double) { return 0.0; }, -3, 3},
    {UnaryOp::round, [](double x) { return std::nearbyint(x); }, [](double) { return 0.0; }, -3, 3},
    {UnaryOp::gelu, [](double x) { return x * normal_distribution(x); },
     [](double x) {
       return normal_distribution(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0));
     },
     0.2, 3}};

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEMPLATE_TEST_CASE("unary functions and their gradients agree with cmath", "", float, double,
                   bfloat16) {
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
      on_devices([&](auto& on) {
        T* const in = on.put(x);
        T* const out = on.template make<T>(n);
        unary_forward(on.context, f.op, n, in, out);
        const auto y = on.result(out);
        require_each_close(y, value);
        T* const gradient_in = on.put(dy);
        T* const gradient_out = on.template make<T>(n);
        unary_backward(on.context, f.op, n, in, out, gradient_in, gradient_out);
        const auto dx = on.result(gradient_out);
        // y (1 - y) has the rounding of y near 1, and a stored y counts twice in y^2.
        require_close(dx, gradient, 16, 1, 3);
        unary_backward(on.context, f.op, n, in, out, gradient_in, gradient_in);
        REQUIRE(on.result(gradient_in) == dx);
        unary_forward(on.context, f.op, n, in, in);
        REQUIRE(on.result(in) == y);
      });
    }
}

TEMPLATE_TEST_CASE("unary functions at zero, NaN and far out", "", float, double, bfloat16) {
  using T = TestType;
  const T nan(std::numeric_limits<float>::quiet_NaN());
  on_devices([&](auto& on) {
    const auto apply = [&](UnaryOp op, float x) {
      T* const y = on.template make<T>(1);
      unary_forward(on.context, op, 1, on.put_value(T(x)), y);
      return double(on.result(y)[0]);
    };
    const auto slope = [&](UnaryOp op, float value) {
      T* const x = on.put_value(T(value));
      T* const y = on.template make<T>(1);
      T* const dx = on.put_value(T(1.0f));
      unary_forward(on.context, op, 1, x, y);
      unary_backward(on.context, op, 1, x, y, dx, dx);
      return double(on.result(dx)[0]);
    };
    for (const Function& f : functions) REQUIRE(std::isnan(apply(f.op, float(nan))));
    REQUIRE(apply(UnaryOp::relu, -0.0f) == 0);
    REQUIRE(slope(UnaryOp::relu, 0) == 0);
    REQUIRE(slope(UnaryOp::abs, 0) == 0);
    REQUIRE(apply(UnaryOp::exp, 1e4f) == infinity);
    REQUIRE(apply(UnaryOp::exp, -1e4f) == 0);
    for (const UnaryOp op : {UnaryOp::sigmoid, UnaryOp::tanh}) {
      REQUIRE(apply(op, 1e4f) == 1);
      REQUIRE(apply(op, -1e4f) == (op == UnaryOp::tanh ? -1 : 0));
      REQUIRE(slope(op, 1e4f) == 0);
      REQUIRE(slope(op, -1e4f) == 0);
    }
    REQUIRE(apply(UnaryOp::log, 0) == -infinity);
  });
}

TEMPLATE_TEST_CASE("binary functions broadcast over any dimensions", "", float, double, bfloat16) {
  using T = TestType;
  const std::vector<std::pair<BinaryOp, std::function<double(double, double)>>> ops{
      {BinaryOp::add, std::plus<>()},
      {BinaryOp::subtract, std::minus<>()},
      {BinaryOp::multiply, std::multiplies<>()},
      {BinaryOp::divide, std::divides<>()},
      {BinaryOp::maximum, [](double a, double b) { return std::max(a, b); }},
      {BinaryOp::minimum, [](double a, double b) { return std::min(a, b); }},
      {BinaryOp::pow, [](double a, double b) { return std::pow(a, b); }},
      {BinaryOp::left, [](double a, double) { return a; }}};
  const std::vector<std::array<std::int64_t, 6>> shapes{
      {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1003}, {1, 1, 1, 3, 31, 33},  {2, 3, 2, 3, 2, 5},
      {1, 1, 4, 1, 7, 1}, {1, 1, 1, 0, 3, 5},    {1, 1, 1, 1, 300, 129}};
  // Which dimensions an operand has; the others are broadcast.
  for (const auto& shape : shapes)
    for (const auto& [a_dimensions, b_dimensions] : std::vector<std::pair<int, int>>{
             {63, 63}, {63, 1}, {1, 63}, {62, 63}, {63, 0}, {42, 21}}) {
      const int a_mask = a_dimensions, b_mask = b_dimensions;
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
        on_devices([&, op = op](auto& on) {
          T* const left = on.put(a);
          T* const right = on.put(b);
          T* const y = on.template make<T>(n);
          binary(on.context, op, g, left, right, y);
          require_each_close(on.result(y), expected, 1);
          if (a_mask != 63) return;
          binary(on.context, op, g, left, right, left);
          REQUIRE(on.result(left) == on.get(y));
        });
      }
    }
}

TEMPLATE_TEST_CASE("maximum and minimum keep NaN and give a on ties", "", float, double, bfloat16) {
  using T = TestType;
  const T nan(std::numeric_limits<float>::quiet_NaN()), one(1.0f), zero(0.0f), minus_zero(-0.0f);
  BroadcastGeometry g;
  g.shape[5] = 4;
  g.a_step[5] = g.b_step[5] = 1;
  const std::vector<T> a{nan, one, zero, minus_zero}, b{one, nan, minus_zero, zero};
  on_devices([&](auto& on) {
    for (const BinaryOp op : {BinaryOp::maximum, BinaryOp::minimum}) {
      T* const out = on.template make<T>(4);
      binary(on.context, op, g, on.put(a), on.put(b), out);
      const auto y = on.result(out);
      REQUIRE(std::isnan(float(y[0])));
      REQUIRE(std::isnan(float(y[1])));
      REQUIRE_FALSE(std::signbit(float(y[2])));
      REQUIRE(std::signbit(float(y[3])));
    }
  });
}

TEMPLATE_TEST_CASE("comparisons give 1 and 0, select chooses by them", "", float, double, bfloat16,
                   std::uint8_t, std::int32_t, std::int64_t) {
  using T = TestType;
  BroadcastGeometry g;
  g.shape[4] = 17;
  g.shape[5] = 59;
  g.a_step[4] = 59;
  g.a_step[5] = g.b_step[5] = 1;
  std::vector<T> a, b;  // few values, so that many are equal
  for (int i = 0; i < 1003; ++i) a.push_back(static_cast<T>(static_cast<float>(i * 7 % 5)));
  for (int i = 0; i < 59; ++i) b.push_back(static_cast<T>(static_cast<float>(i * 3 % 5)));
  const std::vector<std::pair<CompareOp, std::function<bool(double, double)>>> ops{
      {CompareOp::equal, std::equal_to<>()},
      {CompareOp::not_equal, std::not_equal_to<>()},
      {CompareOp::less, std::less<>()},
      {CompareOp::less_equal, std::less_equal<>()}};
  for (const auto& [op, f] : ops) {
    std::vector<std::uint8_t> expected;
    std::vector<double> chosen;
    for (std::size_t i = 0; i < a.size(); ++i) {
      expected.push_back(f(double(a[i]), double(b[i % 59])));
      chosen.push_back(double(expected.back() ? a[i] : T(9)));
    }
    on_devices([&, op = op](auto& on) {
      auto* const mask = on.template make<std::uint8_t>(1003);
      T* const left = on.put(a);
      compare(on.context, op, g, left, on.put(b), mask);
      REQUIRE(on.result(mask) == expected);
      select(on.context, 1003, mask, left, on.put(std::vector<T>(1003, T(9))), left);
      REQUIRE(to_double(on.result(left)) == chosen);
    });
  }
}

TEMPLATE_TEST_CASE("integers wrap, and have no quotient", "", std::uint8_t, std::int32_t,
                   std::int64_t) {
  using T = TestType;
  using Limits = std::numeric_limits<T>;
  BroadcastGeometry g;
  g.shape[5] = 3;
  g.a_step[5] = g.b_step[5] = 1;
  const std::vector<T> a{Limits::max(), Limits::min(), T(5)}, b{T(1), T(1), T(3)};
  on_devices([&](auto& on) {
    const auto apply = [&](BinaryOp op) {
      T* const y = on.template make<T>(3);
      binary(on.context, op, g, on.put(a), on.put(b), y);
      return on.result(y);
    };
    REQUIRE(apply(BinaryOp::add) == std::vector<T>{Limits::min(), T(Limits::min() + 1), T(8)});
    REQUIRE(apply(BinaryOp::subtract) == std::vector<T>{T(Limits::max() - 1), Limits::max(), T(2)});
    REQUIRE(apply(BinaryOp::multiply) == std::vector<T>{Limits::max(), Limits::min(), T(15)});
    REQUIRE(apply(BinaryOp::maximum) == std::vector<T>{Limits::max(), T(1), T(5)});
    REQUIRE(apply(BinaryOp::left) == a);
    REQUIRE_THROWS_WITH(apply(BinaryOp::divide), Contains("integers have no divide"));
  });
}

TEST_CASE("double becomes bfloat16 in one rounding") {
  // Just beside the middle of two neighbours, where float already sees the middle; and far numbers.
  const double middle = 1 + 0x1p-8, odd = 1 + 3 * 0x1p-8;
  const std::vector<double> x{middle,
                              middle + 0x1p-40,
                              middle - 0x1p-40,
                              odd,
                              odd + 0x1p-40,
                              odd - 0x1p-40,
                              -middle - 0x1p-40,
                              1e300,
                              -1e-300,
                              0.1};
  const std::vector<double> expected{
      1,          1 + 0x1p-7,   1,           1 + 0x1p-6,
      1 + 0x1p-6, 1 + 0x1p-7,   -1 - 0x1p-7, std::numeric_limits<double>::infinity(),
      -0.0,       0.10009765625};
  on_devices([&](auto& on) {
    auto* const y = on.template make<bfloat16>(std::int64_t(x.size()));
    convert(on.context, std::int64_t(x.size()), DType::float64, on.put(x), DType::bfloat16, y);
    REQUIRE(to_double(on.result(y)) == expected);
  });
}

TEMPLATE_TEST_CASE("affine scales and shifts", "", float, double, bfloat16) {
  using T = TestType;
  for (const std::int64_t n : {0, 1, 33, 40001}) {
    const auto x = integer_values<T>(n, 1);
    std::vector<double> expected;
    for (const T value : x) expected.push_back(3 * double(value) - 2);
    on_devices([&](auto& on) {
      T* const in = on.put(x);
      T* const y = on.template make<T>(n);
      affine(on.context, n, 3, -2, in, y);
      REQUIRE(to_double(on.result(y)) == expected);
      affine(on.context, n, 3, -2, in, in);
      REQUIRE(to_double(on.result(in)) == expected);
    });
  }
}

TEMPLATE_TEST_CASE("copy_rows and fill for every element type", "", float, double, std::uint8_t,
                   std::int32_t, std::int64_t, bfloat16) {
  using T = TestType;
  const T seven(7.0f);
  on_devices([&](auto& on) {
    for (const std::int64_t columns : {1, 31, 64})
      for (const std::int64_t gap : {0, 3, 16}) {
        const std::int64_t rows = 1003;
        std::vector<T> x;
        for (std::int64_t i = 0; i < rows * columns; ++i)
          x.push_back(T(static_cast<float>(i % 100)));
        T* const y = on.template make<T>(rows * (columns + 2 * gap));
        copy_rows(on.context, rows, columns, on.put(spread(x, columns, columns + gap)),
                  columns + gap, y, columns + 2 * gap);
        REQUIRE(gather(on.result(y), columns, columns + 2 * gap) == x);
      }
    T* const y = on.template make<T>(40001);
    fill(on.context, 40001, seven, y);
    REQUIRE(on.result(y) == std::vector<T>(40001, seven));
  });
}

TEMPLATE_TEST_CASE("add_rows adds into pitched rows", "", float, double, bfloat16) {
  using T = TestType;
  for (const std::int64_t columns : {33, 32})
    for (const std::int64_t gap : {0, 5, 8}) {
      const std::int64_t rows = 1003;
      const auto x = integer_values<T>(rows * columns, 1), y = integer_values<T>(rows * columns, 2);
      std::vector<double> expected;
      for (std::size_t i = 0; i < x.size(); ++i) expected.push_back(double(x[i]) + double(y[i]));
      on_devices([&](auto& on) {
        T* const sum = on.put(spread(y, columns, columns + 2 * gap));
        add_rows(on.context, rows, columns, on.put(spread(x, columns, columns + gap)),
                 columns + gap, sum, columns + 2 * gap);
        REQUIRE(to_double(gather(on.result(sum), columns, columns + 2 * gap)) == expected);
      });
    }
}

TEST_CASE("convert goes between any two types") {
  std::vector<double> values;
  for (const double value : {0.0, 1.0, 2.75, 100.0, 37.5})
    for (int i = 0; i < 7; ++i) values.push_back(value);
  const auto n = static_cast<std::int64_t>(values.size());
  const std::vector<DType> types{DType::float32, DType::float64, DType::bfloat16,
                                 DType::uint8,   DType::int32,   DType::int64};
  const auto integral = [](DType type) { return !is_floating(type); };
  on_devices([&](auto& on) {
    for (const DType from : types)
      for (const DType to : types) {
        CAPTURE(name_of(from), name_of(to));
        auto* const x = on.template make<std::uint8_t>(8 * n);
        auto* const y = on.template make<std::uint8_t>(8 * n);
        auto* const back = on.template make<double>(n);
        convert(on.context, n, DType::float64, on.put(values), from, x);
        convert(on.context, n, from, x, to, y);
        convert(on.context, n, to, y, DType::float64, back);
        const auto result = on.result(back);
        for (std::size_t i = 0; i < values.size(); ++i)
          REQUIRE(result[i] ==
                  (integral(from) || integral(to) ? std::trunc(values[i]) : values[i]));
      }
    auto* const truncated = on.template make<std::int32_t>(2);
    convert(on.context, 2, DType::float32, on.put(std::vector<float>{-1.75f, -0.5f}), DType::int32,
            truncated);
    REQUIRE(on.result(truncated) == std::vector<std::int32_t>{-1, 0});
    const double big = 3e10, infinity = std::numeric_limits<double>::infinity();
    const std::vector<double> outside{300, -1, big, -big, infinity, -infinity, std::nan("")};
    const auto held = [&]<class To>(To) {
      auto* const y = on.template make<To>(7);
      for (const DType from : {DType::float32, DType::float64, DType::bfloat16}) {
        CAPTURE(name_of(from), name_of(dtype_of<To>));
        auto* const x = on.template make<std::uint8_t>(8 * 7);
        convert(on.context, 7, DType::float64, on.put(outside), from, x);
        convert(on.context, 7, from, x, dtype_of<To>, y);
        const auto result = on.result(y);
        for (std::size_t i = 0; i < 7; ++i) {
          const auto least = double(std::numeric_limits<To>::min());
          const auto most = double(std::numeric_limits<To>::max());
          if (outside[i] <= least)
            REQUIRE(result[i] == std::numeric_limits<To>::min());
          else if (outside[i] >= most)
            REQUIRE(result[i] == std::numeric_limits<To>::max());
          else if (std::isnan(outside[i]))
            REQUIRE(result[i] == 0);
        }
      }
    };
    held(std::uint8_t{});
    held(std::int32_t{});
    held(std::int64_t{});
    auto* const exact = on.template make<double>(1);
    convert(on.context, 1, DType::int64, on.put_value((std::int64_t{1} << 53) + 2), DType::float64,
            exact);
    REQUIRE(on.result(exact)[0] == 9007199254740994.0);
  });
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
    on_devices([&](auto& on) {
      T* const y = on.template make<T>(n);
      permute(on.context, int(rank), o.shape.data(), o.order.data(), on.put(x), y);
      REQUIRE(on.result(y) == expected);
    });
  }
}
