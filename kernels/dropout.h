// Dropout (Srivastava et al. 2014), inverted: kept elements are scaled by 1 / (1 - p).
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/philox.h>

namespace shatter::kernels {

/// y[i] = x[i] / (1 - p) if uniform(i) >= p, else 0, with uniform(i) = uniform_float of word i % 4
/// of random_words(key, i / 4, *step). The gradient is the same call on dy. step lies in the
/// context's memory, so that a captured step finds its own; its low 32 bits count. 0 <= p < 1, n <
/// 2^34. T: float, double, bfloat16.
template <class T>
void dropout(CpuContext& context, std::int64_t n, double p, const RandomKey& key,
             const std::int64_t* step, const T* x, T* y);
template <class T>
void dropout(CudaContext& context, std::int64_t n, double p, const RandomKey& key,
             const std::int64_t* step, const T* x, T* y);

}  // namespace shatter::kernels
