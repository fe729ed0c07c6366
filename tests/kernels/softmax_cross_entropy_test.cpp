// Softmax, log-softmax and cross-entropy against their formulas.
#include <shatter/kernels/softmax_cross_entropy.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
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
    {0, 10}, {1, 1}, {1, 2}, {33, 10}, {31, 33}, {203, 10}, {7, 1003}};

}  // namespace

TEMPLATE_TEST_CASE("softmax and log_softmax with their gradients", "", float, double, bfloat16) {
  using T = TestType;
  for (const auto& [rows_, classes_] : shapes) {
    const std::int64_t rows = rows_, classes = classes_, n = rows * classes;
    CAPTURE(rows, classes);
    const auto x = random_values<T>(n, 1, -8, 8), dy = random_values<T>(n, 2);
    const auto log_p = log_softmax(classes, to_double(x));
    std::vector<double> p, dx, log_dx;
    for (const double value : log_p) p.push_back(std::exp(value));
    // The gradients are functions of y as it is stored.
    std::vector<T> stored_p, stored_log_p;
    for (std::size_t i = 0; i < p.size(); ++i) {
      stored_p.push_back(static_cast<T>(static_cast<wide_t<T>>(p[i])));
      stored_log_p.push_back(static_cast<T>(static_cast<wide_t<T>>(log_p[i])));
    }
    for (std::size_t i = 0; i < p.size(); ++i) {
      const std::size_t begin = i / std::size_t(classes) * std::size_t(classes);
      double product = 0, sum = 0;
      for (std::size_t j = begin; j < begin + std::size_t(classes); ++j) {
        product += double(dy[j]) * double(stored_p[j]);
        sum += double(dy[j]);
      }
      dx.push_back(double(stored_p[i]) * (double(dy[i]) - product));
      log_dx.push_back(double(dy[i]) - std::exp(double(stored_log_p[i])) * sum);
    }
    const double length = double(classes);
    on_devices([&](auto& on) {
      const T* const in = on.put(x);
      const T* const gradient = on.put(dy);
      T* const y = on.template make<T>(n);
      softmax_forward(on.context, rows, classes, in, y);
      require_close(on.result(y), p);
      T* const log_y = on.template make<T>(n);
      log_softmax_forward(on.context, rows, classes, in, log_y);
      require_close(on.result(log_y), log_p);
      T* const out = on.template make<T>(n);
      softmax_backward(on.context, rows, classes, on.put(stored_p), gradient, out);
      require_close(on.result(out), dx, length, 0.1);
      T* const log_out = on.template make<T>(n);
      log_softmax_backward(on.context, rows, classes, on.put(stored_log_p), gradient, log_out);
      require_close(on.result(log_out), log_dx, length);
    });
  }
}

TEMPLATE_TEST_CASE("softmax_cross_entropy gives loss and gradient with label smoothing", "", float,
                   double, bfloat16) {
  using T = TestType;
  for (const auto& [rows_, classes_] : shapes)
    for (const double smoothing : {0.0, 0.1}) {
      const std::int64_t rows = rows_, classes = classes_;
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
      on_devices([&](auto& on) {
        const T* const logits = on.put(x);
        const std::int32_t* const places = on.put(labels);
        auto* const alone = on.template make<wide_t<T>>(rows);
        softmax_cross_entropy<T>(on.context, g, logits, places, alone, nullptr);
        require_close(on.result(alone), loss, 1, 1);
        auto* const beside = on.template make<wide_t<T>>(rows);
        T* const out = on.template make<T>(rows * classes);
        softmax_cross_entropy(on.context, g, logits, places, beside, out);
        require_close(on.result(out), gradient, 1, 1);
        REQUIRE(on.result(beside) == on.get(alone));
      });
    }
}

TEMPLATE_TEST_CASE("softmax and cross-entropy hold at +-1e4", "", float, double) {
  using T = TestType;
  const std::vector<T> x{T(1e4), T(-1e4), 0, T(-1e4), T(-1e4), T(-1e4)};
  on_devices([&](auto& on) {
    const T* const in = on.put(x);
    T* const y = on.template make<T>(6);
    softmax_forward(on.context, 2, 3, in, y);
    require_close(on.result(y), {1, 0, 0, 1 / 3., 1 / 3., 1 / 3.});
    T* const log_y = on.template make<T>(6);
    log_softmax_forward(on.context, 2, 3, in, log_y);
    REQUIRE(on.result(log_y)[0] == T(0));
    REQUIRE(on.result(log_y)[1] == T(-2e4));
    T* const loss = on.template make<T>(2);
    T* const gradient = on.template make<T>(6);
    softmax_cross_entropy(on.context, {2, 3, 0}, in, on.put(std::vector<std::int32_t>{1, 0}), loss,
                          gradient);
    REQUIRE(on.result(loss)[0] == T(2e4));
    require_close(std::vector<T>{on.result(loss)[1]}, {std::log(3.0)});
    require_close(on.result(gradient), {1, -1, 0, 1 / 3. - 1, 1 / 3., 1 / 3.});
  });
}

TEMPLATE_TEST_CASE("a NaN logit makes a NaN loss", "", float, double, bfloat16) {
  using T = TestType;
  on_devices([&](auto& on) {
    for (const std::size_t at : {0u, 1u, 2u}) {
      std::vector<T> x{T(1.0f), T(2.0f), T(3.0f)};
      x[at] = T(std::numeric_limits<float>::quiet_NaN());
      auto* const loss = on.put_value(wide_t<T>(0));
      softmax_cross_entropy<T>(on.context, {1, 3, 0}, on.put(x), on.put_value(std::int32_t{1}),
                               loss, nullptr);
      REQUIRE(std::isnan(on.result(loss)[0]));
    }
  });
}

TEMPLATE_TEST_CASE("on CUDA a label outside the classes makes a NaN loss and gradient", "", float,
                   double, bfloat16) {
  using T = TestType;
  const auto x = random_values<T>(40, 1);
  on_cuda([&](auto& on) {
    for (const double smoothing : {0.0, 0.1}) {
      auto* const loss = on.put(std::vector<wide_t<T>>(4, 0));
      auto* const gradient = on.put(std::vector<T>(40, T(0.0f)));
      softmax_cross_entropy(on.context, {4, 10, smoothing}, on.put(x),
                            on.put(std::vector<std::int32_t>{3, -1, 10, 9}), loss, gradient);
      const auto losses = on.result(loss);
      const auto gradients = on.result(gradient);
      for (std::size_t row = 0; row < 4; ++row) {
        const bool outside = row == 1 || row == 2;
        REQUIRE(std::isnan(losses[row]) == outside);
        for (std::size_t i = 0; i < 10; ++i)
          REQUIRE(std::isnan(float(gradients[10 * row + i])) == outside);
      }
    }
  });
}
