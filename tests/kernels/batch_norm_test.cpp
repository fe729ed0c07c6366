// Batch normalisation against the formulas of the paper.
#include <shatter/kernels/batch_norm.h>
#include <shatter/kernels/elementwise.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

using Array = std::vector<double>;

Array means(std::int64_t rows, std::size_t channels, const Array& x) {
  Array mean(channels);
  for (std::size_t i = 0; i < x.size(); ++i) mean[i % channels] += x[i] / double(rows);
  return mean;
}

Array variances(std::int64_t rows, std::size_t channels, const Array& x, const Array& mean) {
  Array variance(channels);
  for (std::size_t i = 0; i < x.size(); ++i)
    variance[i % channels] += std::pow(x[i] - mean[i % channels], 2) / double(rows);
  return variance;
}

template <class T>
std::vector<T> rounded(const Array& values) {
  std::vector<T> result;
  for (const double value : values) result.push_back(static_cast<T>(value));
  return result;
}

struct Case {
  std::int64_t rows, channels, x_gap, y_gap;
};

// Channels and pitches that vectors of 2, 4 and 8 elements divide, and such that they do not.
const std::vector<Case> all_cases{{1, 1, 0, 0},    {2, 3, 0, 0},     {33, 31, 0, 0},
                                  {7, 1003, 0, 0}, {1003, 33, 2, 5}, {37, 32, 0, 16},
                                  {501, 96, 8, 0}, {3, 4096, 0, 0},  {3001, 16, 0, 8},
                                  {40, 8, 3, 8},   {20011, 17, 0, 3}};

// Calls run(on) on every device; what is large, on the CPU alone.
template <class T, class Run>
void on_devices_that_hold(const Case& c, Run run) {
  if (c.rows * c.channels < 60000)
    on_devices(run);
  else if constexpr (!std::is_same_v<T, bfloat16>)
    on_cpu(run);
}

BatchNormGeometry geometry(const Case& c, bool relu, bool training = true) {
  BatchNormGeometry g{c.rows, c.channels, 0, 0, relu, training};
  if (c.x_gap) g.x_pitch = c.channels + c.x_gap;
  if (c.y_gap) g.y_pitch = c.channels + c.y_gap;
  return g;
}

}  // namespace

TEMPLATE_TEST_CASE("batch_norm_statistics are the mean and biased variance", "", float, double,
                   bfloat16) {
  using T = TestType;
  using A = wide_t<T>;
  for (const Case& c : all_cases) {
    CAPTURE(c.rows, c.channels);
    const BatchNormGeometry g = geometry(c, false);
    const auto n = static_cast<std::size_t>(c.channels);
    const auto x = random_values<T>(c.rows * c.channels, 1);
    const Array mean = means(c.rows, n, to_double(x));
    const Array variance = variances(c.rows, n, to_double(x), mean);
    on_devices_that_hold<T>(c, [&](auto& on) {
      A* const m = on.template make<A>(c.channels);
      A* const v = on.template make<A>(c.channels);
      batch_norm_statistics(on.context, g, on.put(spread(x, c.channels, g.x_step())), m, v);
      require_close(on.result(m), mean, double(c.rows));
      require_close(on.result(v), variance, double(c.rows));
    });
  }
}

TEST_CASE("batch_norm_statistics keep the variance beside a large mean over 100352 rows") {
  const std::int64_t rows = 100352;
  auto x = random_values<float>(rows, 1);
  for (float& value : x) value = 1000 + value / 8;
  const Array mean = means(rows, 1, to_double(x));
  const Array variance = variances(rows, 1, to_double(x), mean);
  on_devices([&](auto& on) {
    float* const m = on.template make<float>(1);
    float* const v = on.template make<float>(1);
    batch_norm_statistics(on.context, {rows, 1}, on.put(x), m, v);
    REQUIRE(std::abs(double(on.result(m)[0]) - mean[0]) <= 1e-7 * mean[0]);
    REQUIRE(std::abs(double(on.result(v)[0]) - variance[0]) <= 1e-6 * variance[0]);
  });
}

TEMPLATE_TEST_CASE("batch_norm of a constant channel has variance 0", "", float, double, bfloat16) {
  using T = TestType;
  using A = wide_t<T>;
  const T value(0.1f);
  on_devices([&](auto& on) {
    T* const x = on.put(std::vector<T>(1002, value));
    for (const std::int64_t offset : {0, 3}) {  // 3 elements on, no vector is aligned
      A* const m = on.template make<A>(1);
      A* const v = on.template make<A>(1);
      batch_norm_statistics(on.context, {333, 1}, x + offset, m, v);
      REQUIRE(on.result(m)[0] == A(value));
      REQUIRE(on.result(v)[0] == A(0));
    }
  });
}

