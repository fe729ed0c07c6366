// How a model's arithmetic is done.
#pragma once

#include <set>
#include <string>

#include <shatter/core/device.h>

namespace shatter::experiments {

enum class Precision {
  float32,           ///< "fp32": float32 throughout
  float32_winograd,  ///< "fp32-winograd": on a CPU 3x3 convolutions may take Winograd's filtering
  tf32,              ///< "tf32": a GPU may round the operands of products and convolutions to TF32
  bfloat16  ///< "bf16": activations and their gradients in bfloat16; parameters, statistics
            ///< and sums in float32
};

const char* name_of(Precision precision);
/// Throws (usage) for a name that is none of these.
Precision precision_named(const std::string& name);
/// The names of those that a device has.
std::set<std::string> precisions(Device device);

/// While it lives, the kernels of this thread's context of a device may do what a precision allows.
class PrecisionGuard {
 public:
  PrecisionGuard(Device device, Precision precision);
  ~PrecisionGuard();
  PrecisionGuard(const PrecisionGuard&) = delete;
  PrecisionGuard& operator=(const PrecisionGuard&) = delete;

 private:
  Device device_;
  bool before_;
};

}  // namespace shatter::experiments
