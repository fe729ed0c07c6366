// Checks gradients against central differences: for the library's ops and for a user's own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter {

struct GradcheckOptions {
  double step = 1e-5;              ///< half-width of the difference
  double tolerance = 1e-6;         ///< on |analytic - numeric| / max(1, |numeric|)
  std::int64_t max_entries = 200;  ///< per input; more are sampled evenly
};

/// The largest disagreement found.
struct GradcheckReport {
  bool passed = true;
  double worst = 0;
  std::string where;  ///< "input 1, entry 17: analytic 0.25, numeric 0.5"
  explicit operator bool() const { return passed; }
};

/// Compares the gradient of sum(f(inputs) * r), r a fixed random tensor, with central differences
/// in every entry of every input. Inputs must be float64; those marked by set_requires_grad() are
/// checked. f is called often and must be deterministic; its inputs' elements are restored, also
/// when it throws.
GradcheckReport gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                          const std::vector<Tensor>& inputs, const GradcheckOptions& options = {});

/// The same for second derivatives: compares the gradient of sum_i <g_i, r_i>, where g is the
/// gradient that gradcheck() checks, computed with create_graph, and r are fixed random tensors.
GradcheckReport gradgradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                              const std::vector<Tensor>& inputs,
                              const GradcheckOptions& options = {});

}  // namespace shatter
