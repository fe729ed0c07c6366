// Convolutions on CUDA by cuDNN: plans made once for each problem and kept, channels padded where
// tensor cores want it, execution.
#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <type_traits>

#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/cuda/conv2d_plans.h>
#include <shatter/kernels/cuda/copy_channels.h>
#include <shatter/kernels/cuda/nvidia/timer.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/random.h>

#include "check.h"
#include "cudnn_plan.h"

namespace shatter::kernels {
namespace {

// The handle of a context and every plan it has met, by the problem's text.
class Cudnn {
 public:
  explicit Cudnn(CudaContext& context) : context_(context) {
    cudnnHandle_t handle = nullptr;
    check_cudnn("cudnnCreate", cudnnCreate(&handle));
    handle_.reset(handle);
    check_cudnn("cudnnSetStream",
                cudnnSetStream(handle, static_cast<cudaStream_t>(context.stream())));
  }

  /// Null where cuDNN has no deterministic plan.
  const CudnnPlan* plan(const Conv2dProblem& problem) {
    const Key key = key_of(problem);
    auto known = plans_.find(key);
    if (known == plans_.end()) known = plans_.emplace(key, make_plan(problem)).first;
    const std::optional<CudnnPlan>& plan = known->second.plan;
    return plan ? &*plan : nullptr;
  }

  void choose(const Conv2dChoice& choice) {
    choices_[choice.problem] = choice.plan;
    for (auto known = plans_.begin(); known != plans_.end();) {
      const bool replaced = known->second.problem == choice.problem;
      // A recorded graph may still run its kernels.
      if (replaced) retired_.push_back(std::move(known->second));
      known = replaced ? plans_.erase(known) : std::next(known);
    }
  }
  std::vector<Conv2dChoice> choices() const {
    std::vector<Conv2dChoice> result;
    for (const auto& [key, known] : plans_)
      if (known.plan) result.push_back({known.problem, known.plan->description.name});
    return result;
  }
  Conv2dPlanner planner(const Conv2dProblem& problem) const {
    return Conv2dPlanner({.handle = handle_.get()}, problem, workspace_limit);
  }

  /// x, w and y in the type of the problem; which of them is written depends on its direction.
  void execute(const CudnnPlan& plan, const void* x, const void* w, const void* y) {
    const std::int64_t bytes = plan.description.workspace_bytes;
    const CudaWorkspace<char> workspace(context_, std::max<std::int64_t>(bytes, 1));
    const void* const scratch = workspace.data();
    const std::array<std::int64_t, 3> names{tensor_x, tensor_w, tensor_y};
    const std::array<const void*, 3> pointers{x, w, y};
    CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, names);
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, pointers.data());
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &scratch);
    pack.finalize("cuDNN variant pack");
    check_cudnn("conv2d", cudnnBackendExecute(handle_.get(), plan.plan.get(), pack.get()));
  }

  /// The deterministic plans by their time, and the fastest one chosen.
  std::vector<Conv2dTiming> autotune(const Conv2dProblem& problem) {
    std::vector<Conv2dTiming> timings = time_plans(problem);
    if (!timings.empty() && timings.front().failure.empty())
      choose({text_of(problem), timings.front().plan.name});
    return timings;
  }

  std::int64_t workspace_limit = std::int64_t{64} << 20;
  bool autotunes = false;

 private:
  // What a problem is found by in every call; its text would take longer than the call.
  struct Key {
    Conv2dGeometry geometry;
    Conv2dDirection direction;
    DType dtype;
    bool tf32, aligned;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  static Key key_of(const Conv2dProblem& problem) {
    Conv2dGeometry g = problem.geometry;
    g.x_pitch = g.x_step();  // 0 means the same as c
    g.y_pitch = g.y_step();
    return {g, problem.direction, problem.dtype, problem.tf32, problem.aligned};
  }
  struct Known {
    std::string problem;
    std::optional<CudnnPlan> plan;
  };

  Known make_plan(const Conv2dProblem& problem) {
    const std::string name = text_of(problem);
    if (autotunes && !choices_.contains(name)) autotune(problem);
    const auto chosen = choices_.find(name);
    if (chosen == choices_.end()) return {name, planner(problem).first()};
    std::optional<CudnnPlan> plan = planner(problem).by_name(chosen->second);
    if (!plan)
      fail(ErrorKind::device, "conv2d: this cuDNN (", cudnnGetVersion(), ") has no plan \"",
           chosen->second, "\" within ", workspace_limit, " bytes for \"", name,
           "\", chosen earlier; without the stored choices it takes its own");
    return {name, std::move(plan)};
  }
  std::vector<Conv2dTiming> time_plans(const Conv2dProblem& problem);

  struct Destroy {
    void operator()(cudnnHandle_t handle) const { cudnnDestroy(handle); }
  };
  CudaContext& context_;
  std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, Destroy> handle_;
  std::map<Key, Known> plans_;
  std::vector<Known> retired_;
  std::map<std::string, std::string> choices_;  // by the problem's text
};

