// Softmax, log-softmax and cross-entropy against their formulas.
#include <shatter/kernels/softmax_cross_entropy.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

// log softmax of each row.
std::vector<double> log_softmax(std::int64_t classes, const std::vector<double>& x) {
  std::vector<double> y;
  const auto n = static_cast<std::size_t>(classes);
  for (std::size_t row = 0; row + n <= x.size(); row += n) {
    const double top =
        *std::max_element(x.begin() + std::int64_t(row), x.begin() + std::int64_t(row + n));
    double sum = 0;
    for (std::size_t i = row; i < row + n; ++i) sum += std::exp(x[i] - top);
    for (std::size_t i = row; i < row + n; ++i) y.push_back(x[i] - top - std::log(sum));
  }
  return y;
}

const std::vector<std::pair<std::int64_t, std::int64_t>> shapes{
    {0, 10}, {1, 1}, {1, 2}, {33, 10}, {31, 33}, {1003, 10}, {7, 1003}};

}  // namespace

TEMPLATE_TEST_CASE("softmax and log_softmax with their gradients", "", float, double) {
  using T = TestType;
  for (const auto& [rows, classes] : shapes) {
    CAPTURE(rows, classes);
    const std::int64_t n = rows * classes;
    const auto x = random_values<T>(n, 1, -8, 8), dy = random_values<T>(n, 2);
    const auto log_p = log_softmax(classes, to_double(x));
    std::vector<double> p;
    for (const double value : log_p) p.push_back(std::exp(value));
    const auto y = on_threads<T>(n, [&, rows = rows, classes = classes](CpuContext& c, T* out) {
      softmax_forward(c, rows, classes, x.data(), out);
    });
    require_close(y, p);
    const auto log_y = on_threads<T>(n, [&, rows = rows, classes = classes](CpuContext& c, T* out) {
      log_softmax_forward(c, rows, classes, x.data(), out);
    });
    require_close(log_y, log_p);
    std::vector<double> dx, log_dx;
    for (std::int64_t i = 0; i < n; ++i) {
      double product = 0, sum = 0;
      for (std::int64_t j = i / classes * classes; j < (i / classes + 1) * classes; ++j) {
        product += double(dy[std::size_t(j)]) * p[std::size_t(j)];
        sum += double(dy[std::size_t(j)]);
      }
      dx.push_back(p[std::size_t(i)] * (double(dy[std::size_t(i)]) - product));
      log_dx.push_back(double(dy[std::size_t(i)]) - p[std::size_t(i)] * sum);
    }
    const double length = double(classes);
    require_close(on_threads<T>(n,
                                [&, rows = rows, classes = classes](CpuContext& c, T* out) {
                                  softmax_backward(c, rows, classes, y.data(), dy.data(), out);
                                }),
                  dx, length, 0.1);
    require_close(on_threads<T>(n,
                                [&, rows = rows, classes = classes](CpuContext& c, T* out) {
                                  log_softmax_backward(c, rows, classes, log_y.data(), dy.data(),
                                                       out);
                                }),
                  log_dx, length, 8);
  }
}

TEMPLATE_TEST_CASE("softmax_cross_entropy gives loss and gradient with label smoothing", "", float,
                   double) {
  using T = TestType;
  for (const auto& [rows, classes] : shapes)
    for (const double smoothing : {0.0, 0.1}) {
      CAPTURE(rows, classes, smoothing);
      const auto x = random_values<T>(rows * classes, 1, -8, 8);
      std::vector<std::int32_t> labels;
      for (std::int64_t i = 0; i < rows; ++i)
        labels.push_back(static_cast<std::int32_t>(i * 7 % classes));
      const auto log_p = log_softmax(classes, to_double(x));
      std::vector<double> loss, gradient;
      for (std::int64_t row = 0; row < rows; ++row) {
        loss.push_back(0);
        for (std::int64_t i = 0; i < classes; ++i) {
          const double q =
              (labels[std::size_t(row)] == i ? 1 - smoothing : 0.0) + smoothing / double(classes);
          loss.back() -= q * log_p[std::size_t(row * classes + i)];
          gradient.push_back(std::exp(log_p[std::size_t(row * classes + i)]) - q);
        }
      }
      const CrossEntropyGeometry g{rows, classes, smoothing};
      std::vector<T> other_loss(std::size_t(rows), T(0));
      require_close(on_threads<T>(rows,
                                  [&](CpuContext& c, T* out) {
                                    softmax_cross_entropy<T>(c, g, x.data(), labels.data(), out,
                                                             nullptr);
                                  }),
                    loss, 1, 1);
      require_close(on_threads<T>(rows * classes,
                                  [&](CpuContext& c, T* out) {
                                    softmax_cross_entropy(c, g, x.data(), labels.data(),
                                                          other_loss.data(), out);
                                  }),
                    gradient, 1, 1);
    }
}

TEMPLATE_TEST_CASE("softmax and cross-entropy hold at +-1e4", "", float, double) {
  using T = TestType;
  CpuContext context(1);
  const std::vector<T> x{T(1e4), T(-1e4), 0, T(-1e4), T(-1e4), T(-1e4)};
  std::vector<T> y(6), log_y(6), gradient(6), loss(2);
  softmax_forward(context, 2, 3, x.data(), y.data());
  REQUIRE(to_double(std::vector<T>(y.begin(), y.begin() + 3)) == std::vector<double>{1, 0, 0});
  require_close(std::vector<T>(y.begin() + 3, y.end()), {1 / 3., 1 / 3., 1 / 3.});
  log_softmax_forward(context, 2, 3, x.data(), log_y.data());
  REQUIRE(log_y[0] == T(0));
  REQUIRE(log_y[1] == T(-2e4));
  const std::int32_t labels[] = {1, 0};
  softmax_cross_entropy(context, {2, 3, 0}, x.data(), labels, loss.data(), gradient.data());
  REQUIRE(loss[0] == T(2e4));
  require_close(std::vector<T>{loss[1]}, {std::log(3.0)});
  require_close(gradient, {1, -1, 0, 1 / 3. - 1, 1 / 3., 1 / 3.});
}

TEMPLATE_TEST_CASE("a NaN logit makes a NaN loss", "", float, double) {
  using T = TestType;
  CpuContext context(1);
  for (const std::size_t at : {0u, 1u, 2u}) {
    std::vector<T> x{1, 2, 3};
    x[at] = std::numeric_limits<T>::quiet_NaN();
    const std::int32_t label = 1;
    T loss = 0;
    softmax_cross_entropy<T>(context, {1, 3, 0}, x.data(), &label, &loss, nullptr);
    REQUIRE(std::isnan(loss));
  }
}
