// What tests may ask of the emulated cuDNN.
#pragma once

#include <string>

namespace shatter::emulation {

/// Which plan autotuning finds fastest, where a problem has it: "im2col" or "implicit_gemm".
/// Without one it is the first. For all later calls of the process.
void set_fastest_conv2d_plan(const std::string& name);

/// Which plan fails when autotuning times it. Without one none does.
void set_failing_conv2d_plan(const std::string& name);

}  // namespace shatter::emulation
