// The names of convolution problems, and the time of a plan that may fail.
#include <shatter/kernels/cuda/conv2d_plans.h>

#include <limits>

#include <shatter/kernels/error.h>

namespace shatter::kernels {

std::string text_of(const Conv2dProblem& problem) {
  const Conv2dGeometry& g = problem.geometry;
  const Windows& win = g.windows;
  const char* const directions[] = {"forward", "backward_data", "backward_weight"};
  const char* const type = problem.dtype == DType::bfloat16 ? "bfloat16"
                           : problem.tf32                   ? "tf32"
                                                            : "float32";
  std::string line = text(directions[static_cast<int>(problem.direction)], " ", type, " n", win.n,
                          " h", win.h, " w", win.w, " c", g.c, " k", g.k, " r", win.r, " s", win.s,
                          " stride ", win.stride_h, " ", win.stride_w, " pad ", win.padding.top,
                          " ", win.padding.bottom, " ", win.padding.left, " ", win.padding.right);
  if (win.is_dilated()) line += text(" dilation ", win.dilation_h, " ", win.dilation_w);
  if (g.x_step() != g.c) line += text(" x_pitch ", g.x_step());
  if (g.y_step() != g.k) line += text(" y_pitch ", g.y_step());
  if (!problem.aligned) line += " unaligned";
  return line;
}

Conv2dTiming time_conv2d_plan(CudaContext& context, const Conv2dPlan& plan,
                              const std::function<double()>& seconds) {
  try {
    return {plan, seconds()};
  } catch (const Error& error) {
    try {
      context.synchronize();
    } catch (const Error&) {
      fail(error.kind(), "conv2d plan \"", plan.name, "\": ", error.what());
    }
    return {plan, std::numeric_limits<double>::infinity(), error.what()};
  }
}

}  // namespace shatter::kernels
