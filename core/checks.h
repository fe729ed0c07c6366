// Operand checks shared by the ops; not installed.
#pragma once

#include <initializer_list>

#include <shatter/core/autograd.h>
#include <shatter/core/dispatch.h>
#include <shatter/core/tensor.h>

namespace shatter::ops {

/// All defined operands have the first one's device and type: float32, float64, or bfloat16 (which
/// not every op can compute in: those throw in run()).
inline void check_operands(const char* op, std::initializer_list<Tensor> operands) {
  const Tensor& first = *operands.begin();
  check(first.defined(), op, ": the first operand is undefined");
  check(is_floating(first.dtype()), op, ": operand is ", first.str(),
        ", expected float32, float64 or bfloat16");
  for (const Tensor& x : operands) {
    if (!x.defined()) continue;
    check(x.dtype() == first.dtype(), op, ": operands are ", first.str(), " and ", x.str(),
          "; convert one with to()");
    check(x.device() == first.device(), op, ": operands are on ", first.device().name(), " and ",
          x.device().name());
  }
}

/// All defined parameters lie on x's device and have its type, or float32 beside bfloat16: they
/// are kept, and their gradients computed, in the wider type.
inline void check_parameters(const char* op, const Tensor& x,
                             std::initializer_list<Tensor> parameters) {
  for (const Tensor& p : parameters) {
    if (!p.defined()) continue;
    check(p.dtype() == wide_of(x.dtype()), op, ": input is ", x.str(), ", a parameter ", p.str(),
          "; expected parameters of ", name_of(wide_of(x.dtype())));
    check(p.device() == x.device(), op, ": input is on ", x.device().name(), ", a parameter on ",
          p.device().name());
  }
}

/// Logits [n, classes] and a label for each row; what the labels are is not looked at.
inline void check_labelled(const char* op, const Tensor& logits, const Tensor& labels) {
  check_operands(op, {logits});
  check(logits.rank() == 2 && labels.defined() && labels.dtype() == DType::int32 &&
            labels.shape() == Shape{logits.dim(0)} && labels.device() == logits.device(),
        op, ": logits ", logits.str(), " on ", logits.device().name(), " and labels ", labels.str(),
        labels.defined() ? " on " + labels.device().name() : "",
        "; expected [n, classes] and int32 [n] on one device");
}

/// `into` after checking that it can take a result of this shape, or a new tensor like `like`.
inline Tensor result(const char* op, const Tensor& into, const Shape& shape, const Tensor& like) {
  if (!into) return Tensor::empty(shape, like.dtype(), like.device());
  check(into.shape() == shape && into.dtype() == like.dtype() && into.device() == like.device(), op,
        ": `into` is ", into.str(), ", the result ", name_of(like.dtype()), " ", shape);
  return into.detach();
}

inline Tensor like(const Tensor& x) {
  return Tensor::empty(x.shape(), x.dtype(), x.device());
}

/// Calls f<T>(context) with the floating type and the device's context of x.
template <class F>
decltype(auto) run(const char* op, const Tensor& x, F&& f) {
  return on(x.device(), [&](auto& context) -> decltype(auto) {
    return with_floating(x.dtype(), op, [&]<class T>() -> decltype(auto) {
      return f.template operator()<T>(context);
    });
  });
}

/// The same for ops that also compute in bfloat16.
template <class F>
void run_mixed(const char* op, const Tensor& x, F&& f) {
  on(x.device(), [&](auto& context) {
    if (x.dtype() == DType::bfloat16) {
      f.template operator()<bfloat16>(context);
      return;
    }
    with_floating(x.dtype(), op, [&]<class T>() { f.template operator()<T>(context); });
  });
}

/// The same for what takes every type.
template <class F>
void run_any(const Tensor& x, F&& f) {
  on(x.device(), [&](auto& context) {
    with_dtype(x.dtype(), [&]<class T>() { f.template operator()<T>(context); });
  });
}

/// The element pointer, or null for an undefined tensor.
template <class T>
T* data_or_null(const Tensor& x) {
  return x ? x.data<T>() : nullptr;
}

/// Elements seen as rows x columns along the last dimension.
inline std::int64_t columns(const Tensor& x) {
  return x.rank() ? x.dim(-1) : 1;
}
inline std::int64_t rows(const Tensor& x) {
  return columns(x) ? x.numel() / columns(x) : 0;
}

}  // namespace shatter::ops
