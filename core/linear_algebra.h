// Linear algebra of matrices [..., m, n] in float32 or float64; leading dimensions are a batch, one
// problem after the other. Computed by Eigen on the CPU in double, whatever the operands' type: on
// a CUDA device they travel to the host and the results back. Each throws (usage) for a shape that
// does not fit, and (data) for a value that is not finite and for a matrix that has no such factor.
// Where one triangle is read, the gradient is that triangle's: PyTorch spreads it over both.
#pragma once

#include <shatter/core/tensor.h>

namespace shatter {

/// The lower triangular L with L L^T = a, of symmetric positive definite a [..., m, m]; its lower
/// triangle is read. Differentiable twice (Murray, arXiv:1602.07527, eq. 10).
Tensor cholesky(const Tensor& a);

/// x with a x = b, of a [..., m, m] and b [..., m, k] with the same leading dimensions, or b [m]
/// beside a [m, m]. By LU with partial pivoting. Differentiable twice. Throws (data) where a pivot
/// is 0.
Tensor solve(const Tensor& a, const Tensor& b);
/// solve(a, identity).
Tensor inverse(const Tensor& a);

struct SignLogDet {
  Tensor sign;    ///< -1, 0 or 1; not differentiable
  Tensor logdet;  ///< log |det a|, -inf where it is 0; differentiable twice where it is not
};
/// Of a [..., m, m]; both are [...].
SignLogDet slogdet(const Tensor& a);

struct Eigh {
  Tensor values;   ///< [..., m], rising
  Tensor vectors;  ///< [..., m, m], a column each, of length 1
};
/// Of symmetric a [..., m, m]; its lower triangle is read. Differentiable twice; the gradient of
/// the vectors needs distinct values, and their signs are arbitrary (Giles 2008, section 3.1).
Eigh eigh(const Tensor& a);

struct Svd {
  Tensor u;   ///< [..., m, k] with k = min(m, n); not differentiable
  Tensor s;   ///< [..., k], falling; differentiable twice where the values are distinct and not 0
  Tensor vt;  ///< [..., k, n]; not differentiable
};
/// a [..., m, n] = u diag(s) vt. backward() through u or vt throws: use eigh of a^T a or a a^T.
Svd svd(const Tensor& a);

struct Qr {
  Tensor q;  ///< [..., m, k] with orthonormal columns, k = min(m, n)
  Tensor r;  ///< [..., k, n], upper triangular
};
/// a [..., m, n] = q r by Householder's reflections. Differentiable twice where m >= n and r is
/// invertible (Walter and Lehmann 2010); else backward() throws.
Qr qr(const Tensor& a);

}  // namespace shatter
