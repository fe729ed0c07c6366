// Lemma 1 of Zhang et al. (ICLR 2017) against dense solvers: A_ij = max(x_i - b_j, 0) has full rank
// and eigenvalues x_i - b_i.
#pragma once

#include <shatter/experiments/theory/theorem1.h>

namespace shatter::experiments {

/// The eigenvalues by the QR algorithm on the dense matrix, each against the nearest x_i - b_i
/// left: the largest relative difference, and the largest in units of what n rounding errors of the
/// size of A may move an eigenvalue of its condition. For few points: the matrix is far from
/// normal, so that the conditions grow exponentially with n.
struct SpectrumCheck {
  double relative = 0, to_bound = 0;
};
SpectrumCheck spectrum_check(const KinkSystem& system);

struct DenseChecks {
  double eigenvalue = 0;   ///< smallest_eigenvalue() to smallest_diagonal(), relative difference
  double determinant = 0;  ///< log |det A| by LU to sum_i log (x_i - b_i), difference
  double rank = 0;         ///< percent of singular values above n ulp of the largest
  double singular = 0;     ///< the least by a dense decomposition to smallest_singular_value()
};
/// Well posed for hundreds of points, unlike the spectrum. Memory 8 n^2 bytes, several times.
DenseChecks dense_checks(const KinkSystem& system, std::uint64_t seed);

}  // namespace shatter::experiments
