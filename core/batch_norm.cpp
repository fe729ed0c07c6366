// Batch normalisation, alone or fused with ReLU.
#include <shatter/kernels/batch_norm.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

/// Batch normalisation by elementary ops, for its second derivative.
Tensor normalised(const kernels::BatchNormGeometry& g, double epsilon, const Tensor& x,
                  const Tensor& running_mean, const Tensor& running_variance, const Tensor& gamma,
                  const Tensor& beta) {
  const Tensor rows = x.reshape({g.rows, g.channels});
  const Tensor mean = g.training ? shatter::mean(rows, 0) : running_mean;
  const Tensor centred = rows - mean;
  const Tensor variance = g.training ? shatter::mean(square(centred), 0) : running_variance;
  Tensor y = centred / sqrt(variance + epsilon);
  if (gamma) y = y * gamma;
  if (beta) y = y + beta;
  return (g.relu ? relu(y) : y).reshape(x.shape());
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_variance,
                  const BatchNormOptions& options, const Tensor& into) {
  ops::check_operands("batch_norm", {x});
  ops::check_parameters("batch_norm", x, {gamma, beta, running_mean, running_variance});
  check(x.rank() >= 2, "batch_norm: input is ", x.shape(), ", expected [..., c]");
  const std::int64_t channels = x.dim(-1), rows = ops::rows(x);
  for (const Tensor& t : {gamma, beta, running_mean, running_variance}) {
    check(!t || (t.shape() == Shape{channels} && t.is_packed()), "batch_norm: input ", x.shape(),
          " has ", channels, " channels, a parameter or statistic is ", t ? t.str() : "");
  }
  check(running_mean.defined() && running_variance.defined(),
        "batch_norm: running statistics are undefined");
  check(!options.training || rows > 0, "batch_norm: the batch ", x.shape(), " is empty");
  check(options.epsilon > 0, "batch_norm: epsilon is ", options.epsilon);

  const Tensor y = ops::result("batch_norm", into, x.shape(), x);
  Tensor mean = running_mean, variance = running_variance;
  if (options.training) {
    mean = ops::like(running_mean);
    variance = ops::like(running_variance);
  } else if (grad_enabled()) {
    mean = running_mean.clone();
    variance = running_variance.clone();
  }
  kernels::BatchNormGeometry g{.rows = rows,
                               .channels = channels,
                               .x_pitch = x.pitch(),
                               .y_pitch = y.pitch(),
                               .relu = options.relu,
                               .training = options.training};
  ops::run_mixed("batch_norm", x, [&]<class T>(auto& context) {
    using W = wide_t<T>;
    if (options.training) {
      kernels::batch_norm_statistics<T>(context, g, x.data<T>(), mean.data<W>(),
                                        variance.data<W>());
      kernels::running_average<W>(context, channels, options.decay, 1, mean.data<W>(),
                                  running_mean.data<W>());
      const double scale =
          options.unbiased_running_variance && rows > 1 ? double(rows) / double(rows - 1) : 1;
      kernels::running_average<W>(context, channels, options.decay, scale, variance.data<W>(),
                                  running_variance.data<W>());
    }
    kernels::batch_norm_forward<T>(context, g, options.epsilon, x.data<T>(), mean.data<W>(),
                                   variance.data<W>(), ops::data_or_null<W>(gamma),
                                   ops::data_or_null<W>(beta), y.data<T>());
  });
  return record(
      "batch_norm", y, {x, gamma, beta},
      [g, epsilon = options.epsilon, saved_x = Saved(x), mean, variance, saved_gamma = Saved(gamma),
       saved_beta = Saved(beta)](const Tensor& dy, const Needed& needed) {
        const Tensor in = *saved_x, scale = *saved_gamma, shift = *saved_beta;
        if (grad_enabled()) {
          const Tensor z = normalised(g, epsilon, in, mean, variance, scale, shift);
          return partial_derivatives(z, dy, {in, scale, shift});
        }
        // dx is where the kernel leaves its work, so it is computed even for a frozen input
        const Tensor dx = ops::like(in);
        const Tensor dgamma = needed[1] ? ops::like(scale) : Tensor();
        const Tensor dbeta = needed[2] ? ops::like(shift) : Tensor();
        const Tensor input = in.packed();
        kernels::BatchNormGeometry backward = g;
        backward.x_pitch = 0;
        backward.y_pitch = dy.pitch();
        ops::run_mixed("batch_norm", dy, [&]<class T>(auto& context) {
          using W = wide_t<T>;
          kernels::batch_norm_backward<T>(
              context, backward, epsilon, input.data<T>(), dy.data<T>(), mean.data<W>(),
              variance.data<W>(), ops::data_or_null<W>(scale), ops::data_or_null<W>(shift),
              dx.data<T>(), ops::data_or_null<W>(dgamma), ops::data_or_null<W>(dbeta));
        });
        return std::vector<Tensor>{dx, dgamma, dbeta};
      },
      Order::second);
}

}  // namespace shatter
