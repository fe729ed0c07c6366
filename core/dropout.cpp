// Dropout: the mask is recomputed in the gradient, never stored.
#include <shatter/kernels/dropout.h>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>

namespace shatter {
namespace {

Tensor masked(const Tensor& x, double p, const RandomKey& key, const Tensor& step) {
  const Tensor y = ops::like(x);
  ops::run_mixed("dropout", x, [&]<class T>(auto& context) {
    kernels::dropout<T>(context, x.numel(), p, key, step.data<std::int64_t>(), x.data<T>(),
                        y.data<T>());
  });
  return y;
}

}  // namespace

Tensor dropout(const Tensor& x, double p, const RandomKey& key, std::int64_t step) {
  ops::check_operands("dropout", {x});
  return dropout(x, p, key, Tensor::full({1}, double(step), DType::int64, x.device()));
}

Tensor dropout(const Tensor& x_any, double p, const RandomKey& key, const Tensor& step) {
  ops::check_operands("dropout", {x_any});
  check(step.defined() && step.dtype() == DType::int64 && step.numel() == 1 &&
            step.device() == x_any.device(),
        "dropout: step is ", step.str(), ", expected int64 [1] on ", x_any.device().name());
  check(p >= 0 && p < 1, "dropout: probability ", p, ", expected 0 <= p < 1");
  const Tensor x = x_any.packed();
  return record(
      "dropout", masked(x, p, key, step), {x},
      [p, key, step = Saved(step)](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{dropout(dy, p, key, *step)};
      },
      Order::second);
}

}  // namespace shatter
