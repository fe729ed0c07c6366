// The main function of all test programs: SHATTER_REQUIRE_CUDA=1 makes a missing GPU a failure.
#define CATCH_CONFIG_RUNNER
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <shatter/core/dispatch.h>

#include "tests/support/catch.h"

int main(int argc, char** argv) {
  const char* const required = std::getenv("SHATTER_REQUIRE_CUDA");
  std::string why;
  if (required && std::string_view(required) == "1" && shatter::cuda_device_count(&why) == 0) {
    std::fprintf(stderr, "SHATTER_REQUIRE_CUDA=1, but there is no GPU: %s\n", why.c_str());
    return 1;
  }
  if (shatter::built_with_cuda && shatter::cuda_device_count(&why) == 0)
    std::fprintf(stderr, "No GPU: what needs one is not run (%s)\n", why.c_str());
  return Catch::Session().run(argc, argv);
}
