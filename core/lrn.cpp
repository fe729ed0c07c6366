// Local response normalisation across channels.
#include <shatter/kernels/lrn.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {

Tensor local_response_norm(const Tensor& x_any, const LrnOptions& options) {
  ops::check_operands("local_response_norm", {x_any});
  const Tensor x = x_any.packed();
  check(x.rank() >= 1, "local_response_norm: input is a scalar, expected [..., c]");
  check(options.radius >= 0 && options.bias > 0 && options.alpha >= 0,
        "local_response_norm: radius ", options.radius, ", bias ", options.bias, ", alpha ",
        options.alpha, "; expected radius >= 0, bias > 0, alpha >= 0");
  const kernels::LrnGeometry g{.rows = ops::rows(x),
                               .channels = x.dim(-1),
                               .radius = options.radius,
                               .bias = options.bias,
                               .alpha = options.alpha,
                               .beta = options.beta};
  const Tensor y = ops::like(x);
  ops::run_mixed("local_response_norm", x, [&]<class T>(auto& context) {
    kernels::lrn_forward<T>(context, g, x.data<T>(), y.data<T>());
  });
  return record("local_response_norm", y, {x},
                [g, saved = Saved(x)](const Tensor& dy_any, const Needed&) {
                  const Tensor in = *saved, dx = ops::like(in), dy = dy_any.packed();
                  ops::run_mixed("local_response_norm", in, [&]<class T>(auto& context) {
                    kernels::lrn_backward<T>(context, g, in.data<T>(), dy.data<T>(), dx.data<T>());
                  });
                  return std::vector<Tensor>{dx};
                });
}

}  // namespace shatter
