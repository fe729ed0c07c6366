// Convolution kernels against the textbook sums.
#include <array>
#include <bit>
#include <cmath>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cpu/multiversion.h>
#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/error.h>

#include "kernels/cpu/conv2d_onednn.h"
#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/reference.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

Conv2dGeometry geometry(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
                        std::int64_t k, std::int64_t r, std::int64_t s, std::int64_t stride,
                        Padding padding) {
  Conv2dGeometry g;
  g.windows = {n, h, w, r, s, stride, stride, padding};
  g.c = c;
  g.k = k;
  return g;
}

std::vector<Conv2dGeometry> cases() {
  std::vector<Conv2dGeometry> list;
  const auto same = [&](std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
                        std::int64_t k, std::int64_t r, std::int64_t s, std::int64_t stride) {
    list.push_back(geometry(n, h, w, c, k, r, s, stride, same_padding(h, w, r, s, stride, stride)));
  };
  same(2, 7, 7, 3, 16, 3, 3, 1);
  same(9, 8, 8, 16, 32, 3, 3, 2);   // pads (0, 1)
  same(3, 9, 6, 5, 7, 3, 3, 2);     // odd and even sizes
  same(17, 5, 5, 33, 31, 1, 1, 1);  // chunks of images with a shorter last one
  same(1, 11, 11, 4, 6, 5, 5, 1);
  same(2, 4, 13, 3, 5, 1, 7, 1);
  same(2, 8, 8, 2, 3, 2, 2, 1);  // even window
  same(2, 8, 8, 6, 3, 4, 2, 2);
  same(1, 1, 1, 1, 1, 1, 1, 1);
  same(2, 6, 6, 64, 48, 3, 3, 1);
  list.push_back(geometry(2, 6, 5, 4, 3, 3, 3, 1, {}));
  list.push_back(geometry(2, 6, 5, 4, 3, 3, 3, 1, {2, 0, 1, 2}));
  list.push_back(geometry(3, 9, 9, 8, 8, 3, 3, 3, {0, 2, 3, 1}));
  list.push_back(geometry(1, 5, 5, 3, 4, 5, 5, 1, {}));  // one output pixel
  for (const std::int64_t groups : {1, 3}) {
    Conv2dGeometry g = geometry(2, 9, 8, 6, 9, 3, 2, 2, {2, 1, 3, 0});
    g.windows.dilation_h = 2;
    g.windows.dilation_w = 3;
    g.groups = groups;
    list.push_back(g);
  }
  Conv2dGeometry depthwise = geometry(3, 6, 6, 16, 16, 3, 3, 1, {1, 1, 1, 1});
  depthwise.groups = 16;
  list.push_back(depthwise);
  return list;
}

bool fits(const Conv2dGeometry& g, Conv2dAlgorithm algorithm) {
  if (algorithm == Conv2dAlgorithm::onednn) return onednn_fits(g);
  return algorithm != Conv2dAlgorithm::implicit_gemm || !g.windows.is_dilated();
}

struct Problem {
  std::int64_t x, w, y;
  double patch, covered, summed;  // reduction lengths of the three directions
};

Problem sizes(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const auto window = double(win.r * win.s);
  return {win.n * win.h * win.w * g.c,
          g.weights(),
          win.n * win.out_h() * win.out_w() * g.k,
          window * double(g.filter_c()),
          window * double(g.k / g.groups),
          double(win.n * win.out_h() * win.out_w())};
}

// Whether a context has the algorithm for T.
template <class T>
bool has(const CpuContext&, Conv2dAlgorithm algorithm) {
  constexpr bool is_float = std::is_same_v<T, float>;
  switch (algorithm) {
    case Conv2dAlgorithm::onednn:
      return is_float || (std::is_same_v<T, bfloat16> && has_bfloat16_products());
    case Conv2dAlgorithm::winograd: return is_float;
    default: return algorithm == Conv2dAlgorithm::automatic || algorithm == Conv2dAlgorithm::im2col;
  }
}
template <class T>
bool has(const CudaContext&, Conv2dAlgorithm algorithm) {
  return algorithm == Conv2dAlgorithm::automatic || algorithm == Conv2dAlgorithm::im2col ||
         (algorithm == Conv2dAlgorithm::implicit_gemm && !std::is_same_v<T, double>) ||
         (algorithm == Conv2dAlgorithm::cudnn && !std::is_same_v<T, double> && has_cudnn());
}

