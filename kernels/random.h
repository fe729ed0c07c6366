// Arrays of random numbers, element i a pure function of (key, i).
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/philox.h>

namespace shatter::kernels {

/// y[i] in [low, high), as uniform() of functions.h makes it: of float from word i % 4 of
/// random_words(key, i / 4), of double from two words of random_words(key, i / 2). low < high, or
/// all are low. n <= 2^33. T: float, double.
template <class T>
void fill_uniform(CpuContext& context, const RandomKey& key, std::int64_t n, double low,
                  double high, T* y);
template <class T>
void fill_uniform(CudaContext& context, const RandomKey& key, std::int64_t n, double low,
                  double high, T* y);

/// Normal numbers by Box-Muller in double: block i / 2 of random_words(key, i / 2) gives the pair
/// (i even: cosine, i odd: sine), as normal_pair() of functions.h says. n <= 2^33. T: float,
/// double.
template <class T>
void fill_normal(CpuContext& context, const RandomKey& key, std::int64_t n, double mean,
                 double deviation, T* y);
template <class T>
void fill_normal(CudaContext& context, const RandomKey& key, std::int64_t n, double mean,
                 double deviation, T* y);

}  // namespace shatter::kernels
