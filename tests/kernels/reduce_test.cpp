// Reductions against plain loops in double.
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/reduce.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

const std::vector<ReduceGeometry> cases{
    {1, 0, 1},     {1, 1, 1},     {3, 0, 5},   {1, 31, 1},  {1, 200003, 1}, {1, 9001, 1},
    {33, 1003, 1}, {1, 33, 31},   {7, 32, 33}, {3, 501, 8}, {2, 70, 200},   {1, 20011, 17},
    {2, 9001, 3},  {5000, 10, 1}, {4, 1, 6},   {0, 3, 2}};

}  // namespace

TEMPLATE_TEST_CASE("reduce sums and finds maxima", "", float, double) {
  using T = TestType;
  for (const ReduceGeometry& g : cases) {
    CAPTURE(g.outer, g.reduced, g.inner);
    const auto x = random_values<T>(g.outer * g.reduced * g.inner, 1);
    std::vector<double> sum, maximum;
    for (std::int64_t o = 0; o < g.outer; ++o)
      for (std::int64_t i = 0; i < g.inner; ++i) {
        sum.push_back(0);
        maximum.push_back(-std::numeric_limits<double>::infinity());
        for (std::int64_t r = 0; r < g.reduced; ++r) {
          const double value =
              double(x[static_cast<std::size_t>((o * g.reduced + r) * g.inner + i)]);
          sum.back() += value;
          maximum.back() = std::max(maximum.back(), value);
        }
      }
    const auto n = g.outer * g.inner;
    const auto compare = [&](auto& on) {
      const T* const in = on.put(x);
      T* const y = on.template make<T>(n);
      reduce(on.context, ReduceOp::sum, g, in, y);
      // Random terms of both signs: the sum may be small beside them.
      require_close(on.result(y), sum, double(g.reduced), 1);
      T* const z = on.template make<T>(n);
      reduce(on.context, ReduceOp::maximum, g, in, z);
      REQUIRE(to_double(on.result(z)) == maximum);
    };
    g.outer* g.reduced* g.inner < 100000 ? on_devices(compare) : on_cpu(compare);
  }
}

TEMPLATE_TEST_CASE("the maximum keeps NaN wherever it stands", "", float, double) {
  using T = TestType;
  on_devices([&](auto& on) {
    for (const std::size_t at : {0u, 1u, 15u, 16u, 40u, 99u})
      for (const std::int64_t inner : {1, 2}) {
        std::vector<T> x(200, T(1));
        x[at * static_cast<std::size_t>(inner)] = std::numeric_limits<T>::quiet_NaN();
        T* const out = on.template make<T>(inner);
        reduce(on.context, ReduceOp::maximum, {1, 100, inner}, on.put(x), out);
        const auto y = on.result(out);
        REQUIRE(std::isnan(y[0]));
        if (inner == 2) REQUIRE(y[1] == T(1));
      }
  });
}

TEST_CASE("sums of float lose nothing that double would keep") {
  for (const std::int64_t n : {1 << 18, 1 << 22}) {
    const auto compare = [&](auto& on) {
      auto* const x = on.template make<float>(n);
      auto* const y = on.template make<float>(1);
      fill(on.context, n, 0.1f, x);
      reduce(on.context, ReduceOp::sum, {1, n, 1}, x, y);
      REQUIRE(on.result(y)[0] == static_cast<float>(double(0.1f) * double(n)));
    };
    n < (1 << 20) ? on_devices(compare) : on_cpu(compare);
  }
}

