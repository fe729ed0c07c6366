// Reductions against plain loops in double.
#include <shatter/kernels/reduce.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

const std::vector<ReduceGeometry> cases{{1, 0, 1},      {1, 1, 1},     {3, 0, 5},     {1, 31, 1},
                                        {1, 200003, 1}, {33, 1003, 1}, {1, 33, 31},   {7, 32, 33},
                                        {1, 20011, 17}, {2, 9001, 3},  {5000, 10, 1}, {4, 1, 6},
                                        {0, 3, 2}};

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
    // Random terms of both signs: the sum may be small beside them.
    require_close(on_threads<T>(n, [&](CpuContext& context,
                                       T* y) { reduce(context, ReduceOp::sum, g, x.data(), y); }),
                  sum, double(g.reduced), 1);
    REQUIRE(to_double(on_threads<T>(n, [&](CpuContext& context, T* y) {
              reduce(context, ReduceOp::maximum, g, x.data(), y);
            })) == maximum);
  }
}

TEMPLATE_TEST_CASE("the maximum keeps NaN wherever it stands", "", float, double) {
  using T = TestType;
  CpuContext context(1);
  for (const std::size_t at : {0u, 1u, 15u, 16u, 40u, 99u})
    for (const std::int64_t inner : {1, 2}) {
      std::vector<T> x(200, T(1)), y(2);
      x[at * static_cast<std::size_t>(inner)] = std::numeric_limits<T>::quiet_NaN();
      reduce(context, ReduceOp::maximum, {1, 100, inner}, x.data(), y.data());
      REQUIRE(std::isnan(y[0]));
      if (inner == 2) REQUIRE(y[1] == T(1));
    }
}

TEST_CASE("sums of float lose nothing that double would keep") {
  std::vector<float> x(1 << 22, 0.1f);
  float y = 0;
  CpuContext context(2);
  reduce(context, ReduceOp::sum, {1, 1 << 22, 1}, x.data(), &y);
  REQUIRE(y == static_cast<float>(double(0.1f) * (1 << 22)));
}

TEMPLATE_TEST_CASE("reduce_rows sums pitched columns", "", float, double) {
  using T = TestType;
  for (const std::int64_t rows : {0, 1, 33, 20011})
    for (const std::int64_t columns : {1, 10, 33})
      for (const std::int64_t gap : {0, 3}) {
        const auto x = integer_values<T>(rows * columns, 1);
        std::vector<T> expected(static_cast<std::size_t>(columns));
        for (std::size_t i = 0; i < x.size(); ++i) expected[i % expected.size()] += x[i];
        const auto xs = spread(x, columns, columns + gap);
        REQUIRE(on_threads<T>(columns, [&](CpuContext& context, T* y) {
                  reduce_rows(context, rows, columns, xs.data(), columns + gap, y);
                }) == expected);
      }
}

TEMPLATE_TEST_CASE("argmax_rows takes the first of the largest, and NaN over all", "", float,
                   double) {
  using T = TestType;
  for (const std::int64_t columns : {1, 2, 10, 33}) {
    const std::int64_t rows = 1003;
    const auto x = integer_values<T>(rows * columns, 1);
    std::vector<std::int32_t> expected;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto begin = x.begin() + row * columns;
      expected.push_back(
          static_cast<std::int32_t>(std::max_element(begin, begin + columns) - begin));
    }
    REQUIRE(on_threads<std::int32_t>(rows, [&](CpuContext& context, std::int32_t* index) {
              argmax_rows(context, rows, columns, x.data(), index);
            }) == expected);
  }
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> x{1, nan, 5, nan};
  std::int32_t index = -1;
  CpuContext context(1);
  argmax_rows(context, 1, 4, x.data(), &index);
  REQUIRE(index == 1);
}
