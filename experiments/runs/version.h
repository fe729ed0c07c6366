// Which library, commit and compiler a result comes from.
#pragma once

#include <string>

#include <shatter/core/device.h>

namespace shatter::experiments {

struct BuildInfo {
  std::string version;  ///< "0.1.0"
  std::string
      commit;  ///< "1a2b3c4d5e6f", with "+changes" when files differed from it; or "unknown"
  std::string compiler;  ///< "g++ 12.2.0"
  std::string backends;  ///< "cpu"
};
BuildInfo build_info();

/// The running program's file, by its content: 12 hexadecimal digits of its SHA-256, or "unknown".
/// What a program computes depends on its own code, which the library's commit says nothing of.
const std::string& executable_id();

/// What the processor or the GPU calls itself: "NVIDIA H200".
std::string hardware_name(Device device);

/// The lines of --version.
std::string version_text(const std::string& program);

}  // namespace shatter::experiments
