// Pooling kernels against the textbook windows.
#include <shatter/kernels/error.h>
#include <shatter/kernels/pool2d.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
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

TEMPLATE_TEST_CASE("max_pool2d finds values, places and gradients", "", float, double) {
  using T = TestType;
  for (const auto& g : cases()) {
    CAPTURE(g.windows.h, g.windows.w, g.windows.r, g.c, g.x_pitch);
    const auto x = integer_values<T>(inputs(g) * g.c, 1);  // small integers: many ties
    const auto dy = random_values<T>(outputs(g) * g.c, 2);
    const auto expected = reference::max_pool2d(g.windows, g.c, to_double(x));
    const auto xs = spread(x, g.c, g.x_step()), dys = spread(dy, g.c, g.y_step());
    const std::int64_t y_size = outputs(g) * g.y_step();
    std::vector<std::uint8_t> dummy(static_cast<std::size_t>(outputs(g) * g.c));
    const auto y = on_threads<T>(y_size, [&](CpuContext& context, T* out) {
      max_pool2d_forward(context, g, xs.data(), out, dummy.data());
    });
    REQUIRE(to_double(gather(y, g.c, g.y_step())) == expected.y);
    const auto index =
        on_threads<std::uint8_t>(outputs(g) * g.c, [&](CpuContext& context, std::uint8_t* out) {
          std::vector<T> space(static_cast<std::size_t>(y_size));
          max_pool2d_forward(context, g, xs.data(), space.data(), out);
        });
    REQUIRE(std::vector<int>(index.begin(), index.end()) == expected.index);
    const auto dx = on_threads<T>(inputs(g) * g.x_step(), [&](CpuContext& context, T* out) {
      max_pool2d_backward(context, g, dys.data(), index.data(), out);
    });
    require_close(gather(dx, g.c, g.x_step()),
                  reference::max_pool2d_backward(g.windows, g.c, to_double(dy), expected.index),
                  double(g.windows.r * g.windows.s));
  }
}

TEMPLATE_TEST_CASE("max_pool2d lets the first NaN win and never padding", "", float, double) {
  using T = TestType;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const Pool2dGeometry g{{1, 2, 2, 3, 3, 1, 1, {1, 1, 1, 1}}, 2};
  const std::vector<T> x{-5, 1, -6, nan, -7, nan, -8, 4};
  std::vector<T> y(8);
  std::vector<std::uint8_t> index(8);
  CpuContext context(1);
  max_pool2d_forward(context, g, x.data(), y.data(), index.data());
  REQUIRE(y[0] == T(-5));
  REQUIRE(std::isnan(y[1]));
  REQUIRE(int(index[0]) == 4);
  REQUIRE(int(index[1]) == 5);
}

TEST_CASE("max_pool2d refuses a window of more than 255 places") {
  const Pool2dGeometry g{{1, 16, 16, 16, 16, 1, 1, {}}, 1};
  const std::vector<float> x(256);
  float y = 0;
  std::uint8_t index = 0;
  CpuContext context(1);
  REQUIRE_THROWS_AS(max_pool2d_forward(context, g, x.data(), &y, &index), Error);
}

TEMPLATE_TEST_CASE("avg_pool2d leaves padding out of the count", "", float, double) {
  using T = TestType;
  for (const auto& g : cases()) {
    CAPTURE(g.windows.h, g.windows.w, g.windows.r, g.c, g.x_pitch);
    const auto x = random_values<T>(inputs(g) * g.c, 1);
    const auto dy = random_values<T>(outputs(g) * g.c, 2);
    const auto xs = spread(x, g.c, g.x_step()), dys = spread(dy, g.c, g.y_step());
    const double length = double(g.windows.r * g.windows.s);
    const auto y = on_threads<T>(outputs(g) * g.y_step(), [&](CpuContext& context, T* out) {
      avg_pool2d_forward(context, g, xs.data(), out);
    });
    require_close(gather(y, g.c, g.y_step()), reference::avg_pool2d(g.windows, g.c, to_double(x)),
                  length);
    const auto dx = on_threads<T>(inputs(g) * g.x_step(), [&](CpuContext& context, T* out) {
      avg_pool2d_backward(context, g, dys.data(), out);
    });
    require_close(gather(dx, g.c, g.x_step()),
                  reference::avg_pool2d_backward(g.windows, g.c, to_double(dy)), length);
  }
}