// Operands that rounding to TF32 leaves alone, so that only the sums are in question.
template <class T>
std::vector<T> operands(std::int64_t n, std::uint64_t seed, bool integers, bool tf32) {
  auto values = integers ? integer_values<T>(n, seed) : random_values<T>(n, seed);
  if constexpr (std::is_same_v<T, float>)
    if (tf32)
      for (T& value : values)
        value = std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000u) & ~0x1fffu);
  return values;
}

// Requires equality after one rounding to T.
template <class T>
void require_equal(const std::vector<T>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    if (!(actual[i] == static_cast<T>(static_cast<wide_t<T>>(expected[i])))) {
      CAPTURE(i, double(actual[i]), expected[i]);
      FAIL("not equal");
    }
}

enum class Data { random, integers };

// How much larger the terms of Winograd's filtering are than those of the plain sums, in the mean
// square over random data: of each output i of one dimension sum_p A_pi^2 |G_p|^2 |B_p|^2 over its
// 3 terms. The points are 0, +-a, +-b and infinity, whose rows are listed below with their norms.
double winograd_amplification() {
  constexpr double a = 0.625, b = 1.5;
  struct Point {
    double p, others;           // the point, and the product of its distances from the other points
    std::array<double, 5> row;  // of B^T
  };
  const auto pair = [](double p, double q, double sign) {
    return Point{sign * p, 2 * p * p * (p * p - q * q), {1, p, q * q, p * q * q, 0}};
  };
  const Point points[]{{0, a * a * b * b, {1, 0, a * a + b * b, 0, a * a * b * b}},
                       pair(a, b, 1),
                       pair(a, b, -1),
                       pair(b, a, 1),
                       pair(b, a, -1)};
  double largest = 0;
  for (int i = 0; i < 4; ++i) {
    double sum = 0;
    for (const Point& point : points) {
      double row = 0;
      for (const double value : point.row) row += value * value;
      const double g =
          (1 + std::pow(point.p, 2) + std::pow(point.p, 4)) / std::pow(point.others, 2);
      sum += (i == 0 ? 1 : std::pow(point.p, 2 * i)) * g * row;
    }
    if (i == 3) sum += 1 + std::pow(a * a + b * b, 2) + std::pow(a * b, 4);  // infinity
    largest = std::max(largest, sum / 3);
  }
  return largest;  // both dimensions: its root, squared
}

// Terms of a plain sum whose error is as large as Winograd's of `length` terms.
double winograd_length(double length) {
  const double factor = winograd_amplification();
  return factor * factor * (length + 16);
}

