// Convolutions of random geometries, by the choice that the CPU makes itself on the instruction
// sets of this machine, against im2col in double. Operands are small integers: every sum is exact.
#include <algorithm>
#include <cstring>
#include <limits>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/philox.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

// Fills the memory that the allocator keeps with NaN, so that what is read before it is written
// shows. Two blocks of each size class up to a quarter of a MiB.
void spoil_kept_memory() {
  struct Block {
    void* memory;
    std::size_t bytes;
  };
  std::vector<Block> blocks;
  for (std::size_t eighth = 8; eighth <= (std::size_t{1} << 15); eighth *= 2)
    for (std::size_t bytes = 8 * eighth; bytes < 16 * eighth; bytes += eighth)
      for (int twice = 0; twice < 2; ++twice) {
        blocks.push_back({cpu_allocate(bytes), bytes});
        std::memset(blocks.back().memory, 0xFF, bytes);
      }
  for (const Block& block : blocks) cpu_free(block.memory, block.bytes);
}

// An operand between NaN, so that what is read beside it shows.
template <class T>
class Surrounded {
 public:
  explicit Surrounded(const std::vector<T>& values)
      : all_(values.size() + 2 * margin, T(std::numeric_limits<float>::quiet_NaN())) {
    std::copy(values.begin(), values.end(), all_.begin() + margin);
  }
  const T* data() const { return all_.data() + margin; }

 private:
  static constexpr std::ptrdiff_t margin = 4096;
  std::vector<T> all_;
};

// Draws numbers one by one.
class Draw {
 public:
  explicit Draw(std::uint32_t seed) : key_{.seed = seed} {}
  std::int64_t below(std::int64_t n) { return random_words(key_, place_++)[0] % n; }
  std::int64_t one_of(std::initializer_list<std::int64_t> values) {
    return values.begin()[below(std::int64_t(values.size()))];
  }

 private:
  RandomKey key_;
  std::uint32_t place_ = 0;
};

// Small images, windows that may be larger, any strides, and more padding than a window covers.
Conv2dGeometry random_geometry(Draw& draw) {
  for (;;) {
    Conv2dGeometry g;
    Windows& win = g.windows;
    win.n = 1 + draw.below(9), win.h = 1 + draw.below(12), win.w = 1 + draw.below(12);
    win.r = 1 + draw.below(5), win.s = 1 + draw.below(5);
    win.stride_h = 1 + draw.below(3), win.stride_w = 1 + draw.below(3);
    win.padding = {draw.below(4), draw.below(4), draw.below(4), draw.below(4)};
    g.c = draw.one_of({1, 2, 3, 5, 8, 16, 17, 32, 48, 64});
    g.k = draw.one_of({1, 3, 4, 8, 16, 24, 32, 33, 64});
    if (draw.below(3) == 0) win.dilation_h = 1 + draw.below(3), win.dilation_w = 1 + draw.below(3);
    if (draw.below(3) == 0) g.groups = draw.one_of({2, 4, 8, 16});
    if (g.groups > 1 && draw.below(4) == 0) g.c = g.k = g.groups;  // depthwise
    if (g.c % g.groups || g.k % g.groups) continue;
    if (draw.below(3) == 0) g.x_pitch = g.c + 3, g.y_pitch = g.k + 5;
    if (win.h + win.padding.top + win.padding.bottom >= win.extent_h() &&
        win.w + win.padding.left + win.padding.right >= win.extent_w())
      return g;
  }
}

std::string described(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const Padding& pad = win.padding;
  return Catch::StringMaker<std::vector<std::int64_t>>::convert(
      {win.n, win.h, win.w, g.c, g.k, win.r, win.s, win.stride_h, win.stride_w, pad.top, pad.bottom,
       pad.left, pad.right, g.x_pitch, win.dilation_h, win.dilation_w, g.groups});
}

// Requires what was written, rows of `channels` at `step`, to be `expected` after one rounding.
template <class T>
void require_exact(const char* what, Guarded<T>& actual, std::int64_t channels, std::int64_t step,
                   const std::vector<double>& expected) {
  REQUIRE(actual.intact());
  const std::vector<T> packed = gather(actual.values(), channels, step);
  REQUIRE(packed.size() == expected.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < packed.size(); ++i)
    wrong += !(packed[i] == static_cast<T>(static_cast<wide_t<T>>(expected[i])));
  CAPTURE(what);
  REQUIRE(wrong == 0);
}

