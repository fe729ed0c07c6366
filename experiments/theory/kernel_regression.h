// Kernel regression as in section 5 of Zhang et al. (ICLR 2017): (K + lambda I) alpha = Y, with one
// column of Y for each class.
#pragma once

#include <optional>
#include <string>

#include <shatter/experiments/theory/kernel_system.h>

namespace shatter::experiments {

struct SolveOptions {
  double lambda = 0;  ///< added to the diagonal of K: the regulariser, part of what is solved
  /// Added, times the largest diagonal element, to what is factored in float32 and to nothing else:
  /// the refinement solves the system without it. A factorisation that fails is repeated with ten
  /// times as much, up to max_jitter.
  double jitter = 1e-6, max_jitter = 1e-2;
  double residual = 1e-8;  ///< refine until each column has |Y - (K + lambda I) alpha| <= this |Y|
  int iterations = 40;     ///< at most
  Stop stop;
  std::function<void(const std::string&)> say;  ///< told what goes on; may be empty
};

struct Solution {
  std::int64_t outputs = 0;
  std::vector<double> alpha;   ///< [n, outputs]
  std::vector<double> fitted;  ///< K alpha, the training predictions
  double residual = 0;         ///< reached, the largest of the columns
  int iterations = 0;          ///< products with K
  double jitter = 0;           ///< that the factorisation took
  double min_pivot = 0;        ///< least pivot of the factor
  double factor_gflops = 0;    ///< n^3 / 3 operations over the factorisation's time
};

/// Solves (K + lambda I) alpha = targets [n, outputs]: a float32 Cholesky factor as preconditioner
/// of conjugate gradients whose products and sums are double's. Empty when stopped. Throws
/// (diverged), naming the pivot, when no allowed jitter makes the matrix positive definite in
/// float32.
std::optional<Solution> solve(KernelSystem& system, std::int64_t outputs,
                              const std::vector<double>& targets, const SolveOptions& options);
/// The same on the CPU's packed_system(); memory: PackedLower::bytes(n) and some columns.
std::optional<Solution> solve(CpuContext& context, const KernelMatrix& k, std::int64_t outputs,
                              const std::vector<double>& targets, const SolveOptions& options);

/// Y [n, classes]: 1 where the class is the label's, else 0.
std::vector<double> one_hot(const std::vector<int>& labels, std::int64_t classes);

/// Percent of rows whose largest score is not their label's.
double error_percent(const std::vector<double>& scores, const std::vector<int>& labels,
                     std::int64_t classes);

/// |w| = sqrt(sum over classes of alpha_c^T K alpha_c) for one-hot targets.
double rkhs_norm(const Solution& solution);
/// The norm of the solution for targets of +1 and -1. They are 2 Y - 1, and the columns of a
/// one-hot Y add up to 1, so this needs no second solve.
double rkhs_norm_plus_minus(const Solution& solution);

}  // namespace shatter::experiments
