// Whether a test that needs a CUDA device has one: a GPU, or the emulation.
#pragma once

#include <string>

#include <shatter/core/device.h>

#include "tests/support/catch.h"

namespace shatter::test {

/// False where there is none, which is said: CTest takes these words for a skipped test.
inline bool has_gpu() {
  std::string why;
  if (cuda_device_count(&why) > 0) return true;
  WARN("not run on CUDA: " << why);
  return false;
}

}  // namespace shatter::test
