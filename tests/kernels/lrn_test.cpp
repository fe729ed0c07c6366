// Local response normalisation against its two sums.
#include <shatter/kernels/lrn.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

std::vector<double> brackets(const LrnGeometry& g, const std::vector<double>& x) {
  std::vector<double> s;
  for (std::int64_t row = 0; row < g.rows; ++row)
    for (std::int64_t c = 0; c < g.channels; ++c) {
      double sum = 0;
      for (std::int64_t j = std::max<std::int64_t>(0, c - g.radius);
           j <= std::min(g.channels - 1, c + g.radius); ++j)
        sum += std::pow(x[static_cast<std::size_t>(row * g.channels + j)], 2);
      s.push_back(g.bias + g.alpha * sum);
    }
  return s;
}

template <class T>
void compare(const LrnGeometry& g, double size) {
  CAPTURE(g.rows, g.channels, g.radius, g.beta);
  const auto x = random_values<T>(g.rows * g.channels, 1, -size, size);
  const auto dy = random_values<T>(g.rows * g.channels, 2);
  const auto xd = to_double(x);
  const auto s = brackets(g, xd);
  std::vector<double> y, dx;
  for (std::size_t i = 0; i < xd.size(); ++i) {
    y.push_back(xd[i] * std::pow(s[i], -g.beta));
    const auto channels = static_cast<std::size_t>(g.channels);
    const std::size_t row = i / channels * channels;
    double sum = 0;
    for (std::size_t j = row; j < row + channels; ++j)
      if (std::abs(double(j) - double(i)) <= double(g.radius))
        sum += double(dy[j]) * xd[j] * std::pow(s[j], -g.beta - 1);
    dx.push_back(double(dy[i]) * std::pow(s[i], -g.beta) - 2 * g.alpha * g.beta * xd[i] * sum);
  }
  const double length = double(2 * g.radius + 1) + 16;
  on_devices([&](auto& on) {
    const T* const in = on.put(x);
    T* const out = on.template make<T>(g.rows * g.channels);
    lrn_forward(on.context, g, in, out);
    require_close(on.result(out), y, length);
    T* const gradient = on.template make<T>(g.rows * g.channels);
    lrn_backward(on.context, g, in, on.put(dy), gradient);
    require_close(on.result(gradient), dx, length);
  });
}

}  // namespace

TEMPLATE_TEST_CASE("lrn with TensorFlow's constants", "", float, double, bfloat16) {
  for (const std::int64_t rows : {0, 1, 33, 203})
    for (const std::int64_t channels : {1, 3, 31, 64}) compare<TestType>({rows, channels}, 50);
}

TEMPLATE_TEST_CASE("lrn with other constants and windows", "", float, double, bfloat16) {
  compare<TestType>({33, 32, 2, 2, 0.3, 0.75}, 3);
  compare<TestType>({33, 32, 0, 1, 0.5, 0.75}, 3);
  compare<TestType>({33, 7, 100, 1, 0.01, 0.5}, 3);  // wider than the row
  compare<TestType>({33, 33, 4, 1.5, 0.1, 1.25}, 3);
  compare<TestType>({3, 2000, 4, 1, 0.1, 0.75}, 3);
}
