// Kernel regression by a float32 factor and conjugate gradients in double.
#include <shatter/experiments/theory/kernel_regression.h>

#include <chrono>
#include <cmath>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Sums over the rows of a [n, columns] and b, one for each column.
std::vector<double> column_products(std::int64_t columns, const std::vector<double>& a,
                                    const std::vector<double>& b) {
  std::vector<double> sums(std::size_t(columns), 0.);
  for (std::size_t i = 0; i < a.size(); ++i) sums[i % std::size_t(columns)] += a[i] * b[i];
  return sums;
}

/// The system's float32 factor, with as much jitter as it takes.
class Factor {
 public:
  Factor(KernelSystem& system, const SolveOptions& options) : system_(system), options_(options) {}

  /// False when stopped.
  bool compute() {
    for (double jitter = options_.jitter;; jitter = jitter > 0 ? 10 * jitter : 1e-7) {
      if (!system_.fill(options_.lambda, jitter, options_.stop)) return false;
      const auto begin = Clock::now();
      auto last = begin;
      outcome_ = system_.factor([&](std::int64_t done, std::int64_t columns) {
        if (done < columns && seconds_since(last) > 20) {
          last = Clock::now();
          say("factor: block column ", done, " of ", columns, ", ", int(seconds_since(begin)),
              " s");
        }
        return options_.stop && options_.stop();
      });
      if (outcome_.stopped) return false;
      if (outcome_.failed < 0) {
        jitter_ = jitter;
        const double n = double(system_.n()), seconds = seconds_since(begin);
        gflops_ = n * n * n / 3 / seconds * 1e-9;
        say("factor: n ", system_.n(), ", ", seconds, " s, ", gflops_, " GFLOP/s, jitter ", jitter,
            ", least pivot ", outcome_.min_pivot);
        return true;
      }
      const std::string what =
          text("the kernel matrix with lambda ", options_.lambda, " and jitter ", jitter,
               " is not positive definite in float32: pivot ", outcome_.failed_pivot, " in row ",
               outcome_.failed, " of ", system_.n());
      if (10 * jitter > options_.max_jitter * 1.0001)
        fail(ErrorKind::diverged, what,
             "; a larger lambda or max_jitter, or a narrower kernel, helps");
      say(what, "; again with ten times the jitter");
    }
  }

  /// z [n, columns] = (L L^T)^-1 r, each column scaled to norm 1 for float's range.
  void apply(std::int64_t columns, const std::vector<double>& r, std::vector<double>& z) {
    const std::vector<double> squares = column_products(columns, r, r);
    single_.resize(r.size());
    const auto scale = [&](std::size_t i) {
      return squares[i % std::size_t(columns)] > 0 ? std::sqrt(squares[i % std::size_t(columns)])
                                                   : 1;
    };
    for (std::size_t i = 0; i < r.size(); ++i) single_[i] = float(r[i] / scale(i));
    system_.apply_inverse(columns, single_.data());
    for (std::size_t i = 0; i < r.size(); ++i) z[i] = double(single_[i]) * scale(i);
  }

  const Cholesky& outcome() const { return outcome_; }
  double jitter() const { return jitter_; }
  double gflops() const { return gflops_; }

 private:
  template <class... Parts>
  void say(const Parts&... parts) const {
    if (options_.say) options_.say(text(parts...));
  }

  KernelSystem& system_;
  const SolveOptions& options_;
  std::vector<float> single_;
  Cholesky outcome_;
  double jitter_ = 0, gflops_ = 0;
};

double norm_of(const Solution& solution, bool plus_minus) {
  const auto outputs = std::size_t(solution.outputs);
  double sum = 0;
  for (std::size_t i = 0; i < solution.alpha.size(); i += outputs) {
    const double* const a = solution.alpha.data() + i;
    const double* const f = solution.fitted.data() + i;
    double a_sum = 0, f_sum = 0;
    for (std::size_t c = 0; plus_minus && c < outputs; ++c) a_sum += a[c], f_sum += f[c];
    const double factor = plus_minus ? 2 : 1;
    for (std::size_t c = 0; c < outputs; ++c)
      sum += (factor * a[c] - a_sum) * (factor * f[c] - f_sum);
  }
  return std::sqrt(std::max(sum, 0.));
}

}  // namespace