TEMPLATE_TEST_CASE("reduce_rows sums pitched columns", "", float, double, bfloat16) {
  using T = TestType;
  for (const std::int64_t rows : {0, 1, 33, 3001, 20011})
    for (const std::int64_t columns : {1, 10, 33, 40})
      for (const std::int64_t gap : {0, 3, 8}) {
        const auto x = integer_values<T>(rows * columns, 1);
        std::vector<double> expected(static_cast<std::size_t>(columns));
        for (std::size_t i = 0; i < x.size(); ++i) expected[i % expected.size()] += double(x[i]);
        const auto xs = spread(x, columns, columns + gap);
        const auto compare = [&](auto& on) {
          auto* const y = on.template make<wide_t<T>>(columns);
          reduce_rows(on.context, rows, columns, on.put(xs), columns + gap, y);
          REQUIRE(to_double(on.result(y)) == expected);
        };
        if (rows < 10000)
          on_devices(compare);
        else if constexpr (!std::is_same_v<T, bfloat16>)
          on_cpu(compare);
      }
}

TEMPLATE_TEST_CASE("cumulate sums up to each place, or from it on", "", float, double,
                   std::int64_t) {
  using T = TestType;
  for (const ReduceGeometry& g : {ReduceGeometry{1, 1, 1}, {3, 100, 1}, {2, 37, 5}, {1, 0, 4}}) {
    const std::int64_t n = g.outer * g.reduced * g.inner;
    std::vector<T> x;
    for (std::int64_t i = 0; i < n; ++i) x.push_back(T(i * 7 % 11 - 5));
    for (const bool reverse : {false, true}) {
      std::vector<T> expected(x.size());
      for (std::int64_t o = 0; o < g.outer; ++o)
        for (std::int64_t i = 0; i < g.inner; ++i)
          for (std::int64_t k = 0; k < g.reduced; ++k)
            for (std::int64_t j = 0; j < g.reduced; ++j)
              if (reverse ? j >= k : j <= k)
                expected[std::size_t((o * g.reduced + k) * g.inner + i)] +=
                    x[std::size_t((o * g.reduced + j) * g.inner + i)];
      on_devices([&](auto& on) {
        T* const y = on.template make<T>(n);
        cumulate(on.context, g, reverse, on.put(x), y);
        REQUIRE(on.result(y) == expected);
      });
    }
  }
}

TEST_CASE("reduce takes int64 exactly") {
  const auto large = std::int64_t{1} << 60;
  const std::vector<std::int64_t> x{large, 1, -5, -large, 2, 7};
  on_devices([&](auto& on) {
    auto* const y = on.template make<std::int64_t>(2);
    reduce(on.context, ReduceOp::sum, {1, 3, 2}, on.put(x), y);
    REQUIRE(on.result(y) == std::vector<std::int64_t>{large - 3, 8 - large});
    reduce(on.context, ReduceOp::maximum, {2, 3, 1}, on.put(x), y);
    REQUIRE(on.result(y) == std::vector<std::int64_t>{large, 7});
    argmax_rows(on.context, 2, 3, on.put(x), y);
    REQUIRE(on.result(y) == std::vector<std::int64_t>{0, 2});
  });
}

TEMPLATE_TEST_CASE("argmax_rows takes the first of the largest, and NaN over all", "", float,
                   double, bfloat16) {
  using T = TestType;
  for (const std::int64_t columns : {1, 2, 10, 33, 100}) {
    const std::int64_t rows = 133;
    const auto x = integer_values<T>(rows * columns, 1);
    const auto xd = to_double(x);
    std::vector<std::int64_t> expected;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto begin = xd.begin() + row * columns;
      expected.push_back(
          static_cast<std::int64_t>(std::max_element(begin, begin + columns) - begin));
    }
    on_devices([&](auto& on) {
      auto* const index = on.template make<std::int64_t>(rows);
      argmax_rows(on.context, rows, columns, on.put(x), index);
      REQUIRE(on.result(index) == expected);
    });
  }
  on_devices([&](auto& on) {
    for (const std::size_t at : {0u, 1u, 3u, 40u}) {
      std::vector<T> x(100, T(1.0f));
      x[5] = T(7.0f);
      x[at] = x[60] = T(std::numeric_limits<float>::quiet_NaN());
      auto* const index = on.template make<std::int64_t>(1);
      argmax_rows(on.context, 1, 100, on.put(x), index);
      REQUIRE(on.result(index)[0] == std::int64_t(at));
    }
  });
}
