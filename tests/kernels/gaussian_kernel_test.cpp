// The Gaussian kernel matrix against its definition.
#include <shatter/kernels/gaussian_kernel.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

// The packed rows' inner products.
std::vector<double> products(std::int64_t d, const std::vector<double>& a,
                             const std::vector<double>& b) {
  std::vector<double> p;
  const auto columns = static_cast<std::size_t>(d);
  for (std::size_t i = 0; i < a.size(); i += columns)
    for (std::size_t j = 0; j < b.size(); j += columns) {
      p.push_back(0);
      for (std::size_t l = 0; l < columns; ++l) p.back() += a[i + l] * b[j + l];
    }
  return p;
}

template <class T>
std::vector<T> rounded(const std::vector<double>& values) {
  std::vector<T> result;
  for (const double value : values) result.push_back(static_cast<T>(value));
  return result;
}

std::vector<double> norms_of(std::int64_t d, const std::vector<double>& x) {
  std::vector<double> norms(x.size() / static_cast<std::size_t>(d));
  for (std::size_t i = 0; i < x.size(); ++i) norms[i / static_cast<std::size_t>(d)] += x[i] * x[i];
  return norms;
}

}  // namespace

TEMPLATE_TEST_CASE("row_squared_norms", "", float, double) {
  using T = TestType;
  for (const std::int64_t rows : {0, 1, 33, 203})
    for (const std::int64_t columns : {1, 31, 32, 33, 1003}) {
      const auto x = random_values<T>(rows * columns, 1);
      on_devices([&](auto& on) {
        T* const norms = on.template make<T>(rows);
        row_squared_norms(on.context, rows, columns, on.put(x), norms);
        require_close(on.result(norms), norms_of(columns, to_double(x)), double(columns));
      });
    }
}

TEMPLATE_TEST_CASE("gaussian_kernel is exp(-|a - b|^2 / (2 sigma^2))", "", float, double) {
  using T = TestType;
  const std::int64_t d = 7;
  for (const std::int64_t m : {0, 1, 31, 33, 203})
    for (const std::int64_t n : {1, 32, 33})
      for (const double sigma : {0.5, 2.0}) {
        CAPTURE(m, n, sigma);
        const auto a = to_double(random_values<T>(m * d, 1));
        const auto b = to_double(random_values<T>(n * d, 2));
        std::vector<double> expected;
        for (std::size_t i = 0; i < std::size_t(m * n); ++i) {
          double distance = 0;
          for (std::size_t l = 0; l < std::size_t(d); ++l)
            distance += std::pow(a[i / std::size_t(n) * std::size_t(d) + l] -
                                     b[i % std::size_t(n) * std::size_t(d) + l],
                                 2);
          expected.push_back(std::exp(-distance / (2 * sigma * sigma)));
        }
        on_devices([&](auto& on) {
          T* const k = on.put(rounded<T>(products(d, a, b)));
          gaussian_kernel(on.context, {m, n, sigma}, on.put(rounded<T>(norms_of(d, a))),
                          on.put(rounded<T>(norms_of(d, b))), k);
          // The exponent's terms are at most 2 d / sigma^2 together, and their roundings remain.
          require_close(on.result(k), expected, 1, 2 * double(d) / (sigma * sigma));
        });
      }
}

TEMPLATE_TEST_CASE("gaussian_kernel of one set of points has a diagonal of ones", "", float,
                   double) {
  using T = TestType;
  for (const std::int64_t n : {1, 31, 32}) {
    const std::vector<T> norms(std::size_t(n), T(1)), p(std::size_t(n * n), T(0.75));
    for (const bool same : {false, true})
      on_devices([&](auto& on) {
        T* const products_and_k = on.put(p);
        const T* const norms_there = on.put(norms);
        gaussian_kernel(on.context, {n, n, 1, same}, norms_there, norms_there, products_and_k);
        const auto k = on.result(products_and_k);
        for (std::size_t i = 0; i < k.size(); ++i) {
          const bool diagonal = i / std::size_t(n) == i % std::size_t(n);
          const double expected = same && diagonal ? 1 : std::exp(-0.25);
          REQUIRE(std::abs(double(k[i]) - expected) <= (diagonal && same ? 0 : tolerance<T>(1)));
        }
      });
  }
}

TEMPLATE_TEST_CASE("gaussian_kernel takes a negative squared distance for 0", "", float, double) {
  using T = TestType;
  on_devices([&](auto& on) {
    T* const k = on.put(std::vector<T>{T(1.5), 1, T(0.5), -500});
    const T* const norms = on.put_value(T(1));
    gaussian_kernel(on.context, {1, 4, 1}, norms, on.put(std::vector<T>(4, T(1))), k);
    const auto result = on.result(k);
    REQUIRE(result[0] == T(1));
    REQUIRE(result[1] == T(1));
    REQUIRE(std::abs(double(result[2]) - std::exp(-0.5)) <= tolerance<T>(1));
    REQUIRE(double(result[3]) <= 1e-200);
  });
}