// Every direction of one geometry against the reference, pitched by `gap` elements, on every device
// that has the algorithm.
template <class T>
void compare(Conv2dGeometry g, Conv2dAlgorithm algorithm, std::int64_t gap, Data data) {
  using W = wide_t<T>;
  const Windows& win = g.windows;
  CAPTURE(win.n, win.h, win.w, g.c, g.k, win.r, win.s, win.stride_h, gap);
  const Problem size = sizes(g);
  const bool integers = data == Data::integers;
  const bool winograd = algorithm == Conv2dAlgorithm::winograd;
  const bool tf32 =
      algorithm != Conv2dAlgorithm::im2col && algorithm != Conv2dAlgorithm::onednn && !winograd;
  const auto x = operands<T>(size.x, 1, integers, tf32), w = operands<T>(size.w, 2, integers, tf32),
             dy = operands<T>(size.y, 4, integers, tf32);
  const auto bias = operands<W>(g.k, 3, integers, false);
  const auto require_same = [&](const auto& actual, const std::vector<double>& expected,
                                double length, double stored = 1) {
    if (integers)
      require_equal(actual, expected);
    else
      require_close(actual, expected, winograd ? winograd_length(length) : length, 1e-3, stored);
  };
  // cuDNN stores its results as T before the bias is added and before they become gradients.
  const bool cudnn = algorithm == Conv2dAlgorithm::automatic || algorithm == Conv2dAlgorithm::cudnn;
  const auto expected_y = reference::conv2d_forward(g, to_double(x), to_double(w), to_double(bias));
  const auto expected_plain = reference::conv2d_forward(g, to_double(x), to_double(w), {});
  const auto expected_dx = reference::conv2d_backward_data(g, to_double(dy), to_double(w));
  const auto expected_dw = reference::conv2d_backward_weight(g, to_double(x), to_double(dy));

  if (gap) {
    g.x_pitch = g.c + gap;
    g.y_pitch = g.k + 2 * gap;
  }
  const auto xs = spread(x, g.c, g.x_step()), dys = spread(dy, g.k, g.y_step());
  const std::int64_t y_size = size.y / g.k * g.y_step(), x_size = size.x / g.c * g.x_step();
  on_devices([&](auto& on) {
    if (!has<T>(on.context, algorithm) || !fits(g, algorithm)) return;
    if constexpr (std::is_same_v<std::decay_t<decltype(on.context)>, CudaContext>)
      on.context.set_tf32(tf32);
    const T* const x_there = on.put(xs);
    const T* const w_there = on.put(w);
    const T* const dy_there = on.put(dys);
    T* const y = on.template make<T>(y_size);
    conv2d_forward<T>(on.context, g, x_there, w_there, on.put(bias), y, algorithm);
    require_same(gather(on.result(y), g.k, g.y_step()), expected_y, size.patch, cudnn ? 2 : 1);
    T* const plain = on.template make<T>(y_size);
    conv2d_forward<T>(on.context, g, x_there, w_there, nullptr, plain, algorithm);
    require_same(gather(on.result(plain), g.k, g.y_step()), expected_plain, size.patch);
    T* const dx = on.template make<T>(x_size);
    conv2d_backward_data<T>(on.context, g, dy_there, w_there, dx, algorithm);
    require_same(gather(on.result(dx), g.c, g.x_step()), expected_dx, size.covered);
    W* const dw = on.template make<W>(size.w);
    conv2d_backward_weight<T>(on.context, g, x_there, dy_there, dw, algorithm);
    const std::vector<W> dw_here = on.result(dw);
    if (cudnn && !std::is_same_v<T, W>)
      require_same(std::vector<T>(dw_here.begin(), dw_here.end()), expected_dw, size.summed);
    else
      require_same(dw_here, expected_dw, size.summed);
  });
}

// Channel counts, windows and strides of the convolutions in the paper's networks, on few pixels.
std::vector<Conv2dGeometry> layers_of_the_paper() {
  std::vector<Conv2dGeometry> list;
  const auto add = [&](std::int64_t n, std::int64_t size, std::int64_t c, std::int64_t k,
                       std::int64_t r, std::int64_t stride) {
    list.push_back(geometry(n, size, size, c, k, r, r, stride,
                            same_padding(size, size, r, r, stride, stride)));
  };
  add(2, 5, 3, 96, 3, 1);  // small Inception
  for (const auto& [size, c, k1, k3] :
       std::vector<std::array<std::int64_t, 4>>{{5, 96, 32, 32},
                                                {5, 64, 32, 48},
                                                {4, 160, 112, 48},
                                                {4, 160, 96, 64},
                                                {3, 160, 80, 80},
                                                {3, 160, 48, 96},
                                                {3, 240, 176, 160},
                                                {2, 336, 176, 160}}) {
    add(1, size, c, k1, 1, 1);
    add(1, size, c, k3, 3, 1);
  }
  add(1, 6, 80, 80, 3, 2);
  add(2, 4, 144, 96, 3, 2);
  add(1, 6, 3, 64, 5, 1);  // small AlexNet
  add(1, 4, 64, 64, 5, 1);
  for (const auto& [r, s] : {std::pair{1, 7}, std::pair{7, 1}})  // Inception V3
    list.push_back(geometry(1, 4, 4, 128, 192, r, s, 1, same_padding(4, 4, r, s, 1, 1)));
  return list;
}

}  // namespace

