// Batch normalisation against the formulas of the paper.
#include <shatter/kernels/batch_norm.h>
#include <shatter/kernels/elementwise.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
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
  return std::vector<T>(values.begin(), values.end());
}

struct Case {
  std::int64_t rows, channels, x_gap, y_gap;
};

const std::vector<Case> all_cases{{1, 1, 0, 0},    {2, 3, 0, 0},     {33, 31, 0, 0},
                                  {7, 1003, 0, 0}, {1003, 33, 2, 5}, {20011, 17, 0, 3}};

BatchNormGeometry geometry(const Case& c, bool relu, bool training = true) {
  BatchNormGeometry g{c.rows, c.channels, 0, 0, relu, training};
  if (c.x_gap) g.x_pitch = c.channels + c.x_gap;
  if (c.y_gap) g.y_pitch = c.channels + c.y_gap;
  return g;
}

}  // namespace

TEMPLATE_TEST_CASE("batch_norm_statistics are the mean and biased variance", "", float, double) {
  using T = TestType;
  for (const Case& c : all_cases) {
    CAPTURE(c.rows, c.channels);
    const BatchNormGeometry g = geometry(c, false);
    const auto n = static_cast<std::size_t>(c.channels);
    const auto x = random_values<T>(c.rows * c.channels, 1);
    const auto xs = spread(x, c.channels, g.x_step());
    const Array mean = means(c.rows, n, to_double(x));
    const Array variance = variances(c.rows, n, to_double(x), mean);
    std::vector<T> other(n);
    require_close(on_threads<T>(c.channels,
                                [&](CpuContext& context, T* out) {
                                  batch_norm_statistics(context, g, xs.data(), out, other.data());
                                }),
                  mean, double(c.rows));
    require_close(on_threads<T>(c.channels,
                                [&](CpuContext& context, T* out) {
                                  batch_norm_statistics(context, g, xs.data(), other.data(), out);
                                }),
                  variance, double(c.rows));
  }
}

TEST_CASE("batch_norm_statistics keep the variance beside a large mean over 100352 rows") {
  const std::int64_t rows = 100352;
  auto x = random_values<float>(rows, 1);
  for (float& value : x) value = 1000 + value / 8;
  const Array mean = means(rows, 1, to_double(x));
  const Array variance = variances(rows, 1, to_double(x), mean);
  float result[2];
  CpuContext context(2);
  batch_norm_statistics(context, {rows, 1}, x.data(), &result[0], &result[1]);
  REQUIRE(std::abs(double(result[0]) - mean[0]) <= 1e-7 * mean[0]);
  REQUIRE(std::abs(double(result[1]) - variance[0]) <= 1e-6 * variance[0]);
}

TEMPLATE_TEST_CASE("batch_norm of a constant channel has variance 0", "", float, double) {
  const std::vector<TestType> x(999, TestType(0.1));
  TestType mean = 0, variance = 1;
  CpuContext context(1);
  batch_norm_statistics(context, {333, 1}, x.data() + 3, &mean, &variance);
  REQUIRE(mean == TestType(0.1));
  REQUIRE(variance == TestType(0));
}

TEMPLATE_TEST_CASE("batch_norm forward and backward follow the paper", "", float, double) {
  using T = TestType;
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
          const auto gamma = random_values<T>(c.channels, 3, 0.5, 1.5);
          const auto beta = random_values<T>(c.channels, 4);
          const Array xd = to_double(x);
          const auto mean = rounded<T>(means(c.rows, n, xd));
          const auto variance = rounded<T>(variances(c.rows, n, xd, to_double(mean)));

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

          const T* const gamma_data = affine ? gamma.data() : nullptr;
          const T* const beta_data = affine ? beta.data() : nullptr;
          const auto xs = spread(x, c.channels, g.x_step()),
                     dys = spread(dy, c.channels, g.y_step());
          const auto out = on_threads<T>(c.rows * g.y_step(), [&](CpuContext& context, T* result) {
            batch_norm_forward(context, g, epsilon, xs.data(), mean.data(), variance.data(),
                               gamma_data, beta_data, result);
          });
          require_close(gather(out, c.channels, g.y_step()), y, 16);
          std::vector<T> dgamma(n), dbeta(n);
          const auto dx = on_threads<T>(c.rows * g.x_step(), [&](CpuContext& context, T* result) {
            batch_norm_backward(context, g, epsilon, xs.data(), dys.data(), mean.data(),
                                variance.data(), gamma_data, beta_data, result, dgamma.data(),
                                dbeta.data());
          });
          if (c.rows == 1 && training) continue;  // dx is 0 up to rounding times 1 / sqrt(epsilon)
          require_close(gather(dx, c.channels, g.x_step()), expected_dx, 64);
          require_close(dgamma, sum_dz_xhat, double(c.rows));
          require_close(dbeta, sum_dz, double(c.rows));
        }
}

TEMPLATE_TEST_CASE("batch_norm fused with ReLU is bitwise its unfused pair", "", float, double) {
  using T = TestType;
  const std::int64_t rows = 1003, channels = 33;
  const auto x = random_values<T>(rows * channels, 1), dy = random_values<T>(rows * channels, 2);
  const auto beta = random_values<T>(channels, 4);
  BatchNormGeometry plain{rows, channels}, fused{rows, channels};
  fused.relu = true;
  std::vector<T> mean(channels), variance(channels);
  CpuContext context(2);
  batch_norm_statistics(context, plain, x.data(), mean.data(), variance.data());
  const auto n = x.size();
  std::vector<T> z(n), y(n), y_fused(n), dz(n), dx(n), dx_fused(n), db(channels),
      db_fused(channels);
  const T* const none = nullptr;
  batch_norm_forward(context, plain, 1e-3, x.data(), mean.data(), variance.data(), none,
                     beta.data(), z.data());
  unary_forward(context, UnaryOp::relu, std::int64_t(n), z.data(), y.data());
  batch_norm_forward(context, fused, 1e-3, x.data(), mean.data(), variance.data(), none,
                     beta.data(), y_fused.data());
  REQUIRE(y == y_fused);
  unary_backward(context, UnaryOp::relu, std::int64_t(n), z.data(), y.data(), dy.data(), dz.data());
  T* const no_dgamma = nullptr;
  batch_norm_backward(context, plain, 1e-3, x.data(), dz.data(), mean.data(), variance.data(), none,
                      beta.data(), dx.data(), no_dgamma, db.data());
  batch_norm_backward(context, fused, 1e-3, x.data(), dy.data(), mean.data(), variance.data(), none,
                      beta.data(), dx_fused.data(), no_dgamma, db_fused.data());
  REQUIRE(dx == dx_fused);
  REQUIRE(db == db_fused);
}

TEMPLATE_TEST_CASE("running_average mixes old and new", "", float, double) {
  using T = TestType;
  const std::vector<T> batch{1, 2, 4}, start{2, 0, -4};
  const auto running = on_threads_from<T>(start, [&](CpuContext& context, T* y) {
    running_average(context, 3, 0.75, 2, batch.data(), y);
  });
  REQUIRE(running == std::vector<T>{2, 1, -1});
}
