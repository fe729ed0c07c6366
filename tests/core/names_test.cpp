// The ops beside the names of <cmath>, <algorithm> and namespace std.
#include <algorithm>
#include <cmath>
#include <complex>
#include <functional>
#include <valarray>

#include <shatter/core/ops.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace std;

TEST_CASE("calls of ops are unambiguous beside using namespace std") {
  const Tensor t = Tensor::from({0.25, 0.5}, {2});
  const Tensor y = tanh(t) + exp(t) + log(t) + sqrt(t) + abs(t) + sin(t) + cos(t) + erf(t) +
                   pow(t, 2) + pow(t, 0.5) + pow(t, t) + clamp(t, 0, 1) + norm(t) + max(t) +
                   min(t, 0);
  CHECK(y.shape() == Shape{2});
  CHECK(isnan(t).dtype() == DType::uint8);
  CHECK(equal(t, t).dtype() == DType::uint8);
  CHECK(tanh(0.0) == 0);
  CHECK(pow(2.0, 3) == 8);
}