std::optional<Solution> solve(KernelSystem& system, std::int64_t outputs,
                              const std::vector<double>& targets, const SolveOptions& options) {
  check(outputs >= 1 && std::int64_t(targets.size()) == system.n() * outputs,
        "solve: ", targets.size(), " targets for ", system.n(), " points and ", outputs,
        " outputs");
  check(options.lambda >= 0 && options.jitter >= 0, "solve: lambda ", options.lambda, ", jitter ",
        options.jitter, "; give numbers of at least 0");
  Factor factor(system, options);
  if (!factor.compute()) return std::nullopt;

  Solution result;
  result.outputs = outputs;
  result.jitter = factor.jitter();
  result.min_pivot = factor.outcome().min_pivot;
  result.factor_gflops = factor.gflops();
  result.alpha.assign(targets.size(), 0);
  const std::vector<double> sizes = column_products(outputs, targets, targets);
  std::vector<double> r = targets, z(r.size()), p(r.size()), q(r.size());
  factor.apply(outputs, r, z);
  p = z;
  std::vector<double> rz = column_products(outputs, r, z);
  const auto column = [&](std::size_t i) { return i % std::size_t(outputs); };
  result.residual = 1;
  while (result.residual > options.residual && result.iterations < options.iterations) {
    if (!system.multiply(outputs, p.data(), q.data(), options.stop)) return std::nullopt;
    ++result.iterations;
    for (std::size_t i = 0; i < q.size(); ++i) q[i] += options.lambda * p[i];
    std::vector<double> step = column_products(outputs, p, q);
    for (std::size_t c = 0; c < step.size(); ++c) step[c] = step[c] > 0 ? rz[c] / step[c] : 0;
    for (std::size_t i = 0; i < r.size(); ++i) {
      result.alpha[i] += step[column(i)] * p[i];
      r[i] -= step[column(i)] * q[i];
    }
    result.residual = 0;
    const std::vector<double> left = column_products(outputs, r, r);
    for (std::size_t c = 0; c < left.size(); ++c)
      if (sizes[c] > 0) result.residual = std::max(result.residual, std::sqrt(left[c] / sizes[c]));
    if (options.say)
      options.say(text("refinement ", result.iterations, ": relative residual ", result.residual));
    if (!(std::isfinite(result.residual)))
      fail(ErrorKind::diverged, "solve: the refinement's residual is not finite");
    factor.apply(outputs, r, z);
    const std::vector<double> next = column_products(outputs, r, z);
    for (std::size_t i = 0; i < p.size(); ++i) {
      const std::size_t c = column(i);
      p[i] = z[i] + (rz[c] > 0 ? next[c] / rz[c] : 0) * p[i];
    }
    rz = next;
  }
  result.fitted.resize(r.size());
  for (std::size_t i = 0; i < r.size(); ++i)
    result.fitted[i] = targets[i] - options.lambda * result.alpha[i] - r[i];
  return result;
}

std::optional<Solution> solve(CpuContext& context, const KernelMatrix& k, std::int64_t outputs,
                              const std::vector<double>& targets, const SolveOptions& options) {
  return solve(*packed_system(context, k), outputs, targets, options);
}

std::vector<double> one_hot(const std::vector<int>& labels, std::int64_t classes) {
  std::vector<double> targets(labels.size() * std::size_t(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    check(labels[i] >= 0 && labels[i] < classes, "one_hot: label ", labels[i], " of ", classes,
          " classes");
    targets[i * std::size_t(classes) + std::size_t(labels[i])] = 1;
  }
  return targets;
}

double error_percent(const std::vector<double>& scores, const std::vector<int>& labels,
                     std::int64_t classes) {
  check(!labels.empty() && scores.size() == labels.size() * std::size_t(classes),
        "error_percent: ", scores.size(), " scores for ", labels.size(), " labels of ", classes,
        " classes");
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto row = scores.begin() + std::int64_t(i) * classes;
    wrong += std::max_element(row, row + classes) - row != labels[i];
  }
  return 100 * double(wrong) / double(labels.size());
}

double rkhs_norm(const Solution& solution) {
  return norm_of(solution, false);
}

double rkhs_norm_plus_minus(const Solution& solution) {
  return norm_of(solution, true);
}

}  // namespace shatter::experiments
