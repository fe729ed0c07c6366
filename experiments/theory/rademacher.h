// Empirical Rademacher complexity, section 2.2 of Zhang et al. (ICLR 2017):
//   R_n(H) = E_sigma sup_{h in H} (1/n) sum_i sigma_i h(x_i), sigma_i = +-1 with equal chances.
// Each function here treats one draw of sigma; the mean over draws estimates R_n.
#pragma once

#include <cstdint>
#include <vector>

#include <shatter/data/dataset.h>
#include <shatter/experiments/linear_algebra/dense.h>

namespace shatter::experiments {

/// n signs, a function of the seed.
std::vector<int> random_signs(std::uint64_t seed, std::int64_t n);

/// (1/n) sum_i sigma_i h(x_i), found by projected gradient ascent over a class whose supremum is
/// known, and that supremum.
struct Supremum {
  double found = 0, exact = 0;
};
/// h(x) = <w, x>, |w| <= radius: (radius / n) |sum_i sigma_i x_i|.
Supremum linear_ball(const Matrix& x, const std::vector<int>& signs, double radius, int steps);
/// h = sum_i alpha_i k(x_i, .), norm in k's space <= radius: (radius / n) sqrt(sigma^T K sigma).
Supremum kernel_ball(const Matrix& k, const std::vector<int>& signs, double radius, int steps);
/// Bounds on the means of both: (radius / n) sqrt(sum_i |x_i|^2), (radius / n) sqrt(tr K).
double linear_ball_bound(const Matrix& x, double radius);
double kernel_ball_bound(const Matrix& k, double radius);

/// The images with signs for labels: class 1 for +1, class 0 for -1.
data::Dataset signed_images(const data::Dataset& images, const std::vector<int>& signs);

}  // namespace shatter::experiments
