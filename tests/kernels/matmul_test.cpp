// Matrix products against three loops.
#include <shatter/kernels/matmul.h>

#include <algorithm>
#include <cmath>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

// Result is T, or float for bfloat16.
template <class T, class Result>
void compare(MatmulGeometry g, wide_t<T> alpha, wide_t<T> beta, std::int64_t gap) {
  CAPTURE(g.m, g.n, g.k, g.transpose_a, g.transpose_b, double(alpha), double(beta), gap);
  const std::int64_t a_rows = g.transpose_a ? g.k : g.m, a_columns = g.transpose_a ? g.m : g.k;
  const std::int64_t b_rows = g.transpose_b ? g.n : g.k, b_columns = g.transpose_b ? g.k : g.n;
  const auto a = random_values<T>(a_rows * a_columns, 1);
  const auto b = random_values<T>(b_rows * b_columns, 2);
  const auto c =
      beta == 0 ? Guarded<Result>(g.m * g.n).values() : random_values<Result>(g.m * g.n, 3);
  std::vector<double> expected;
  for (std::int64_t i = 0; i < g.m; ++i)
    for (std::int64_t j = 0; j < g.n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < g.k; ++l)
        sum += double(a[static_cast<std::size_t>(g.transpose_a ? l * g.m + i : i * g.k + l)]) *
               double(b[static_cast<std::size_t>(g.transpose_b ? j * g.k + l : l * g.n + j)]);
      const double old =
          beta == 0 ? 0 : double(beta) * double(c[static_cast<std::size_t>(i * g.n + j)]);
      expected.push_back(double(alpha) * sum + old);
    }
  if (gap) {
    g.lda = a_columns + gap;
    g.ldb = b_columns + gap + 1;
    g.ldc = g.n + gap + 2;
  }
  const auto as = spread(a, a_columns, a_columns + (gap ? gap : 0));
  const auto bs = spread(b, b_columns, b_columns + (gap ? gap + 1 : 0));
  const std::int64_t c_step = g.n + (gap ? gap + 2 : 0);
  const auto cs = spread(c, g.n, c_step);
  const auto run = [&](auto& on) {
    Result* const there = on.put(cs);
    matmul(on.context, g, alpha, on.put(as), on.put(bs), beta, there);
    require_close(gather(on.result(there), g.n, c_step), expected, double(g.k));
  };
  on_devices(run);
}

template <class T>
void compare(const MatmulGeometry& g, wide_t<T> alpha, wide_t<T> beta, std::int64_t gap) {
  compare<T, T>(g, alpha, beta, gap);
  if constexpr (!std::is_same_v<T, wide_t<T>>) compare<T, wide_t<T>>(g, alpha, beta, gap);
}

/// m, n, k.
using Sizes = std::vector<std::array<std::int64_t, 3>>;

template <class T>
void compare_transpositions(const Sizes& sizes) {
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true})
      for (const auto& size : sizes) {
        const MatmulGeometry g{size[0], size[1], size[2], transpose_a, transpose_b};
        compare<T>(g, 1, 0, 0);
        compare<T>(g, 0.5, 2, 3);
        compare<T>(g, -1, 1, 0);
      }
}

}  // namespace

TEMPLATE_TEST_CASE("matmul agrees with three loops in all transpositions", "", float, double,
                   bfloat16) {
  compare_transpositions<TestType>({{1, 1, 1}, {31, 33, 32}, {1, 33, 70}, {70, 1, 33}});
}

TEMPLATE_TEST_CASE("matmul of several tiles agrees with three loops", "[large]", float, double,
                   bfloat16) {
  compare_transpositions<TestType>({{5, 300, 17}, {301, 10, 65}, {130, 520, 33}});
}

TEST_CASE("matmul rounds float operands to TF32 only where that is allowed") {
  const float fine = 1 + 0x1p-13f;  // TF32 rounds it to 1
  on_cuda([&](auto& on) {
    const float* const a = on.put(std::vector<float>(8, fine));
    const float* const b = on.put(std::vector<float>(8, 1.0f));
    float* const c = on.template make<float>(1);
    const auto product = [&] {
      matmul<float>(on.context, {.m = 1, .n = 1, .k = 8}, 1, a, b, 0, c);
      return on.get(c)[0];
    };
    REQUIRE(product() == 8 * fine);
    on.context.set_tf32(true);
    const float rounded = product();
    // cuBLAS may round, the emulation does.
    REQUIRE((rounded == 8.0f || (rounded == 8 * fine && on.name.starts_with("cuda"))));
  });
}

TEMPLATE_TEST_CASE("matmul with leading dimensions does not read or write the gaps", "", float,
                   double, bfloat16) {
  compare<TestType>({65, 257, 40, false, true}, 1, 0, 5);
  compare<TestType>({257, 65, 40, true, false}, 1, 0, 5);
}

TEMPLATE_TEST_CASE("matmul without inner dimension scales c", "", float, double, bfloat16) {
  compare<TestType>({3, 5, 0}, 1, 0, 0);
  compare<TestType>({3, 5, 0}, 1, 2, 0);
  compare<TestType>({0, 5, 4}, 1, 0, 0);
}

TEMPLATE_TEST_CASE("linear_forward is product, bias and ReLU", "", float, double, bfloat16) {
  using T = TestType;
  for (const auto& size : std::vector<std::array<std::int64_t, 3>>{
           {1, 1, 1}, {33, 31, 31}, {7, 0, 33}, {0, 5, 4}, {130, 70, 300}, {2, 9, 1003}})
    for (const bool biased : {false, true})
      for (const bool relu : {false, true}) {
        const LinearGeometry g{.n = size[0], .in = size[1], .out = size[2], .relu = relu};
        CAPTURE(g.n, g.in, g.out, biased, relu);
        const auto x = random_values<T>(g.n * g.in, 1), w = random_values<T>(g.out * g.in, 2);
        const auto bias = random_values<wide_t<T>>(g.out, 3);
        std::vector<double> expected;
        double largest = 1;  // before the ReLU
        for (std::int64_t i = 0; i < g.n; ++i)
          for (std::int64_t j = 0; j < g.out; ++j) {
            double sum = biased ? double(bias[std::size_t(j)]) : 0;
            for (std::int64_t l = 0; l < g.in; ++l)
              sum += double(x[std::size_t(i * g.in + l)]) * double(w[std::size_t(j * g.in + l)]);
            largest = std::max(largest, std::abs(sum));
            expected.push_back(relu ? std::max(0.0, sum) : sum);
          }
        on_devices([&](auto& on) {
          T* const y = on.template make<T>(g.n * g.out);
          linear_forward<T>(on.context, g, on.put(x), on.put(w), biased ? on.put(bias) : nullptr,
                            y);
          require_close(on.result(y), expected, double(g.in) + 2, largest, 2);
        });
      }
}

TEMPLATE_TEST_CASE("The ReLU of linear_forward lets NaN pass", "", float, double, bfloat16) {
  using T = TestType;
  const std::vector<T> x{T(std::nanf("")), T(-1.0f)}, w{T(1.0f)};
  on_devices([&](auto& on) {
    T* const y = on.template make<T>(2);
    linear_forward<T>(on.context, {.n = 2, .in = 1, .out = 1, .relu = true}, on.put(x), on.put(w),
                      nullptr, y);
    const auto result = on.result(y);
    CHECK(std::isnan(double(result[0])));
    CHECK(double(result[1]) == 0);
  });
}
