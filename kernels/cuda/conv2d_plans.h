// How cuDNN computes each convolution: which plans there are, which one is taken, and how a choice
// is kept, so that another process computes the same bits. Needs no cuDNN header.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// One convolution as cuDNN is asked for it.
struct Conv2dProblem {
  Conv2dGeometry geometry{};
  Conv2dDirection direction = Conv2dDirection::forward;
  DType dtype = DType::float32;  ///< or bfloat16; products are summed in float
  bool tf32 = true;              ///< float32: operands may be rounded to TF32
  /// Every array starts at a multiple of 16 bytes, and so does every pixel of one with a pitch:
  /// cuDNN, which takes the former for the latter, offers kernels that read 16 bytes at once.
  bool aligned = true;

  /// Whether tensor cores may multiply.
  bool tensor_cores() const { return tf32 || dtype == DType::bfloat16; }
};

/// What a call asks for: x [n, h, w, c], w and y as in kernels/conv2d.h, gradients in their places.
template <class T>
Conv2dProblem problem_of(const CudaContext& context, const Conv2dGeometry& g,
                         Conv2dDirection direction, const void* x, const void* w, const void* y) {
  const auto start = reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(w) |
                     reinterpret_cast<std::uintptr_t>(y);
  const auto pixels = [](std::int64_t step, std::int64_t channels) {
    return step == channels || step * static_cast<std::int64_t>(sizeof(T)) % 16 == 0;
  };
  return {.geometry = g,
          .direction = direction,
          .dtype = dtype_of<T>,
          .tf32 = std::is_same_v<T, float> && context.tf32(),
          .aligned = start % 16 == 0 && pixels(g.x_step(), g.c) && pixels(g.y_step(), g.k)};
}

/// The problem in a line: "forward bfloat16 n128 h28 w28 c96 k32 r3 s3 stride 1 1 pad 1 1 1 1".
std::string text_of(const Conv2dProblem& problem);

/// One way of computing a problem.
struct Conv2dPlan {
  std::string name;  ///< engine and knobs: "eng52 k2=10 k13=1"
  bool deterministic = false, tensor_core = false;
  bool runtime_compiled = false;  ///< built by cuDNN when the plan is made, not shipped with it
  std::int64_t workspace_bytes = 0;
};

/// A plan kept for a problem, both by their names: what a run folder stores.
struct Conv2dChoice {
  std::string problem, plan;
};

struct Conv2dTiming {
  Conv2dPlan plan;
  double seconds = 0;     ///< of one call; infinite where it failed
  std::string failure{};  ///< what it said then, else empty
};

/// The plan with the time that seconds() returns, or with the Error that it throws. Throws Error
/// with the plan's name where the context does not work any more after that.
Conv2dTiming time_conv2d_plan(CudaContext& context, const Conv2dPlan& plan,
                              const std::function<double()>& seconds);

/// Of the cuDNN in use: 91900 is 9.19.0.
std::int64_t cudnn_version();

/// The most scratch memory a plan may ask for; 64 MiB unless set. Set it before the first plan.
std::int64_t conv2d_workspace_limit(CudaContext& context);
void set_conv2d_workspace_limit(CudaContext& context, std::int64_t bytes);

/// All plans within the limit, best first by cuDNN's judgement; those that are not deterministic
/// among them.
std::vector<Conv2dPlan> conv2d_plans(CudaContext& context, const Conv2dProblem& problem);

/// The plan that is used: the one chosen for the problem, else (with autotuning) the fastest
/// deterministic one, else the first that is deterministic and on tensor cores where they are
/// allowed. Nothing where cuDNN has no deterministic plan. Throws Error (device) where the chosen
/// plan does not exist.
std::optional<Conv2dPlan> conv2d_plan(CudaContext& context, const Conv2dProblem& problem);

/// From here on the problem is computed by this plan; a recorded graph keeps its own.
void choose_conv2d_plan(CudaContext& context, const Conv2dChoice& choice);

/// Every problem met so far with the plan it was given.
std::vector<Conv2dChoice> conv2d_choices(CudaContext& context);

/// Times every deterministic plan on memory of its own, fastest first and those that fail last, and
/// chooses the fastest. Not while a graph is recorded.
std::vector<Conv2dTiming> autotune_conv2d(CudaContext& context, const Conv2dProblem& problem);

/// Whether a problem met for the first time is autotuned. Default: no, so that two processes agree
/// without having to exchange choices.
void set_conv2d_autotune(CudaContext& context, bool on);

}  // namespace shatter::kernels
