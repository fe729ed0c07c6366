// Times of plans of which some fail, and what is asked of a plan.
#include <cmath>

#include <shatter/kernels/cuda/conv2d_plans.h>
#include <shatter/kernels/emulation/conv2d_cudnn.h>
#include <shatter/kernels/error.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::kernels;

namespace {

const Conv2dGeometry geometry{.windows = {.n = 1, .h = 2, .w = 2, .r = 1, .s = 1}, .c = 8, .k = 8};

}  // namespace

TEST_CASE("autotuning leaves out a plan that fails and says which") {
  CudaContext context;
  const Conv2dProblem problem{.geometry = geometry};
  emulation::set_fastest_conv2d_plan("implicit_gemm");
  emulation::set_failing_conv2d_plan("implicit_gemm");
  const std::vector<Conv2dTiming> timings = autotune_conv2d(context, problem);
  emulation::set_fastest_conv2d_plan("");
  emulation::set_failing_conv2d_plan("");
  REQUIRE(timings.size() == 2);
  CHECK(timings[0].plan.name == "im2col");
  CHECK(timings[0].failure.empty());
  CHECK(timings[1].plan.name == "implicit_gemm");
  CHECK(std::isinf(timings[1].seconds));
  CHECK_THAT(timings[1].failure, Contains("a plan that fails"));
  CHECK(conv2d_plan(context, problem)->name == "im2col");
}

TEST_CASE("a plan after which the context does not work is an error with its name") {
  CudaContext context;
  const Conv2dPlan plan{.name = "eng7"};
  const auto fails = []() -> double { throw Error("broken"); };
  CHECK(time_conv2d_plan(context, plan, fails).failure == "broken");
  // A context that records cannot be waited for.
  CHECK_THROWS_WITH(CudaGraph(context, [&] { time_conv2d_plan(context, plan, fails); }),
                    Contains("eng7") && Contains("broken"));
}

TEST_CASE("arrays are aligned where their starts and, with a pitch, their pixels are") {
  const CudaContext context;
  alignas(16) const char memory[32]{};
  const auto aligned = [&]<class T>(T, std::int64_t k, std::int64_t x_pitch, std::int64_t y_pitch,
                                    int start = 0) {
    Conv2dGeometry g = geometry;
    g.k = k;
    g.x_pitch = x_pitch;
    g.y_pitch = y_pitch;
    return problem_of<T>(context, g, Conv2dDirection::forward, memory + start, memory, memory)
        .aligned;
  };
  CHECK(aligned(1.0f, 8, 0, 0));
  CHECK(!aligned(1.0f, 8, 0, 0, 4));
  CHECK(aligned(1.0f, 33, 0, 0));  // packed: cuDNN sees the channels
  CHECK(aligned(1.0f, 8, 12, 20));
  CHECK(!aligned(1.0f, 8, 9, 0));
  CHECK(!aligned(1.0f, 8, 0, 10));
  CHECK(aligned(bfloat16(1), 8, 16, 24));
  CHECK(!aligned(bfloat16(1), 8, 12, 0));
  CHECK(!aligned(bfloat16(1), 8, 0, 20));
}
