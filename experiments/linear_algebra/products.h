// Inner products of float rows, added up in double.
#pragma once

#include <cstdint>

namespace shatter::experiments {

/// out [m, n] = a b^T for packed a [m, d] and b [n, d], on the calling thread: every product and
/// sum is double's, in an order fixed by the shape.
void double_products(std::int64_t m, std::int64_t n, std::int64_t d, const float* a, const float* b,
                     double* out);

/// norms[i] = |x_i|^2 for the packed rows of x [rows, d].
void double_squared_norms(std::int64_t rows, std::int64_t d, const float* x, double* norms);

}  // namespace shatter::experiments
