// From run-time devices and element types to compile-time ones.
#pragma once

#include <shatter/core/device.h>
#include <shatter/kernels/context.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/types.h>

namespace shatter {

/// Whether this build contains the CUDA backend (or its emulation).
#if defined(SHATTER_WITH_CUDA)
inline constexpr bool built_with_cuda = true;
#else
inline constexpr bool built_with_cuda = false;
#endif

/// Calls f with the context of `device`; overload resolution on it picks the backend's kernel.
template <class F>
decltype(auto) on(Device device, F&& f) {
  if constexpr (built_with_cuda) {
    if (device.is_cuda()) return f(cuda_context(device.index()));
  }
  if (!device.is_cpu()) {
    fail(ErrorKind::device, device.name(), ": this build of shatter has no CUDA backend");
  }
  return f(cpu_context());
}

/// Calls f.template operator()<T>() with the type of `dtype`: with_dtype(d, [&]<class T>() { ...
/// }).
template <class F>
decltype(auto) with_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    case DType::bfloat16: return f.template operator()<bfloat16>();
    case DType::uint8: return f.template operator()<std::uint8_t>();
    case DType::int32: return f.template operator()<std::int32_t>();
    case DType::int64: return f.template operator()<std::int64_t>();
  }
  fail(ErrorKind::unexpected, "unknown element type ", int(dtype));
}

/// The same for the types arithmetic is done in; throws for the others, naming the op.
template <class F>
decltype(auto) with_floating(DType dtype, const char* op, F&& f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<float>();
    case DType::float64: return f.template operator()<double>();
    default:
      fail(ErrorKind::usage, op, ": operands are ", name_of(dtype),
           ", expected float32 or float64");
  }
}

}  // namespace shatter
