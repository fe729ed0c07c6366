// Precisions by name, and the switches of the contexts.
#include <shatter/experiments/train/precision.h>

#include <shatter/core/dispatch.h>
#include <shatter/core/text.h>

namespace shatter::experiments {
namespace {

/// Turns on Winograd's filtering on a CPU, or TF32 on a GPU. Returns whether it was on before.
bool set_faster_products(Device device, bool value) {
  return on(device, [&](auto& context) {
    if constexpr (std::is_same_v<decltype(context), CpuContext&>) {
      const bool before = context.winograd();
      context.set_winograd(value);
      return before;
    } else {
      const bool before = context.tf32();
      context.set_tf32(value);
      return before;
    }
  });
}

}  // namespace

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::float32: return "fp32";
    case Precision::float32_winograd: return "fp32-winograd";
    case Precision::tf32: return "tf32";
    case Precision::bfloat16: break;
  }
  return "bf16";
}

Precision precision_named(const std::string& name) {
  for (const Precision precision :
       {Precision::float32, Precision::float32_winograd, Precision::tf32, Precision::bfloat16}) {
    if (name == name_of(precision)) return precision;
  }
  fail(ErrorKind::usage, "precision \"", name, "\": expected fp32, fp32-winograd, tf32 or bf16");
}

std::set<std::string> precisions(Device device) {
  const Precision own = device.is_cpu() ? Precision::float32_winograd : Precision::tf32;
  return {name_of(Precision::float32), name_of(own), name_of(Precision::bfloat16)};
}

PrecisionGuard::PrecisionGuard(Device device, Precision precision)
    : device_(device),
      before_(set_faster_products(device, device.is_cpu() ? precision == Precision::float32_winograd
                                                          : precision != Precision::float32)) {}

PrecisionGuard::~PrecisionGuard() {
  set_faster_products(device_, before_);
}

}  // namespace shatter::experiments
