// MD5 and SHA-256, written after their standards; plain rather than fast (a few hundred MB/s).
#include <shatter/data/checksum.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace shatter::data {
namespace {

/// Calls block(64 bytes) for the message padded as both standards say: a one bit, zeros, the
/// length in bits.
template <class Block>
void for_each_block(std::string_view bytes, std::endian length_order, Block&& block) {
  const std::uint64_t bits = std::uint64_t{bytes.size()} * 8;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t rest = bytes.size();
  for (; rest >= 64; rest -= 64, data += 64) block(data);

  unsigned char tail[128] = {};
  if (rest > 0) std::memcpy(tail, data, rest);
  tail[rest] = 0x80;
  const std::size_t size = rest < 56 ? 64 : 128;
  for (std::size_t i = 0; i < 8; ++i) {
    const std::size_t place = length_order == std::endian::little ? i : 7 - i;
    tail[size - 8 + place] = static_cast<unsigned char>(bits >> (8 * i));
  }
  for (std::size_t i = 0; i < size; i += 64) block(tail + i);
}

std::uint32_t little(const unsigned char* p) {
  return std::uint32_t{p[0]} | std::uint32_t{p[1]} << 8 | std::uint32_t{p[2]} << 16 |
         std::uint32_t{p[3]} << 24;
}

std::uint32_t big(const unsigned char* p) {
  return std::uint32_t{p[3]} | std::uint32_t{p[2]} << 8 | std::uint32_t{p[1]} << 16 |
         std::uint32_t{p[0]} << 24;
}

std::string hex(std::uint32_t word) {
  std::string result;
  for (int shift = 28; shift >= 0; shift -= 4) result += "0123456789abcdef"[(word >> shift) & 15];
  return result;
}

std::uint32_t byte_swapped(std::uint32_t x) {
  return x >> 24 | (x >> 8 & 0xff00u) | (x << 8 & 0xff0000u) | x << 24;
}

/// The first 32 bits of the fraction of the square (power 2) or cube (power 3) root of a prime,
/// by integer bisection: floating point has too few bits to be sure of the last one.
std::uint32_t root_fraction(std::uint32_t prime, int power) {
  // The largest x with x^power <= prime * 2^(32 power); x < 2^37 since every root is below 21.
  std::uint64_t x = 0;
  for (int bit = 36; bit >= 0; --bit) {
    const std::uint64_t trial = x | std::uint64_t{1} << bit;
    __extension__ using Wide = unsigned __int128;
    const Wide square = Wide{trial} * trial;
    // For cubes, prime * 2^96 fits in 128 bits, trial^3 <= 2^111 too.
    const bool fits =
        power == 2 ? square <= (Wide{prime} << 64) : square * trial <= (Wide{prime} << 96);
    if (fits) x = trial;
  }
  return static_cast<std::uint32_t>(x);
}

struct Sha256Constants {
  std::array<std::uint32_t, 64> k;  ///< from the cube roots of the first 64 primes
  std::array<std::uint32_t, 8> h;   ///< from the square roots of the first 8
};

Sha256Constants sha256_constants() {
  Sha256Constants constants;
  std::size_t found = 0;
  for (std::uint32_t candidate = 2; found < 64; ++candidate) {
    bool prime = true;
    for (std::uint32_t d = 2; d * d <= candidate; ++d) prime = prime && candidate % d != 0;
    if (!prime) continue;
    constants.k[found] = root_fraction(candidate, 3);
    if (found < 8) constants.h[found] = root_fraction(candidate, 2);
    ++found;
  }
  return constants;
}

}  // namespace

std::string md5(std::string_view bytes) {
  static const auto sines = [] {
    std::array<std::uint32_t, 64> t;
    for (std::size_t i = 0; i < 64; ++i) {
      t[i] = static_cast<std::uint32_t>(std::fabs(std::sin(double(i + 1))) * 0x1p32);
    }
    return t;
  }();
  constexpr int shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

  std::array<std::uint32_t, 4> state{0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u};
  for_each_block(bytes, std::endian::little, [&](const unsigned char* block) {
    std::uint32_t x[16];
    for (int i = 0; i < 16; ++i) x[i] = little(block + 4 * i);
    auto [a, b, c, d] = state;
    const auto step = [&](unsigned i, std::uint32_t f, unsigned word) {
      const std::uint32_t sum = a + f + x[word % 16] + sines[i];
      a = d;
      d = c;
      c = b;
      b += std::rotl(sum, shifts[i / 16][i % 4]);
    };
    for (unsigned i = 0; i < 16; ++i) step(i, (b & c) | (~b & d), i);
    for (unsigned i = 16; i < 32; ++i) step(i, (b & d) | (c & ~d), 5 * i + 1);
    for (unsigned i = 32; i < 48; ++i) step(i, b ^ c ^ d, 3 * i + 5);
    for (unsigned i = 48; i < 64; ++i) step(i, c ^ (b | ~d), 7 * i);
    state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d};
  });

  std::string result;
  for (const std::uint32_t word : state) result += hex(byte_swapped(word));
  return result;
}

std::string sha256(std::string_view bytes) {
  static const Sha256Constants constants = sha256_constants();

  std::array<std::uint32_t, 8> state = constants.h;
  for_each_block(bytes, std::endian::big, [&](const unsigned char* block) {
    std::uint32_t w[64];
    for (int i = 0; i < 16; ++i) w[i] = big(block + 4 * i);
    for (int i = 16; i < 64; ++i) {
      const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + constants.k[i] + w[i];
      const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d,
             state[4] + e, state[5] + f, state[6] + g, state[7] + h};
  });

  std::string result;
  for (const std::uint32_t word : state) result += hex(word);
  return result;
}

}  // namespace shatter::data
