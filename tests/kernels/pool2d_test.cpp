// Pooling kernels against the textbook windows.
#include <shatter/kernels/error.h>
#include <shatter/kernels/pool2d.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/reference.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

std::vector<Pool2dGeometry> cases() {
  std::vector<Pool2dGeometry> list;
  for (const std::int64_t c : {1, 31, 64, 100}) {
    list.push_back({{2, 8, 8, 3, 3, 2, 2, same_padding(8, 8, 3, 3, 2, 2)}, c});  // pads (0, 1)
    list.push_back({{3, 7, 5, 3, 3, 1, 1, {1, 1, 1, 1}}, c});
    list.push_back({{2, 6, 6, 2, 2, 2, 2, {}}, c});
    list.push_back({{1, 7, 7, 7, 7, 1, 1, {}}, c});  // global
    list.push_back({{2, 9, 4, 4, 3, 3, 2, {1, 2, 0, 2}}, c});
    list.push_back({{1, 1, 1, 1, 1, 1, 1, {}}, c});
  }
  const std::size_t packed = list.size();
  for (std::size_t i = 0; i < packed; ++i) {
    Pool2dGeometry g = list[i];
    g.x_pitch = g.c + 3;
    g.y_pitch = g.c + 7;
    list.push_back(g);
    g.x_pitch = g.c + 8;
    g.y_pitch = g.c + 16;
    if (g.c == 64) list.push_back(g);
  }
  return list;
}

std::int64_t inputs(const Pool2dGeometry& g) {
  return g.windows.n * g.windows.h * g.windows.w;
}
std::int64_t outputs(const Pool2dGeometry& g) {
  return g.windows.n * g.windows.out_h() * g.windows.out_w();
}

}  // namespace

TEMPLATE_TEST_CASE("max_pool2d finds values, places and gradients", "", float, double, bfloat16) {
  using T = TestType;
  for (const auto& g : cases()) {
    CAPTURE(g.windows.h, g.windows.w, g.windows.r, g.c, g.x_pitch);
    const auto x = integer_values<T>(inputs(g) * g.c, 1);  // small integers: many ties
    const auto dy = random_values<T>(outputs(g) * g.c, 2);
    const auto expected = reference::max_pool2d(g.windows, g.c, to_double(x));
    const auto expected_dx =
        reference::max_pool2d_backward(g.windows, g.c, to_double(dy), expected.index);
    on_devices([&](auto& on) {
      T* const y = on.template make<T>(outputs(g) * g.y_step());
      auto* const index = on.template make<std::uint8_t>(outputs(g) * g.c);
      max_pool2d_forward(on.context, g, on.put(spread(x, g.c, g.x_step())), y, index);
      REQUIRE(to_double(gather(on.result(y), g.c, g.y_step())) == expected.y);
      const auto places = on.result(index);
      REQUIRE(std::vector<int>(places.begin(), places.end()) == expected.index);
      T* const dx = on.template make<T>(inputs(g) * g.x_step());
      max_pool2d_backward(on.context, g, on.put(spread(dy, g.c, g.y_step())), index, dx);
      require_close(gather(on.result(dx), g.c, g.x_step()), expected_dx,
                    double(g.windows.r * g.windows.s));
    });
  }
}

TEMPLATE_TEST_CASE("max_pool2d lets the first NaN win and never padding", "", float, double,
                   bfloat16) {
  using T = TestType;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Pool2dGeometry g{{1, 2, 2, 3, 3, 1, 1, {1, 1, 1, 1}}, 2};
  std::vector<T> x;
  for (const float value : {-5.0f, 1.0f, -6.0f, nan, -7.0f, nan, -8.0f, 4.0f})
    x.push_back(T(value));
  on_devices([&](auto& on) {
    T* const y = on.template make<T>(8);
    auto* const index = on.template make<std::uint8_t>(8);
    max_pool2d_forward(on.context, g, on.put(x), y, index);
    REQUIRE(on.result(y)[0] == T(-5.0f));
    REQUIRE(std::isnan(float(on.result(y)[1])));
    REQUIRE(int(on.result(index)[0]) == 4);
    REQUIRE(int(on.result(index)[1]) == 5);
  });
}

TEST_CASE("max_pool2d refuses a window of more than 255 places") {
  const Pool2dGeometry g{{1, 16, 16, 16, 16, 1, 1, {}}, 1};
  on_devices([&](auto& on) {
    const auto* const x = on.template make<float>(256);
    auto* const y = on.template make<float>(1);
    auto* const index = on.template make<std::uint8_t>(1);
    REQUIRE_THROWS_AS(max_pool2d_forward(on.context, g, x, y, index), Error);
  });
}

TEMPLATE_TEST_CASE("avg_pool2d leaves padding out of the count", "", float, double, bfloat16) {
  using T = TestType;
  for (const auto& g : cases()) {
    CAPTURE(g.windows.h, g.windows.w, g.windows.r, g.c, g.x_pitch);
    const auto x = random_values<T>(inputs(g) * g.c, 1);
    const auto dy = random_values<T>(outputs(g) * g.c, 2);
    const auto expected = reference::avg_pool2d(g.windows, g.c, to_double(x));
    const auto expected_dx = reference::avg_pool2d_backward(g.windows, g.c, to_double(dy));
    const double length = double(g.windows.r * g.windows.s);
    on_devices([&](auto& on) {
      T* const y = on.template make<T>(outputs(g) * g.y_step());
      avg_pool2d_forward(on.context, g, on.put(spread(x, g.c, g.x_step())), y);
      require_close(gather(on.result(y), g.c, g.y_step()), expected, length);
      T* const dx = on.template make<T>(inputs(g) * g.x_step());
      avg_pool2d_backward(on.context, g, on.put(spread(dy, g.c, g.y_step())), dx);
      require_close(gather(on.result(dx), g.c, g.x_step()), expected_dx, length);
    });
  }
}