template <class T>
void compare(CpuContext& context, const Conv2dGeometry& g, std::uint32_t seed) {
  using W = wide_t<T>;
  Conv2dGeometry packed = g;
  packed.x_pitch = packed.y_pitch = 0;
  const Windows& win = g.windows;
  const std::int64_t pixels = win.n * win.h * win.w, places = win.n * win.out_h() * win.out_w();
  const std::int64_t weights = g.weights();
  const auto x = integer_values<T>(pixels * g.c, seed), w = integer_values<T>(weights, seed + 1),
             dy = integer_values<T>(places * g.k, seed + 2);
  const auto x_wide = to_double(x), w_wide = to_double(w), dy_wide = to_double(dy);
  std::vector<double> y_wide(std::size_t(places * g.k)), dx_wide(x.size()), dw_wide(w.size());
  const auto truth = Conv2dAlgorithm::im2col;
  conv2d_forward<double>(context, packed, x_wide.data(), w_wide.data(), nullptr, y_wide.data(),
                         truth);
  conv2d_backward_data<double>(context, packed, dy_wide.data(), w_wide.data(), dx_wide.data(),
                               truth);
  conv2d_backward_weight<double>(context, packed, x_wide.data(), dy_wide.data(), dw_wide.data(),
                                 truth);

  const Surrounded<T> xs(spread(x, g.c, g.x_step())), dys(spread(dy, g.k, g.y_step())), ws(w);
  Guarded<T> y(places * g.y_step()), dx(pixels * g.x_step());
  Guarded<W> dw(weights);
  spoil_kept_memory();
  conv2d_forward<T>(context, g, xs.data(), ws.data(), nullptr, y.data());
  require_exact("forward", y, g.k, g.y_step(), y_wide);
  spoil_kept_memory();
  conv2d_backward_data<T>(context, g, dys.data(), ws.data(), dx.data());
  require_exact("data gradient", dx, g.c, g.x_step(), dx_wide);
  spoil_kept_memory();
  conv2d_backward_weight<T>(context, g, xs.data(), dys.data(), dw.data());
  require_exact("weight gradient", dw, g.filter_c(), g.filter_c(), dw_wide);
}

}  // namespace

TEMPLATE_TEST_CASE("conv2d of random geometries is exact on small integers", "", float, double,
                   bfloat16) {
  CpuContext context(1);
  for (std::uint32_t seed = 1; seed <= 600; ++seed) {
    Draw draw(seed);
    const Conv2dGeometry g = random_geometry(draw);
    INFO("n h w c k r s strides padding pitch dilation groups: " << described(g));
    compare<TestType>(context, g, seed);
  }
}

TEMPLATE_TEST_CASE("conv2d is right where oneDNN 3.7.2 is not", "", float, bfloat16) {
  CpuContext context(1);
  const Conv2dGeometry wide{.windows = {1, 12, 2, 3, 4, 1, 2, {0, 0, 3, 0}}, .c = 1, .k = 64};
  const Conv2dGeometry outside{.windows = {2, 2, 1, 1, 1, 1, 2, {2, 0, 3, 1}}, .c = 1, .k = 1};
  const Conv2dGeometry column{.windows = {7, 7, 5, 5, 5, 1, 3, {3, 3, 1, 1}}, .c = 1, .k = 8};
  for (const Conv2dGeometry& g : {wide, outside, column}) compare<TestType>(context, g, 1);
}

TEST_CASE("conv2d in bfloat16 is right where oneDNN is not") {
  CpuContext context(1);
  Conv2dGeometry narrow{
      .windows = {8, 1, 1, 3, 3, 2, 2, same_padding(1, 1, 3, 3, 2, 2)}, .c = 16, .k = 16};
  Conv2dGeometry outside{.windows = {4, 8, 8, 1, 1, 3, 3, {0, 2, 0, 0}}, .c = 16, .k = 16};
  // Reads beyond x.
  Conv2dGeometry beyond{.windows = {8, 12, 1, 5, 1, 1, 3, {1, 1, 0, 2}}, .c = 1, .k = 33};
  for (const Conv2dGeometry& g : {narrow, outside, beyond}) compare<bfloat16>(context, g, 1);
}