TEMPLATE_TEST_CASE("batch_norm forward and backward follow the paper", "", float, double,
                   bfloat16) {
  using T = TestType;
  using A = wide_t<T>;
  const double epsilon = 1e-3;
  for (const Case& c : all_cases)
    for (const bool relu : {false, true})
      for (const bool training : {false, true})
        for (const bool affine : {false, true}) {
          CAPTURE(c.rows, c.channels, relu, training, affine);
          const BatchNormGeometry g = geometry(c, relu, training);
          const auto n = static_cast<std::size_t>(c.channels);
          const auto x = random_values<T>(c.rows * c.channels, 1);
          const auto dy = random_values<T>(c.rows * c.channels, 2);
          const auto gamma = random_values<A>(c.channels, 3, 0.5, 1.5);
          const auto beta = random_values<A>(c.channels, 4);
          const Array xd = to_double(x);
          const auto mean = rounded<A>(means(c.rows, n, xd));
          const auto variance = rounded<A>(variances(c.rows, n, xd, to_double(mean)));

          Array xhat, y, dz, sum_dz(n), sum_dz_xhat(n), expected_dx;
          for (std::size_t i = 0; i < xd.size(); ++i) {
            const std::size_t k = i % n;
            xhat.push_back((xd[i] - double(mean[k])) / std::sqrt(double(variance[k]) + epsilon));
            const double z =
                xhat[i] * (affine ? double(gamma[k]) : 1) + (affine ? double(beta[k]) : 0);
            y.push_back(relu ? std::max(z, 0.0) : z);
            // The mask is the kernel's own: an element at the kink may round to either side.
            dz.push_back(relu && z <= 0 ? 0.0 : double(dy[i]));
            sum_dz[k] += dz[i];
            sum_dz_xhat[k] += dz[i] * xhat[i];
          }
          for (std::size_t i = 0; i < xd.size(); ++i) {
            const std::size_t k = i % n;
            const double scale =
                (affine ? double(gamma[k]) : 1) / std::sqrt(double(variance[k]) + epsilon);
            const double centred = training ? dz[i] - sum_dz[k] / double(c.rows) -
                                                  xhat[i] * sum_dz_xhat[k] / double(c.rows)
                                            : dz[i];
            expected_dx.push_back(scale * centred);
          }

          on_devices_that_hold<T>(c, [&](auto& on) {
            const T* const in = on.put(spread(x, c.channels, g.x_step()));
            const T* const gradient = on.put(spread(dy, c.channels, g.y_step()));
            const A* const m = on.put(mean);
            const A* const v = on.put(variance);
            const A* const gamma_data = affine ? on.put(gamma) : nullptr;
            const A* const beta_data = affine ? on.put(beta) : nullptr;
            T* const out = on.template make<T>(c.rows * g.y_step());
            batch_norm_forward(on.context, g, epsilon, in, m, v, gamma_data, beta_data, out);
            require_close(gather(on.result(out), c.channels, g.y_step()), y, 16);
            T* const dx = on.template make<T>(c.rows * g.x_step());
            A* const dgamma = on.template make<A>(c.channels);
            A* const dbeta = on.template make<A>(c.channels);
            batch_norm_backward(on.context, g, epsilon, in, gradient, m, v, gamma_data, beta_data,
                                dx, dgamma, dbeta);
            const auto dx_values = gather(on.result(dx), c.channels, g.x_step());
            require_close(on.result(dgamma), sum_dz_xhat, double(c.rows));
            require_close(on.result(dbeta), sum_dz, double(c.rows));
            // Of one row dx is 0 up to rounding times 1 / sqrt(epsilon).
            if (c.rows > 1 || !training) require_close(dx_values, expected_dx, 64);
          });
        }
}

TEMPLATE_TEST_CASE("batch_norm fused with ReLU is bitwise its unfused pair", "", float, double,
                   bfloat16) {
  using T = TestType;
  using A = wide_t<T>;
  for (const std::int64_t channels : {33, 32}) {
    const std::int64_t rows = 1003, n = rows * channels;
    const auto x = random_values<T>(n, 1), dy = random_values<T>(n, 2);
    const auto beta = random_values<A>(channels, 4);
    BatchNormGeometry plain{rows, channels}, fused{rows, channels};
    fused.relu = true;
    on_devices([&](auto& on) {
      const T* const in = on.put(x);
      const T* const gradient = on.put(dy);
      const A* const shift = on.put(beta);
      A* const mean = on.template make<A>(channels);
      A* const variance = on.template make<A>(channels);
      batch_norm_statistics(on.context, plain, in, mean, variance);
      const A* const none = nullptr;
      T* const z = on.template make<T>(n);
      T* const y = on.template make<T>(n);
      T* const y_fused = on.template make<T>(n);
      batch_norm_forward(on.context, plain, 1e-3, in, mean, variance, none, shift, z);
      unary_forward(on.context, UnaryOp::relu, n, z, y);
      batch_norm_forward(on.context, fused, 1e-3, in, mean, variance, none, shift, y_fused);
      REQUIRE(on.result(y_fused) == on.get(y));
      T* const dz = on.template make<T>(n);
      unary_backward(on.context, UnaryOp::relu, n, z, y, gradient, dz);
      A* const no_dgamma = nullptr;
      T* const dx = on.template make<T>(n);
      T* const dx_fused = on.template make<T>(n);
      A* const db = on.template make<A>(channels);
      A* const db_fused = on.template make<A>(channels);
      batch_norm_backward(on.context, plain, 1e-3, in, dz, mean, variance, none, shift, dx,
                          no_dgamma, db);
      batch_norm_backward(on.context, fused, 1e-3, in, gradient, mean, variance, none, shift,
                          dx_fused, no_dgamma, db_fused);
      REQUIRE(on.result(dx_fused) == on.get(dx));
      REQUIRE(on.result(db_fused) == on.get(db));
    });
  }
}

TEMPLATE_TEST_CASE("running_average mixes old and new", "", float, double) {
  using T = TestType;
  on_devices([&](auto& on) {
    T* const running = on.put(std::vector<T>{2, 0, -4});
    running_average(on.context, 3, 0.75, 2, on.put(std::vector<T>{1, 2, 4}), running);
    REQUIRE(on.result(running) == std::vector<T>{2, 1, -1});
  });
}
