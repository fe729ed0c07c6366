// Channel copies around cuDNN's convolutions. CUDA only.
#include <shatter/kernels/cuda/copy_channels.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

template <class From, class To>
void check_copy(std::int64_t rows, std::int64_t channels, std::int64_t width, std::int64_t x_step,
                std::int64_t y_step) {
  CAPTURE(rows, channels, width, x_step, y_step);
  const std::vector<From> x = random_values<From>(rows * channels, 3);
  on_cuda([&](auto& on) {
    const From* const in = on.put(spread(x, channels, x_step));
    To* const out = on.template make<To>(rows * y_step);
    copy_channels(on.context, rows, channels, width, in, x_step, out, y_step);
    const std::vector<To> y = gather(on.result(out), width, y_step);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < width; ++j)
        REQUIRE(float(y[std::size_t(i * width + j)]) ==
                (j < channels ? float(x[std::size_t(i * channels + j)]) : 0.0f));
  });
}

template <class From, class To>
void check_copies() {
  check_copy<From, To>(0, 3, 8, 3, 8);
  check_copy<From, To>(37, 3, 8, 3, 8);
  check_copy<From, To>(37, 3, 3, 8, 3);
  check_copy<From, To>(9, 35, 40, 41, 43);
  check_copy<From, To>(8, 32, 32, 32, 32);
}

}  // namespace

TEST_CASE("copy_channels pads with zeros, packs, and converts") {
  check_copies<float, float>();
  check_copies<bfloat16, bfloat16>();
  check_copies<bfloat16, float>();
}

TEMPLATE_TEST_CASE("add_channel_bias adds to each pixel and leaves the gaps", "", float, bfloat16) {
  using T = TestType;
  for (const std::int64_t channels : {1, 33, 64}) {
    const std::int64_t rows = 19, step = channels + 5;
    CAPTURE(channels);
    // Small integers are exact in bfloat16, and so are their sums.
    const std::vector<T> y = integer_values<T>(rows * channels, 4);
    const std::vector<float> bias = integer_values<float>(channels, 5);
    on_cuda([&](auto& on) {
      T* const out = on.put(spread(y, channels, step));
      add_channel_bias<T>(on.context, rows, channels, on.put(bias), out, step);
      const std::vector<T> sum = gather(on.result(out), channels, step);
      for (std::size_t i = 0; i < sum.size(); ++i)
        REQUIRE(float(sum[i]) == float(y[i]) + bias[i % std::size_t(channels)]);
    });
  }
}
