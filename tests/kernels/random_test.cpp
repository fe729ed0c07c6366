// Philox, its conversions, random arrays, dropout, and bfloat16.
#include <shatter/kernels/dropout.h>
#include <shatter/kernels/random.h>
#include <shatter/kernels/types.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

TEST_CASE("philox4x32 gives Random123's known answers") {
  REQUIRE(philox4x32({0, 0, 0, 0}, {0, 0}) ==
          Words4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  REQUIRE(philox4x32({ones, ones, ones, ones}, {ones, ones}) ==
          Words4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  REQUIRE(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random_words tells every part of its name apart") {
  const RandomKey key{1, Stream::user, 0};
  const Words4 words = random_words(key, 0);
  REQUIRE(words != random_words(key, 1));
  REQUIRE(words != random_words(key, 0, 1));
  REQUIRE(words != random_words({2, Stream::user, 0}, 0));
  REQUIRE(words != random_words({1 + (std::uint64_t{1} << 32), Stream::user, 0}, 0));
  REQUIRE(words != random_words({1, Stream::crop, 0}, 0));
  REQUIRE(words != random_words({1, Stream::user, 1}, 0));
}

TEST_CASE("words become uniform numbers below 1 and integers below a bound") {
  const std::uint32_t ones = 0xffffffff;
  REQUIRE(uniform_float(0) == 0.0f);
  REQUIRE(uniform_float(ones) == 1 - 0x1p-24f);
  REQUIRE(uniform_double(ones, ones) == 1 - 0x1p-53);
  REQUIRE(uniform_double(0x80000000, 0) == 0.5);
  REQUIRE(below(10, ones, ones) == 9);
  REQUIRE(below(10, 0, ones) == 0);
  REQUIRE(below(ones, ones, ones) == ones - 1);
  REQUIRE(below(3, 0x55555555, 0x55555555) == 0);
  REQUIRE(below(3, 0x55555555, 0x55555556) == 1);
}

TEMPLATE_TEST_CASE("fill_uniform is words scaled, for every length", "", float, double) {
  using T = TestType;
  const RandomKey key{7, Stream::synthetic, 3};
  for (const std::int64_t n : {0, 1, 31, 32, 33, 1003, 40001}) {
    on_devices([&](auto& on) {
      T* const out = on.template make<T>(n);
      fill_uniform(on.context, key, n, -2, 6, out);
      const std::vector<T> y = on.result(out);
      for (std::size_t i = 0; i < y.size(); ++i) {
        if constexpr (std::is_same_v<T, double>) {
          const Words4 words = random_words(key, static_cast<std::uint32_t>(i / 2));
          const std::size_t at = i % 2 * 2;
          REQUIRE(y[i] == -2 + 8 * uniform_double(words[at], words[at + 1]));
        } else {
          const auto word = random_words(key, static_cast<std::uint32_t>(i / 4))[i % 4];
          REQUIRE(y[i] == T(-2 + 8 * double(uniform_float(word))));
        }
      }
    });
  }
}

TEST_CASE("uniform numbers stay below their upper end") {
  // Between 1 and 1 + 2^-23 lies no float: half of the draws would round up.
  on_devices([&](auto& on) {
    float* const narrow = on.template make<float>(1000);
    fill_uniform(on.context, {7}, 1000, 1, 1 + 0x1p-23, narrow);
    for (const float y : on.result(narrow)) REQUIRE(y == 1);
    double* const wide = on.template make<double>(1000);
    fill_uniform(on.context, {7}, 1000, 1, 1 + 0x1p-52, wide);
    for (const double y : on.result(wide)) REQUIRE(y == 1);
    fill_uniform(on.context, {7}, 1000, 3, 3, wide);
    for (const double y : on.result(wide)) REQUIRE(y == 3);
  });
}

TEMPLATE_TEST_CASE("fill_normal has the moments of a normal distribution", "", float, double) {
  using T = TestType;
  const std::int64_t n = 200001;
  on_devices([&](auto& on) {
    T* const out = on.template make<T>(n);
    fill_normal(on.context, {9, Stream::noise, 1}, n, 3, 2, out);
    const std::vector<T> y = on.result(out);
    std::array<double, 5> moment{};
    double neighbours = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double z = (double(y[i]) - 3) / 2;
      REQUIRE(std::isfinite(z));
      for (std::size_t p = 1; p < moment.size(); ++p)
        moment[p] += std::pow(z, double(p)) / double(n);
      if (i % 2) neighbours += z * (double(y[i - 1]) - 3) / 2 / double(n);
    }
    const double sigma = 1 / std::sqrt(double(n));  // five standard errors each
    REQUIRE(std::abs(moment[1]) < 5 * sigma);
    REQUIRE(std::abs(moment[2] - 1) < 5 * std::sqrt(2.0) * sigma);
    REQUIRE(std::abs(moment[3]) < 5 * std::sqrt(15.0) * sigma);
    REQUIRE(std::abs(moment[4] - 3) < 5 * std::sqrt(96.0) * sigma);
    REQUIRE(std::abs(neighbours) < 5 * sigma);
  });
}

TEMPLATE_TEST_CASE("fill_normal is Box-Muller on the named words and agrees for every length", "",
                   float, double) {
  using T = TestType;
  const RandomKey key{5, Stream::initialize, 2};
  const Words4 words = random_words(key, 4);
  const double radius = std::sqrt(-2 * std::log(1 - uniform_double(words[0], words[1])));
  const double angle = 2 * std::acos(-1.0) * uniform_double(words[2], words[3]);
  on_devices([&](auto& on) {
    const auto filled = [&](std::int64_t n) {
      T* const out = on.template make<T>(n);
      fill_normal(on.context, key, n, 0, 1, out);
      return on.result(out);
    };
    const std::vector<T> whole = filled(1003);
    REQUIRE(std::abs(double(whole[8]) - radius * std::cos(angle)) < tolerance<T>(1));
    REQUIRE(std::abs(double(whole[9]) - radius * std::sin(angle)) < tolerance<T>(1));
    for (const std::int64_t n : {0, 1, 31, 32, 33}) {
      const std::vector<T> part = filled(n);
      REQUIRE(std::equal(part.begin(), part.end(), whole.begin()));
    }
  });
}

TEMPLATE_TEST_CASE("dropout keeps what its formula keeps", "", float, double, bfloat16) {
  using T = TestType;
  const RandomKey key{3, Stream::dropout, 1};
  for (const std::int64_t n : {0, 1, 31, 32, 33, 1003, 10001})
    for (const double p : {0.0, 0.25, 0.9}) {
      const auto x = random_values<T>(n, 1);
      std::vector<double> expected;
      double kept = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const float u =
            uniform_float(random_words(key, static_cast<std::uint32_t>(i / 4), 5)[i % 4]);
        expected.push_back(double(u) >= p ? double(x[i]) / (1 - p) : 0);
        kept += double(u) >= p;
      }
      // Five standard errors.
      if (n > 10000)
        REQUIRE(std::abs(kept / double(n) - (1 - p)) <= 5 * std::sqrt(p * (1 - p) / double(n)));
      on_devices([&](auto& on) {
        const auto dropped = [&](std::int64_t step) {
          T* const y = on.template make<T>(n);
          dropout(on.context, n, p, key, on.put_value(step), on.put(x), y);
          return on.result(y);
        };
        const std::vector<T> y = dropped(5);
        require_each_close(y, expected);
        if (n > 1000 && p > 0) REQUIRE(dropped(6) != y);
      });
    }
}

TEST_CASE("bfloat16 keeps all its 65536 values through float") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    bfloat16 value;
    value.bits = static_cast<std::uint16_t>(bits);
    const auto wide = static_cast<float>(value);
    const bfloat16 back(wide);
    if (std::isnan(wide))
      REQUIRE(std::isnan(static_cast<float>(back)));
    else
      REQUIRE(back.bits == value.bits);
  }
}

TEST_CASE("bfloat16 rounds to the nearest, ties to even, and keeps NaN") {
  const auto round = [](std::uint32_t bits) { return bfloat16(std::bit_cast<float>(bits)).bits; };
  REQUIRE(round(0x3f808000) == 0x3f80);  // tie, even below
  REQUIRE(round(0x3f818000) == 0x3f82);  // tie, even above
  REQUIRE(round(0x3f807fff) == 0x3f80);
  REQUIRE(round(0x3f808001) == 0x3f81);
  REQUIRE(round(0xbf818000) == 0xbf82);
  REQUIRE(round(0x7f7fffff) == 0x7f80);  // overflows to infinity
  REQUIRE(round(0x7f800000) == 0x7f80);
  REQUIRE(std::isnan(float(bfloat16(std::bit_cast<float>(0x7f800001u)))));
  REQUIRE(std::isnan(float(bfloat16(std::bit_cast<float>(0xffffffffu)))));
  REQUIRE(round(0xff800001) >= 0x8000);  // sign of NaN
}
