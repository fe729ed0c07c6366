// What second derivatives tell of a loss: eigenvalues of its Hessian, gradients example by example.
#pragma once

#include <functional>
#include <vector>

#include <shatter/core/tensor.h>
#include <shatter/kernels/philox.h>

namespace shatter {

struct LanczosOptions {
  int count = 1;        ///< eigenvalues of each end of the spectrum
  int iterations = 40;  ///< products with the Hessian; at most the number of parameters
  RandomKey key{};      ///< of the first vector
};

/// The ends of a spectrum.
struct ExtremeEigenvalues {
  std::vector<double> largest;   ///< falling
  std::vector<double> smallest;  ///< rising
  /// |H v - lambda v| of the unit Ritz vector of each: an eigenvalue lies within that distance.
  std::vector<double> largest_residual, smallest_residual;
  int iterations = 0;  ///< products computed; fewer than asked for where they span all there is
};

/// Eigenvalues of the Hessian of `loss` at `parameters` by Lanczos' iteration with full
/// reorthogonalisation (Golub and Van Loan, Matrix Computations, 10.3). `loss` computes the loss
/// (one element) anew at each call; it must be deterministic, twice differentiable, and see the
/// same examples. The basis, iterations times the parameters, is kept. Throws as grad() with
/// create_graph.
ExtremeEigenvalues extreme_eigenvalues(const std::function<Tensor()>& loss,
                                       const std::vector<Tensor>& parameters,
                                       const LanczosOptions& options = {});

/// The norm of each example's gradient with respect to all `parameters`: losses [n] of one batch,
/// one backward pass an example. Leaves grad() alone.
std::vector<double> example_gradient_norms(const Tensor& losses,
                                           const std::vector<Tensor>& parameters);

}  // namespace shatter
