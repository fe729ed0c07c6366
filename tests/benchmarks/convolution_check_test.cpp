// The check that conv_bench trusts: right results pass, wrong ones do not.
#include "benchmarks/convolution_check.h"

#include "benchmarks/layer_sets.h"
#include "tests/support/catch.h"
#include "tests/support/reference.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::benchmarks;
using kernels::Conv2dDirection;

TEST_CASE("The defining sums pass in every direction, and one wrong element fails") {
  for (const char* const shape :
       {"2,7,6,3,4,3,3,1,same", "2,9,8,5,4,3,2,2,same", "1,6,9,2,3,5,5,1,0", "3,5,5,4,2,1,1,2,0"}) {
    CAPTURE(shape);
    const Conv2dGeometry g = parse_shape(shape).geometry;
    const auto x = test::random_values<double>(elements_x(g), 1);
    const auto w = test::random_values<double>(elements_w(g), 2);
    const auto y = test::random_values<double>(elements_y(g), 3);
    const std::pair<Conv2dDirection, reference::Array> results[] = {
        {Conv2dDirection::forward, reference::conv2d_forward(g, x, w, {})},
        {Conv2dDirection::backward_data, reference::conv2d_backward_data(g, y, w)},
        {Conv2dDirection::backward_weight, reference::conv2d_backward_weight(g, x, y)}};
    for (const auto& [direction, right] : results) {
      CAPTURE(int(direction));
      const ConvolutionReference check(g, direction, x, w, y);
      CHECK(check.error(right, 1e-12) <= 1e-12);
      for (std::size_t i = 0; i < right.size(); ++i) {
        reference::Array wrong = right;
        wrong[i] += check.magnitude() / 10;
        REQUIRE(check.error(wrong, 1e-2) > 1e-2);
        wrong[i] = NAN;
        REQUIRE(check.error(wrong, 1e-2) == INFINITY);
      }
      reference::Array shifted = right;
      for (double& value : shifted) value += 1e-5 * check.magnitude();
      CHECK(check.error(shifted, 1e-5) == Approx(1e-5));
    }
  }
}
