// Whether a test that needs a CUDA device has one: a GPU, or the emulation.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include <shatter/core/device.h>

#include "tests/support/catch.h"

namespace shatter::test {

/// False where there is none, which is said; a failure with SHATTER_REQUIRE_CUDA=1.
inline bool has_gpu() {
  std::string why;
  if (cuda_device_count(&why) > 0) return true;
  const char* const required = std::getenv("SHATTER_REQUIRE_CUDA");
  if (required && std::string_view(required) == "1") FAIL("SHATTER_REQUIRE_CUDA=1, but " << why);
  WARN("not run on CUDA: " << why);
  return false;
}

}  // namespace shatter::test
