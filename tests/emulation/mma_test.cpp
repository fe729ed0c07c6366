// Each tensor core and copy instruction against a plain product or copy.
#include <bit>

#include <shatter/kernels/cuda/mma.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

// c [16, 8] = a [16, k] b [k, 8], each lane gathering its fragments from row-major matrices.
template <class T>
__global__ void multiply(const T* a, const T* b, float* c) {
  constexpr int k = 32 / int(sizeof(T)), per_register = 4 / int(sizeof(T));
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto word = [](const T(&values)[per_register]) {
    unsigned bits;
    std::memcpy(&bits, values, sizeof bits);
    return std::is_same_v<T, float> ? to_tf32(std::bit_cast<float>(bits)) : bits;
  };
  unsigned fragment_a[4], fragment_b[2];
  for (int r = 0; r < 4; ++r) {
    T values[per_register];
    for (int i = 0; i < per_register; ++i)
      values[i] = a[(g + r % 2 * 8) * k + t * per_register + i + r / 2 * k / 2];
    fragment_a[r] = word(values);
  }
  for (int r = 0; r < 2; ++r) {
    T values[per_register];
    for (int i = 0; i < per_register; ++i)
      values[i] = b[(t * per_register + i + r * k / 2) * 8 + g];
    fragment_b[r] = word(values);
  }
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  if constexpr (std::is_same_v<T, float>)
    mma_tf32(sums, fragment_a, fragment_b);
  else
    mma_bfloat16(sums, fragment_a, fragment_b);
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// Loads matrices [8, 8] of 16-bit numbers from shared memory; y [32, matrices] holds the pairs.
template <int matrices, bool transposed>
__global__ void load(const std::uint16_t* x, unsigned* y) {
  alignas(16) __shared__ std::uint16_t tile[matrices * 64];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < matrices * 64; i += 32) tile[i] = x[i];
  __syncthreads();
  unsigned d[matrices];
  const std::uint16_t* const row = tile + lane % (8 * matrices) * 8;
  if constexpr (transposed)
    load_matrices_transposed(d, row);
  else
    load_matrices(d, row);
  for (int i = 0; i < matrices; ++i) y[lane * matrices + i] = d[i];
}

// y = x, eight chunks through shared memory with three copies under way; without `waits` the last
// wait is missing, with `early` a chunk's memory is filled again before it was read.
__global__ void copy_through(const float* x, float* y, int valid, bool waits, bool early) {
  alignas(16) __shared__ float ring[3][32][4];
  const int lane = static_cast<int>(threadIdx.x);
  const auto start = [&](int chunk) {
    if (chunk < 8) copy_async(ring[chunk % 3][lane], x + (chunk * 32 + lane) * 4, valid);
    copy_async_commit();
  };
  start(0);
  start(1);
  for (int chunk = 0; chunk < 8; ++chunk) {
    if (early) start(chunk + 3);
    if (waits) copy_async_wait<1>();
    __syncthreads();
    if (!early) start(chunk + 2);
    for (int i = 0; i < 4; ++i) y[(chunk * 32 + lane) * 4 + i] = ring[chunk % 3][31 - lane][i];
  }
}

std::vector<float> reversed_chunks(const std::vector<float>& x, int kept) {
  std::vector<float> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t chunk = i / 128, lane = i / 4 % 32, place = i % 4;
    y[i] = place < static_cast<std::size_t>(kept) ? x[chunk * 128 + (31 - lane) * 4 + place] : 0;
  }
  return y;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("mma is the product of its fragments' matrices", "", float, bfloat16) {
  using T = TestType;
  constexpr std::size_t k = 32 / sizeof(T);
  const auto a = integer_values<T>(16 * k, 1), b = integer_values<T>(k * 8, 2);
  const auto c = integer_values<float>(16 * 8, 3);
  std::vector<float> expected = c;
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 8; ++j)
      for (std::size_t l = 0; l < k; ++l)
        expected[i * 8 + j] += float(a[i * k + l]) * float(b[l * 8 + j]);
  on_cuda([&](auto& on) {
    float* const y = on.put(c);
    launch(on.context, "multiply", {dim3(1), dim3(32)}, multiply<T>, on.put(a), on.put(b), y);
    REQUIRE(on.result(y) == expected);
  });
}

