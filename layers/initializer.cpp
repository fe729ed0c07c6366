// Initial values, drawn on the host so that every device starts from the same bits.
#include <shatter/layers/initializer.h>

#include <cmath>
#include <numbers>

#include <shatter/kernels/philox.h>

namespace shatter {
namespace {

double normal_draw(const RandomKey& key, std::uint32_t index, std::uint32_t block) {
  const Words4 words = random_words(key, index, block);
  const double radius = std::sqrt(-2 * std::log1p(-uniform_double(words[0], words[1])));
  return radius * std::cos(2 * std::numbers::pi * uniform_double(words[2], words[3]));
}

double draw(const Initializer& initializer, const RandomKey& key, std::uint32_t index) {
  switch (initializer.kind) {
    case Initializer::Kind::constant: return initializer.scale;
    case Initializer::Kind::normal: return initializer.scale * normal_draw(key, index, 0);
    case Initializer::Kind::truncated_normal: {
      double z = 0;
      std::uint32_t block = 0;
      do z = normal_draw(key, index, block++);
      while (std::abs(z) > 2);
      return initializer.scale * z;
    }
    case Initializer::Kind::uniform: {
      const Words4 words = random_words(key, index, 0);
      return initializer.scale * (2 * uniform_double(words[0], words[1]) - 1);
    }
  }
  return 0;
}

}  // namespace

void Initializer::fill(const Tensor& x, std::uint64_t seed) const {
  const RandomKey key{.seed = seed, .stream = Stream::initialize};
  std::vector<double> values(std::size_t(x.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = draw(*this, key, std::uint32_t(i));
  x.copy_from(Tensor::from(values, x.shape()).to(x.device()));
}

namespace init {

Initializer he(std::int64_t fan_in) {
  check(fan_in > 0, "init::he: fan-in is ", fan_in);
  return truncated_normal(std::sqrt(2.0 / double(fan_in)));
}

Initializer glorot(std::int64_t fan_in, std::int64_t fan_out) {
  check(fan_in > 0 && fan_out > 0, "init::glorot: fans are ", fan_in, " and ", fan_out);
  return uniform(std::sqrt(6.0 / double(fan_in + fan_out)));
}

Initializer pytorch(std::int64_t fan_in) {
  check(fan_in > 0, "init::pytorch: fan-in is ", fan_in);
  return uniform(1 / std::sqrt(double(fan_in)));
}

}  // namespace init
}  // namespace shatter
