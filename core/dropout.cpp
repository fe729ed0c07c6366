// Dropout: the mask is recomputed in the gradient, never stored.
#include <shatter/kernels/dropout.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

Tensor masked(const Tensor& x, double p, const RandomKey& key, std::uint32_t step) {
  const Tensor y = ops::like(x);
  ops::run("dropout", x, [&]<class T>(auto& context) {
    kernels::dropout<T>(context, x.numel(), p, key, step, x.data<T>(), y.data<T>());
  });
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x_any, double p, const RandomKey& key, std::uint32_t step) {
  ops::check_operands("dropout", {x_any});
  check(p >= 0 && p < 1, "dropout: probability ", p, ", expected 0 <= p < 1");
  const Tensor x = x_any.packed();
  return record("dropout", masked(x.detach(), p, key, step), {x},
                [p, key, step](const Tensor& dy, const Needed&) {
                  return std::vector<Tensor>{masked(dy.packed(), p, key, step)};
                });
}

}  // namespace shatter
