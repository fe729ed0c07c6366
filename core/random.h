// Draws on the host as pure functions of a key, and tensors of random numbers on any device.
#pragma once

#include <string_view>
#include <vector>

#include <shatter/core/tensor.h>
#include <shatter/kernels/philox.h>

namespace shatter {

/// A uniformly random ordering of 0 .. n-1 (Fisher-Yates with counter-based draws).
std::vector<std::int64_t> random_permutation(const RandomKey& key, std::int64_t n);

/// In [low, high), with 24 random bits, of float64 with 53.
Tensor random_uniform(const RandomKey& key, const Shape& shape, double low = 0, double high = 1,
                      DType dtype = DType::float32, Device device = {});
Tensor random_normal(const RandomKey& key, const Shape& shape, double mean = 0,
                     double deviation = 1, DType dtype = DType::float32, Device device = {});

/// A seed for a part of a run: the same for the same (seed, label), unrelated otherwise.
std::uint64_t derive_seed(std::uint64_t seed, std::string_view label);

}  // namespace shatter
