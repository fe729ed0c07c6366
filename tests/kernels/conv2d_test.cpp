// Convolution kernels against the textbook sums.
#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/error.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
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
  return list;
}

struct Problem {
  std::int64_t x, w, y;
  double patch, covered, summed;  // reduction lengths of the three directions
};

Problem sizes(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const auto window = double(win.r * win.s);
  return {win.n * win.h * win.w * g.c,
          g.k * win.r * win.s * g.c,
          win.n * win.out_h() * win.out_w() * g.k,
          window * double(g.c),
          window * double(g.k),
          double(win.n * win.out_h() * win.out_w())};
}

// Every direction of one geometry against the reference, pitched by `gap` elements.
template <class T>
void compare(Conv2dGeometry g, Conv2dAlgorithm algorithm, std::int64_t gap, bool integers) {
  const Windows& win = g.windows;
  CAPTURE(win.n, win.h, win.w, g.c, g.k, win.r, win.s, win.stride_h, gap);
  const Problem size = sizes(g);
  const auto make = [&](std::int64_t n, std::uint64_t seed) {
    return integers ? integer_values<T>(n, seed) : random_values<T>(n, seed);
  };
  const auto x = make(size.x, 1), w = make(size.w, 2), bias = make(g.k, 3), dy = make(size.y, 4);
  const auto require_same = [&](const std::vector<T>& actual, const std::vector<double>& expected,
                                double length) {
    if (integers)
      REQUIRE(to_double(actual) == expected);
    else
      require_close(actual, expected, length);
  };
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
  const auto y = on_threads<T>(y_size, [&](CpuContext& context, T* out) {
    conv2d_forward(context, g, xs.data(), w.data(), bias.data(), out, algorithm);
  });
  require_same(gather(y, g.k, g.y_step()), expected_y, size.patch);
  const auto plain = on_threads<T>(y_size, [&](CpuContext& context, T* out) {
    conv2d_forward<T>(context, g, xs.data(), w.data(), nullptr, out, algorithm);
  });
  require_same(gather(plain, g.k, g.y_step()), expected_plain, size.patch);
  const auto dx = on_threads<T>(x_size, [&](CpuContext& context, T* out) {
    conv2d_backward_data(context, g, dys.data(), w.data(), out, algorithm);
  });
  require_same(gather(dx, g.c, g.x_step()), expected_dx, size.covered);
  const auto dw = on_threads<T>(size.w, [&](CpuContext& context, T* out) {
    conv2d_backward_weight(context, g, xs.data(), dys.data(), out, algorithm);
  });
  require_same(dw, expected_dw, size.summed);
}

}  // namespace

TEST_CASE("conv2d by oneDNN agrees with the sums in every direction") {
  for (const auto& g : cases()) compare<float>(g, Conv2dAlgorithm::automatic, 0, false);
}

TEST_CASE("conv2d by oneDNN is exact on small integers") {
  for (const auto& g : cases()) compare<float>(g, Conv2dAlgorithm::onednn, 0, true);
}

TEST_CASE("conv2d by oneDNN reads and writes pitched images and leaves the gaps alone") {
  for (const auto& g : cases()) compare<float>(g, Conv2dAlgorithm::automatic, 3, true);
}

TEMPLATE_TEST_CASE("conv2d by im2col agrees with the sums in every direction", "", float, double) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::im2col, 0, false);
}

TEMPLATE_TEST_CASE("conv2d by im2col is exact on small integers, pitched", "", float, double) {
  for (const auto& g : cases()) compare<TestType>(g, Conv2dAlgorithm::im2col, 5, true);
}

TEST_CASE("conv2d takes im2col for double by itself and refuses oneDNN") {
  const Conv2dGeometry g = geometry(1, 3, 3, 1, 1, 1, 1, 1, {});
  compare<double>(g, Conv2dAlgorithm::automatic, 0, true);
  const std::vector<double> x(9), w(1);
  std::vector<double> y(9);
  CpuContext context(1);
  REQUIRE_THROWS_AS(conv2d_forward<double>(context, g, x.data(), w.data(), nullptr, y.data(),
                                           Conv2dAlgorithm::onednn),
                    Error);
}

TEST_CASE("conv2d of an empty batch writes only a zero weight gradient") {
  Conv2dGeometry g = geometry(0, 4, 4, 3, 2, 3, 3, 1, {1, 1, 1, 1});
  const std::vector<float> w(54, 1.0f);
  on_threads<float>(0, [&](CpuContext& context, float* y) {
    conv2d_forward<float>(context, g, nullptr, w.data(), nullptr, y);
  });
  const auto dw = on_threads<float>(54, [&](CpuContext& context, float* out) {
    conv2d_backward_weight<float>(context, g, nullptr, nullptr, out);
  });
  REQUIRE(dw == std::vector<float>(54, 0.0f));
}

TEST_CASE("conv2d keeps one plan for each batch size") {
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
