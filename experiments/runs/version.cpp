// Version, commit and compiler, as the build wrote them down.
#include <shatter/experiments/runs/version.h>

#include <algorithm>
#include <fstream>

#include <shatter_commit.h>

#include <shatter/core/dispatch.h>
#include <shatter/core/file.h>
#include <shatter/data/checksum.h>

namespace shatter::experiments {
namespace {

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

/// The first GPU and the versions it needs, or why there is none.
std::string gpu_text() {
  std::string why;
  const int count = cuda_device_count(&why);
  if (count == 0) return "none: " + why;
  if constexpr (built_with_cuda) {
    const CudaProperties& gpu = cuda_context(0).properties();
    return text(count, " x ", gpu.name, ", compute capability ", gpu.major, ".", gpu.minor, ", ",
                gpu.memory >> 30, " GiB, driver for CUDA ", gpu.driver / 1000, ".",
                gpu.driver % 1000 / 10, ", built with CUDA ", gpu.runtime / 1000, ".",
                gpu.runtime % 1000 / 10);
  }
  return "";
}

}  // namespace

BuildInfo build_info() {
  return {built_version, built_commit, compiler(), built_with_cuda ? "cpu, cuda" : "cpu"};
}

const std::string& executable_id() {
  static const std::string id = [] {
    try {
      return data::sha256(read_file("/proc/self/exe")).substr(0, 12);
    } catch (const Error&) {
      return std::string("unknown");
    }
  }();
  return id;
}

std::string hardware_name(Device device) {
  if constexpr (built_with_cuda) {
    if (device.is_cuda()) return cuda_context(device.index()).properties().name;
  }
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name"))
      return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "CPU";
}

std::string version_text(const std::string& program) {
  const BuildInfo info = build_info();
  return program + ": shatter " + info.version + "\ncommit    " + info.commit + "\ncompiler  " +
         info.compiler + "\nbackends  " + info.backends + "\nGPU       " + gpu_text() + "\n";
}

}  // namespace shatter::experiments