TEST_CASE("to_tf32 rounds to 10 bits of fraction, ties away from zero") {
  REQUIRE(to_tf32(1.0f) == 0x3f800000u);
  REQUIRE(to_tf32(std::bit_cast<float>(0x3f800fffu)) == 0x3f800000u);
  REQUIRE(to_tf32(std::bit_cast<float>(0x3f801000u)) == 0x3f802000u);  // tie
  REQUIRE(to_tf32(std::bit_cast<float>(0xbf801000u)) == 0xbf802000u);
  REQUIRE(to_tf32(std::bit_cast<float>(0x3f803000u)) == 0x3f804000u);
  REQUIRE(to_tf32(std::bit_cast<float>(0x7f7fffffu)) == 0x7f800000u);
  REQUIRE(to_tf32(std::bit_cast<float>(0xff800000u)) == 0xff800000u);
  REQUIRE(std::isnan(std::bit_cast<float>(to_tf32(std::bit_cast<float>(0x7f800001u)) & ~0x1fffu)));
}

TEST_CASE("an operand that was not rounded to TF32 is cut off") {
  on_cuda([&](auto& on) {
    float* const y = on.template make<float>(32);
    launch(
        on.context, "cut_off", {dim3(1), dim3(32)},
        +[](float* out) {
          const unsigned a[4] = {0x3f801fffu, 0, 0, 0}, b[2] = {0x3f800000u, 0};
          float c[4] = {};
          mma_tf32(c, a, b);
          out[threadIdx.x] = c[0];
        },
        y);
    REQUIRE(on.result(y) == std::vector<float>(32, 4.0f));
  });
}

TEMPLATE_TEST_CASE_SIG("load_matrices hands out the documented pairs", "",
                       ((int matrices, bool transposed), matrices, transposed), (2, false),
                       (2, true), (4, false), (4, true)) {
  std::vector<std::uint16_t> x(matrices * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint16_t>(i);
  std::vector<unsigned> expected;
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < matrices; ++i) {
      const unsigned row = lane / 4, column = lane % 4 * 2;
      const unsigned first = transposed ? column * 8 + row : row * 8 + column;
      const unsigned second = first + (transposed ? 8 : 1);
      expected.push_back((i * 64 + first) | (i * 64 + second) << 16);
    }
  on_cuda([&](auto& on) {
    unsigned* const y = on.template make<unsigned>(32 * matrices);
    launch(on.context, "load", {dim3(1), dim3(32)}, load<matrices, transposed>, on.put(x), y);
    REQUIRE(on.result(y) == expected);
  });
}

TEST_CASE("asynchronous copies arrive when they are waited for, and zeros fill them") {
  const auto x = random_values<float>(1024, 1);
  on_cuda([&](auto& on) {
    const float* const there = on.put(x);
    for (const int valid : {16, 8, 4, 0}) {
      float* const y = on.template make<float>(1024);
      launch(on.context, "copy_through", {dim3(1), dim3(32)}, copy_through, there, y, valid, true,
             false);
      REQUIRE(on.result(y) == reversed_chunks(x, valid / 4));
    }
  });
}

#if defined(SHATTER_EMULATED)
TEST_CASE("a missing wait and a buffer filled too early show in emulation") {
  const auto x = random_values<float>(1024, 1);
  on_cuda([&](auto& on) {
    const float* const there = on.put(x);
    for (const bool early : {false, true}) {
      float* const y = on.template make<float>(1024);
      launch(on.context, "copy_through", {dim3(1), dim3(32)}, copy_through, there, y, 16, early,
             early);
      REQUIRE_FALSE(same_bits(on.get(y), reversed_chunks(x, 4)));
    }
  });
}

TEST_CASE("an asynchronous copy between crooked addresses is an error that names the kernel") {
  on_cuda([&](auto& on) {
    const float* const x = on.put(std::vector<float>(1024));
    float* const y = on.template make<float>(1024);
    REQUIRE_THROWS_WITH(launch(on.context, "copy_through", {dim3(1), dim3(32)}, copy_through, x + 1,
                               y, 16, true, false),
                        Contains("copy_through"));
    launch(on.context, "copy_through", {dim3(1), dim3(32)}, copy_through, x, y, 16, true, false);
    REQUIRE(on.get(y) == std::vector<float>(1024));
  });
}
#endif
