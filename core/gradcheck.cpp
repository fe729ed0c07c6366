// Central differences against the tape's gradients.
#include <shatter/core/gradcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter {
namespace {

/// Puts a tensor's elements back when it goes.
class Restored {
 public:
  explicit Restored(const Tensor& x) : x_(x), start_(x.clone()) {}
  ~Restored() { x_.copy_from(start_); }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  Tensor x_, start_;
};

}  // namespace

GradcheckReport gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                          const std::vector<Tensor>& inputs, const GradcheckOptions& options) {
  for (const Tensor& x : inputs) {
    check(!x.requires_grad() || (x.dtype() == DType::float64 && x.is_packed()),
          "gradcheck: input is ", x.str(), ", expected packed float64");
  }
  check(options.step > 0 && options.max_entries > 0, "gradcheck: step ", options.step, ", ",
        options.max_entries, " entries; both must be positive");
  Tensor weights;
  const auto objective = [&] {
    const Tensor y = f(inputs);
    if (!weights) weights = random_normal({.seed = 1}, y.shape(), 0, 1, y.dtype(), y.device());
    return sum(multiply(y, weights));
  };

  std::vector<Tensor> checked;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) continue;
    checked.push_back(inputs[i]);
    places.push_back(i);
  }
  check(!checked.empty(), "gradcheck: no input is marked by set_requires_grad()");
  const std::vector<Tensor> gradients = grad(objective(), checked);

  const NoGrad guard;
  GradcheckReport report;
  for (std::size_t i = 0; i < checked.size(); ++i) {
    const std::vector<double> analytic = gradients[i].values<double>();
    const std::vector<double> start = checked[i].values<double>();
    const Restored restored(checked[i]);
    const auto at = [&](std::int64_t entry, double value) {
      std::vector<double> moved = start;
      moved[std::size_t(entry)] = value;
      checked[i].copy_from(Tensor::from(moved, checked[i].shape(), checked[i].device()));
      return objective().item();
    };
    const std::int64_t count = checked[i].numel();
    const std::int64_t stride =
        std::max<std::int64_t>(1, (count + options.max_entries - 1) / options.max_entries);
    for (std::int64_t entry = 0; entry < count; entry += stride) {
      const double x = start[std::size_t(entry)];
      const double numeric =
          (at(entry, x + options.step) - at(entry, x - options.step)) / (2 * options.step);
      const double error =
          std::abs(analytic[std::size_t(entry)] - numeric) / std::max(1.0, std::abs(numeric));
      if (!std::isnan(error) && error <= report.worst) continue;
      report.worst = std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
      report.where = text("input ", places[i], ", entry ", entry, ": analytic ",
                          analytic[std::size_t(entry)], ", numeric ", numeric);
    }
  }
  report.passed = report.worst <= options.tolerance;
  return report;
}

GradcheckReport gradgradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                              const std::vector<Tensor>& inputs, const GradcheckOptions& options) {
  const auto fixed = [](std::uint64_t seed, const Tensor& like) {
    return random_normal({.seed = seed}, like.shape(), 0, 1, like.dtype(), like.device());
  };
  const auto weighted_gradients = [&](const std::vector<Tensor>& x) {
    const EnableGrad recorded;
    std::vector<Tensor> checked;
    for (const Tensor& input : x)
      if (input.requires_grad()) checked.push_back(input);
    const Tensor y = f(x);
    const std::vector<Tensor> gradients =
        grad(sum(multiply(y, fixed(1, y))), checked, {.create_graph = true});
    // Of a linear function the gradients are constant: the zero keeps the sum on the tape.
    Tensor total = sum(multiply(checked[0], Tensor::zeros({}, DType::float64, x[0].device())));
    for (std::size_t i = 0; i < gradients.size(); ++i)
      total = total + sum(multiply(gradients[i], fixed(i + 2, gradients[i])));
    return total;
  };
  return gradcheck(weighted_gradients, inputs, options);
}

}  // namespace shatter
