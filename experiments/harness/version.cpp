// Version, commit and compiler, as the build wrote them down.
#include <shatter/experiments/harness/version.h>

#include <shatter/core/device.h>
#include <shatter_commit.h>

namespace shatter::experiments {
namespace {

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

}  // namespace

BuildInfo build_info() {
  return {built_version, built_commit, compiler(), built_with_cuda ? "cpu, cuda" : "cpu"};
}

std::string version_text(const std::string& program) {
  const BuildInfo info = build_info();
  return program + ": shatter " + info.version + "\ncommit    " + info.commit + "\ncompiler  " +
         info.compiler + "\nbackends  " + info.backends +
         (built_with_cuda ? "\n" : " (this build has no CUDA)\n");
}

}  // namespace shatter::experiments
