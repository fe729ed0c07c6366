// Strided copies, and elements taken and summed by index, against loops over the formulas.
#include <shatter/kernels/indexing.h>

#include <cmath>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

TEMPLATE_TEST_CASE("copy_strided moves a block between strided places and leaves the rest alone",
                   "", float, double, bfloat16, std::uint8_t, std::int32_t, std::int64_t) {
  using T = TestType;
  StridedGeometry g;
  g.shape = {1, 1, 1, 3, 5, 2};
  g.x_step = {0, 0, 0, 40, 2, -1};  // from the end of the last dimension
  g.y_step = {0, 0, 0, 1, 30, 7};
  std::vector<T> x;
  for (int i = 0; i < 120; ++i) x.push_back(static_cast<T>(float(i)));
  on_devices([&](auto& on) {
    const T* const from = on.put(x);
    T* const to = on.put(std::vector<T>(150, static_cast<T>(1.0f)));
    copy_strided<T>(on.context, g, from + 1, to);
    std::vector<T> expected(150, static_cast<T>(1.0f));
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t j = 0; j < 5; ++j)
        for (std::int64_t k = 0; k < 2; ++k)
          expected[std::size_t(i + 30 * j + 7 * k)] = x[std::size_t(1 + 40 * i + 2 * j - k)];
    REQUIRE(on.result(to) == expected);
  });
}

TEMPLATE_TEST_CASE("gather and scatter_add follow their formulas, also outside the range", "",
                   float, double, bfloat16) {
  using T = TestType;
  for (const bool each : {false, true}) {
    const GatherGeometry g{.outer = 3, .extent = 5, .count = 7, .inner = 4, .each = each};
    std::vector<std::int64_t> index;
    for (std::int64_t i = 0; i < (each ? 3 * 7 * 4 : 7); ++i)
      index.push_back((i * i + 3) % 5 - (i == 2 ? 9 : 0));  // one lies below 0
    const auto x = integer_values<T>(3 * 5 * 4, 1), dy = integer_values<T>(3 * 7 * 4, 2);
    std::vector<double> y(3 * 7 * 4), dx(3 * 5 * 4);
    for (std::int64_t o = 0; o < 3; ++o)
      for (std::int64_t j = 0; j < 7; ++j)
        for (std::int64_t i = 0; i < 4; ++i) {
          const std::int64_t k = (o * 7 + j) * 4 + i, a = index[std::size_t(each ? k : j)];
          const bool inside = a >= 0 && a < 5;
          const auto there = std::size_t((o * 5 + a) * 4 + i);
          y[std::size_t(k)] = inside ? double(x[there]) : NAN;
          if (inside) dx[there] += double(dy[std::size_t(k)]);
        }
    on_devices([&](auto& on) {
      const std::int64_t* const places = on.put(index);
      T* const taken = on.template make<T>(3 * 7 * 4);
      gather<T>(on.context, g, on.put(x), places, taken);
      const std::vector<T> result = on.get(taken);
      for (std::size_t i = 0; i < y.size(); ++i) {
        CAPTURE(i, each);
        REQUIRE((double(result[i]) == y[i] || (std::isnan(double(result[i])) && std::isnan(y[i]))));
      }
      T* const sums = on.template make<T>(3 * 5 * 4);
      scatter_add<T>(on.context, g, on.put(dy), places, sums);
      REQUIRE(to_double(on.result(sums)) == dx);
    });
  }
}