Cudnn& cudnn(CudaContext& context) {
  return context.state<Cudnn>();
}

// Random values in [-1, 1): zeros would be multiplied faster.
class RandomArray {
 public:
  RandomArray(CudaContext& context, std::int64_t n, DType dtype, std::uint64_t seed)
      : floats_(context, n), halves_(context, n) {
    fill_uniform(context, {seed, Stream::user, 0}, n, -1, 1, floats_.data());
    if (dtype == DType::bfloat16) {
      // The upper half of each float is the value cut to bfloat16.
      const auto* const words = reinterpret_cast<const bfloat16*>(floats_.data());
      copy_channels(context, n, 1, 1, words + 1, 2, halves_.data(), 1);
      data_ = halves_.data();
    } else {
      data_ = floats_.data();
    }
  }
  const void* data() const { return data_; }

 private:
  CudaWorkspace<float> floats_;
  CudaWorkspace<bfloat16> halves_;
  const void* data_;
};

std::vector<Conv2dTiming> Cudnn::time_plans(const Conv2dProblem& problem) {
  const Conv2dGeometry g = planned_geometry(problem);
  const Windows& win = g.windows;
  const RandomArray x(context_, win.n * win.h * win.w * g.x_step(), problem.dtype, 1);
  const RandomArray w(context_, g.k * win.r * win.s * g.c, problem.dtype, 2);
  const RandomArray y(context_, win.n * win.out_h() * win.out_w() * g.y_step(), problem.dtype, 3);
  CudaTimer timer(context_);
  std::vector<Conv2dTiming> timings;
  for (const CudnnPlan& plan : planner(problem).all()) {
    if (!plan.description.deterministic) continue;
    const auto run = [&](int times) {
      timer.start();
      for (int i = 0; i < times; ++i) execute(plan, x.data(), w.data(), y.data());
      return timer.stop() / times;
    };
    timings.push_back(time_conv2d_plan(context_, plan.description, [&] {
      run(1);
      // Long enough for the timer, short for the slow ones.
      const int times = std::clamp(static_cast<int>(2e-3 / run(2)), 3, 50);
      double seconds = run(times);
      for (int i = 0; i < 2; ++i) seconds = std::min(seconds, run(times));
      return seconds;
    }));
  }
  std::stable_sort(timings.begin(), timings.end(),
                   [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  return timings;
}

// The array with its rows of c channels widened to `width`: itself where that changes nothing.
template <class T>
class Widened {
 public:
  Widened(CudaContext& context, const T* x, std::int64_t rows, std::int64_t c, std::int64_t step,
          std::int64_t width)
      : data_(x) {
    if (c == width) return;
    copy_.emplace(context, rows * width);
    copy_channels(context, rows, c, width, x, step, copy_->data(), width);
    data_ = copy_->data();
  }
  const T* data() const { return data_; }

 private:
  std::optional<CudaWorkspace<T>> copy_;
  const T* data_;
};

std::int64_t pixels_in(const Windows& win) {
  return win.n * win.h * win.w;
}
std::int64_t pixels_out(const Windows& win) {
  return win.n * win.out_h() * win.out_w();
}

}  // namespace

bool has_cudnn() {
  return true;
}

template <class T>
void conv2d_forward_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                          const wide_t<T>* bias, T* y) {
  const Windows& win = g.windows;
  const Conv2dProblem problem = problem_of<T>(context, g, Conv2dDirection::forward, x, w, y);
  const CudnnPlan* const plan = cudnn(context).plan(problem);
  if (!plan) return conv2d_forward_im2col(context, g, x, w, bias, y);
  const std::int64_t width = planned_geometry(problem).c;
  const Widened<T> wide_x(context, x, pixels_in(win), g.c, g.x_step(), width);
  const Widened<T> wide_w(context, w, g.k * win.r * win.s, g.c, g.c, width);
  cudnn(context).execute(*plan, wide_x.data(), wide_w.data(), y);
  if (bias) add_channel_bias<T>(context, pixels_out(win), g.k, bias, y, g.y_step());
}