TEMPLATE_TEST_CASE("conv2d by oneDNN agrees with the sums in every direction", "", float,
                   bfloat16) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::onednn, 0, Data::random);
}

TEMPLATE_TEST_CASE("conv2d by oneDNN is exact on small integers", "", float, bfloat16) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::onednn, 0, Data::integers);
}

TEMPLATE_TEST_CASE("conv2d by oneDNN reads and writes pitched images and leaves the gaps alone", "",
                   float, bfloat16) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::onednn, 3, Data::integers);
}

TEST_CASE("conv2d by Winograd agrees with the sums in every direction") {
  for (const std::int64_t gap : {0, 3})
    for (const auto& g : cases())
      if (winograd_fits(g)) compare<float>(g, Conv2dAlgorithm::winograd, gap, Data::random);
  // Tiles cut by every edge, a last chunk of one tile, channels on both sides of a register.
  for (const std::int64_t size : {1, 2, 3, 4, 5, 9})
    for (const std::int64_t c : {1, 15, 16, 17})
      compare<float>(geometry(5, size, size + 2, c, 33 - c, 3, 3, 1, {1, 1, 1, 1}),
                     Conv2dAlgorithm::winograd, 0, Data::random);
  compare<float>(geometry(43, 7, 7, 20, 50, 3, 3, 1, {2, 2, 2, 2}), Conv2dAlgorithm::winograd, 0,
                 Data::random);
}

TEST_CASE("conv2d by Winograd agrees with the sums on the layers of the paper") {
  for (const std::int64_t gap : {0, 3})
    for (const auto& g : layers_of_the_paper())
      if (winograd_fits(g)) compare<float>(g, Conv2dAlgorithm::winograd, gap, Data::random);
}

TEST_CASE("conv2d takes Winograd by its own choice only where the context allows it and it pays") {
  for (const auto& [channels, expected] :
       {std::pair{std::int64_t{8}, Conv2dAlgorithm::onednn}, {16, Conv2dAlgorithm::winograd}}) {
    const Conv2dGeometry g = geometry(2, 6, 6, channels, 16, 3, 3, 1, {1, 1, 1, 1});
    const Problem size = sizes(g);
    const auto x = random_values<float>(size.x, 1), w = random_values<float>(size.w, 2),
               dy = random_values<float>(size.y, 3);
    const auto all = [&](bool winograd, Conv2dAlgorithm algorithm) {
      CpuContext context(2);
      context.set_winograd(winograd);
      std::vector<float> y(std::size_t(size.y)), dx(std::size_t(size.x)), dw(std::size_t(size.w));
      conv2d_forward<float>(context, g, x.data(), w.data(), nullptr, y.data(), algorithm);
      conv2d_backward_data<float>(context, g, dy.data(), w.data(), dx.data(), algorithm);
      conv2d_backward_weight<float>(context, g, x.data(), dy.data(), dw.data(), algorithm);
      return std::array{y, dx, dw};
    };
    const auto direct = all(false, Conv2dAlgorithm::onednn);
    REQUIRE(all(false, Conv2dAlgorithm::automatic) == direct);
    REQUIRE(all(true, Conv2dAlgorithm::automatic) == all(false, expected));
    REQUIRE(all(true, Conv2dAlgorithm::onednn) == direct);
    REQUIRE(all(true, Conv2dAlgorithm::winograd) != direct);
  }
}

TEST_CASE("conv2d by Winograd gives the same bits with any number of threads") {
  const Conv2dGeometry g = geometry(9, 14, 14, 40, 24, 3, 3, 1, {1, 1, 1, 1});
  const Problem size = sizes(g);
  const auto x = random_values<float>(size.x, 1), w = random_values<float>(size.w, 2),
             dy = random_values<float>(size.y, 3);
  const auto all = [&](int threads) {
    CpuContext context(threads);
    const auto algorithm = Conv2dAlgorithm::winograd;
    std::vector<float> y(std::size_t(size.y)), dx(std::size_t(size.x)), dw(std::size_t(size.w));
    conv2d_forward<float>(context, g, x.data(), w.data(), nullptr, y.data(), algorithm);
    conv2d_backward_data<float>(context, g, dy.data(), w.data(), dx.data(), algorithm);
    conv2d_backward_weight<float>(context, g, x.data(), dy.data(), dw.data(), algorithm);
    return std::array{y, dx, dw};
  };
  const auto one = all(1);
  REQUIRE(all(2) == one);
  REQUIRE(all(5) == one);
}

TEST_CASE("conv2d by Winograd refuses other windows than 3x3 at stride 1") {
  CpuContext context(1);
  const std::vector<float> data(1000);
  std::vector<float> out(1000);
  for (const auto& g :
       {geometry(1, 6, 6, 2, 2, 3, 3, 2, {}), geometry(1, 6, 6, 2, 2, 1, 3, 1, {})}) {
    const auto algorithm = Conv2dAlgorithm::winograd;
    REQUIRE_THROWS_AS(
        conv2d_forward<float>(context, g, data.data(), data.data(), nullptr, out.data(), algorithm),
        Error);
    REQUIRE_THROWS_AS(
        conv2d_backward_data<float>(context, g, data.data(), data.data(), out.data(), algorithm),
        Error);
    REQUIRE_THROWS_AS(
        conv2d_backward_weight<float>(context, g, data.data(), data.data(), out.data(), algorithm),
        Error);
  }
}

TEMPLATE_TEST_CASE("conv2d by its own choice agrees with the sums in every direction", "", float,
                   double, bfloat16) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::automatic, 4, Data::random);
}

TEMPLATE_TEST_CASE("conv2d by cuDNN agrees with the sums in every direction", "", float, bfloat16) {
  for (const std::int64_t gap : {0, 8})
    for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::cudnn, gap, Data::random);
}

TEMPLATE_TEST_CASE("conv2d by im2col agrees with the sums in every direction", "", float, double,
                   bfloat16) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::im2col, 0, Data::random);
}

TEMPLATE_TEST_CASE("conv2d by im2col is exact on small integers, pitched", "", float, double,
                   bfloat16) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::im2col, 5, Data::integers);
}

TEMPLATE_TEST_CASE("conv2d by implicit GEMM agrees with the sums in every direction", "", float,
                   bfloat16) {
  for (const auto& g : cases())
    compare<TestType>(g, Conv2dAlgorithm::implicit_gemm, 0, Data::random);
}

TEMPLATE_TEST_CASE("conv2d by implicit GEMM is exact on small integers, pitched", "", float,
                   bfloat16) {
  for (const auto& g : cases())
    for (const std::int64_t gap : {1, 8})
      compare<TestType>(g, Conv2dAlgorithm::implicit_gemm, gap, Data::integers);
}

TEMPLATE_TEST_CASE("conv2d by implicit GEMM is right for the layers of the paper", "[large]", float,
                   bfloat16) {
  for (const auto& g : layers_of_the_paper())
    compare<TestType>(g, Conv2dAlgorithm::implicit_gemm, 0, Data::random);
}

TEMPLATE_TEST_CASE("conv2d by implicit GEMM is exact for the layers of the paper", "[large]", float,
                   bfloat16) {
  for (const auto& g : layers_of_the_paper())
    compare<TestType>(g, Conv2dAlgorithm::implicit_gemm, 16, Data::integers);
}

TEMPLATE_TEST_CASE("conv2d refuses the algorithms that a device does not have", "", float, double) {
  using T = TestType;
  const Conv2dGeometry g = geometry(1, 3, 3, 1, 1, 1, 1, 1, {});
  on_devices([&](auto& on) {
    const T* const x = on.put(std::vector<T>(9));
    const T* const w = on.put(std::vector<T>(1));
    T* const y = on.template make<T>(9);
    for (const auto algorithm :
         {Conv2dAlgorithm::onednn, Conv2dAlgorithm::winograd, Conv2dAlgorithm::implicit_gemm}) {
      if (has<T>(on.context, algorithm)) continue;
      REQUIRE_THROWS_AS(conv2d_forward<T>(on.context, g, x, w, nullptr, y, algorithm), Error);
      REQUIRE_THROWS_AS(conv2d_backward_data<T>(on.context, g, x, w, y, algorithm), Error);
      REQUIRE_THROWS_AS(conv2d_backward_weight<T>(on.context, g, x, x, y, algorithm), Error);
    }
  });
}