template <class T>
void conv2d_backward_data_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                const T* w, T* dx) {
  const Windows& win = g.windows;
  const Conv2dProblem problem =
      problem_of<T>(context, g, Conv2dDirection::backward_data, dx, w, dy);
  const CudnnPlan* const plan = cudnn(context).plan(problem);
  if (!plan) return conv2d_backward_data_im2col(context, g, dy, w, dx);
  const std::int64_t width = planned_geometry(problem).c;
  if (width == g.c) return cudnn(context).execute(*plan, dx, w, dy);
  const Widened<T> wide_w(context, w, g.k * win.r * win.s, g.c, g.c, width);
  const CudaWorkspace<T> wide_dx(context, pixels_in(win) * width);
  cudnn(context).execute(*plan, wide_dx.data(), wide_w.data(), dy);
  copy_channels(context, pixels_in(win), g.c, g.c, wide_dx.data(), width, dx, g.x_step());
}

template <class T>
void conv2d_backward_weight_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                  const T* dy, wide_t<T>* dw) {
  const Windows& win = g.windows;
  const Conv2dProblem problem =
      problem_of<T>(context, g, Conv2dDirection::backward_weight, x, dw, dy);
  const CudnnPlan* const plan = cudnn(context).plan(problem);
  if (!plan) return conv2d_backward_weight_im2col(context, g, x, dy, dw);
  const std::int64_t width = planned_geometry(problem).c, rows = g.k * win.r * win.s;
  const Widened<T> wide_x(context, x, pixels_in(win), g.c, g.x_step(), width);
  if constexpr (std::is_same_v<T, wide_t<T>>)
    if (width == g.c) return cudnn(context).execute(*plan, wide_x.data(), dw, dy);
  // cuDNN writes weight gradients in the type of the images.
  const CudaWorkspace<T> wide_dw(context, rows * width);
  cudnn(context).execute(*plan, wide_x.data(), wide_dw.data(), dy);
  copy_channels(context, rows, g.c, g.c, wide_dw.data(), width, dw, g.c);
}

std::int64_t cudnn_version() {
  return static_cast<std::int64_t>(cudnnGetVersion());
}

std::int64_t conv2d_workspace_limit(CudaContext& context) {
  return cudnn(context).workspace_limit;
}
void set_conv2d_workspace_limit(CudaContext& context, std::int64_t bytes) {
  cudnn(context).workspace_limit = bytes;
}

std::vector<Conv2dPlan> conv2d_plans(CudaContext& context, const Conv2dProblem& problem) {
  std::vector<Conv2dPlan> descriptions;
  for (const CudnnPlan& plan : cudnn(context).planner(problem).all())
    descriptions.push_back(plan.description);
  return descriptions;
}

std::optional<Conv2dPlan> conv2d_plan(CudaContext& context, const Conv2dProblem& problem) {
  const CudnnPlan* const plan = cudnn(context).plan(problem);
  return plan ? std::optional(plan->description) : std::nullopt;
}

void choose_conv2d_plan(CudaContext& context, const Conv2dChoice& choice) {
  cudnn(context).choose(choice);
}

std::vector<Conv2dChoice> conv2d_choices(CudaContext& context) {
  return cudnn(context).choices();
}

std::vector<Conv2dTiming> autotune_conv2d(CudaContext& context, const Conv2dProblem& problem) {
  return cudnn(context).autotune(problem);
}

void set_conv2d_autotune(CudaContext& context, bool on) {
  cudnn(context).autotunes = on;
}

template void conv2d_forward_cudnn(CudaContext&, const Conv2dGeometry&, const float*, const float*,
                                   const float*, float*);
template void conv2d_forward_cudnn(CudaContext&, const Conv2dGeometry&, const bfloat16*,
                                   const bfloat16*, const float*, bfloat16*);
template void conv2d_backward_data_cudnn(CudaContext&, const Conv2dGeometry&, const float*,
                                         const float*, float*);
template void conv2d_backward_data_cudnn(CudaContext&, const Conv2dGeometry&, const bfloat16*,
                                         const bfloat16*, bfloat16*);
template void conv2d_backward_weight_cudnn(CudaContext&, const Conv2dGeometry&, const float*,
                                           const float*, float*);
template void conv2d_backward_weight_cudnn(CudaContext&, const Conv2dGeometry&, const bfloat16*,
                                           const bfloat16*, float*);

}  // namespace shatter::kernels