TEST_CASE("conv2d takes float as TF32 only where that is allowed") {
  const Conv2dGeometry g = geometry(1, 1, 1, 8, 1, 1, 1, 1, {});
  const float fine = 1 + 0x1p-13f;  // TF32 rounds it to 1
  on_cuda([&](auto& on) {
    const float* const x = on.put(std::vector<float>(8, fine));
    const float* const w = on.put(std::vector<float>(8, 1.0f));
    float* const y = on.template make<float>(1);
    on.context.set_tf32(true);
    conv2d_forward<float>(on.context, g, x, w, nullptr, y, Conv2dAlgorithm::implicit_gemm);
    REQUIRE(on.get(y)[0] == 8.0f);
    on.context.set_tf32(false);
    REQUIRE_THROWS_AS(
        conv2d_forward<float>(on.context, g, x, w, nullptr, y, Conv2dAlgorithm::implicit_gemm),
        Error);
    for (const auto algorithm : {Conv2dAlgorithm::automatic, Conv2dAlgorithm::im2col}) {
      conv2d_forward<float>(on.context, g, x, w, nullptr, y, algorithm);
      REQUIRE(on.get(y)[0] == 8 * fine);
    }
  });
}

TEMPLATE_TEST_CASE("conv2d by implicit GEMM is exact with large tiles and with many blocks", "",
                   float, bfloat16) {
  const auto run = [](const Conv2dGeometry& g, std::int64_t gap) {
    compare<TestType>(g, Conv2dAlgorithm::implicit_gemm, gap, Data::integers);
  };
  for (const std::int64_t width : {32, 48, 64, 80, 96, 112, 128})
    run(geometry(1, 10, 105, 8, width, 1, 1, 1, {}), 0);
  run(geometry(1, 41, 52, 8, 8, 3, 3, 2, {1, 1, 1, 1}), 8);
}

TEST_CASE("conv2d without images, channels or filters writes what the empty sums are") {
  Conv2dGeometry g = geometry(0, 4, 4, 3, 2, 3, 3, 1, {1, 1, 1, 1});
  on_devices([&](auto& on) {
    const float* const w = on.put(std::vector<float>(54, 1.0f));
    conv2d_forward<float>(on.context, g, nullptr, w, nullptr, nullptr);
    float* const dw = on.template make<float>(54);
    conv2d_backward_weight<float>(on.context, g, nullptr, nullptr, dw);
    REQUIRE(on.get(dw) == std::vector<float>(54, 0.0f));
  });
  const Conv2dGeometry no_channels = geometry(1, 2, 2, 0, 2, 1, 1, 1, {});
  const Conv2dGeometry no_filters = geometry(1, 2, 2, 3, 0, 1, 1, 1, {});
  on_devices([&](auto& on) {
    float* const y = on.template make<float>(8);
    const float* const bias = on.put(std::vector<float>{1, 2});
    conv2d_forward<float>(on.context, no_channels, nullptr, nullptr, bias, y);
    REQUIRE(on.get(y) == std::vector<float>{1, 2, 1, 2, 1, 2, 1, 2});
    float* const dx = on.template make<float>(12);
    conv2d_backward_data<float>(on.context, no_filters, nullptr, nullptr, dx);
    REQUIRE(on.get(dx) == std::vector<float>(12, 0.0f));
  });
}

TEST_CASE("conv2d goes from one batch size to another and back") {
  CpuContext context(2);
  for (const std::int64_t n : {4, 3, 4, 1}) {
    const Conv2dGeometry g = geometry(n, 5, 5, 3, 4, 3, 3, 1, {1, 1, 1, 1});
    const Problem size = sizes(g);
    const auto x = integer_values<float>(size.x, 1), w = integer_values<float>(size.w, 2);
    Guarded<float> y(size.y);
    conv2d_forward<float>(context, g, x.data(), w.data(), nullptr, y.data());
    REQUIRE(y.intact());
    REQUIRE(to_double(y.values()) == reference::conv2d_forward(g, to_double(x), to_double(w), {}));
  }
}
