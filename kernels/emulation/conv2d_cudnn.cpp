// What stands for cuDNN's convolutions where there is no cuDNN: its plans are the library's own
// algorithms, which sum in different orders.
#include <shatter/kernels/emulation/conv2d_cudnn.h>

#include <algorithm>
#include <map>

#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/cuda/conv2d_plans.h>
#include <shatter/kernels/error.h>

namespace shatter {
namespace {

std::string fastest_plan, failing_plan;

}  // namespace

void emulation::set_fastest_conv2d_plan(const std::string& name) {
  fastest_plan = name;
}

void emulation::set_failing_conv2d_plan(const std::string& name) {
  failing_plan = name;
}

namespace kernels {
namespace {

const char* const im2col = "im2col";
const char* const implicit_gemm = "implicit_gemm";

std::vector<Conv2dPlan> plans_of(const Conv2dProblem& problem) {
  std::vector<Conv2dPlan> plans{{.name = im2col, .deterministic = true}};
  if (problem.tensor_cores() && !problem.geometry.windows.is_dilated())
    plans.push_back({.name = implicit_gemm, .deterministic = true, .tensor_core = true});
  if (problem.dtype == DType::bfloat16) std::swap(plans.front(), plans.back());
  return plans;
}

// The plans a context has met and was told to take, by the problem's text.
struct Cudnn {
  explicit Cudnn(CudaContext& c) : context(c) {}

  const Conv2dPlan& plan(const Conv2dProblem& problem) {
    const std::string name = text_of(problem);
    const auto known = met.find(name);
    if (known != met.end()) return known->second;
    if (autotunes && !chosen.contains(name)) autotune(problem);
    const std::vector<Conv2dPlan> plans = plans_of(problem);
    auto plan = plans.begin();
    if (const auto choice = chosen.find(name); choice != chosen.end()) {
      plan = std::find_if(plans.begin(), plans.end(),
                          [&](const Conv2dPlan& p) { return p.name == choice->second; });
      if (plan == plans.end())
        fail(ErrorKind::device, "conv2d: no plan \"", choice->second, "\" for \"", name, '"');
    }
    return met[name] = *plan;
  }
  void choose(const Conv2dChoice& choice) {
    chosen[choice.problem] = choice.plan;
    met.erase(choice.problem);
  }
  std::vector<Conv2dTiming> autotune(const Conv2dProblem& problem) {
    std::vector<Conv2dTiming> timings;
    for (const Conv2dPlan& plan : plans_of(problem))
      timings.push_back(time_conv2d_plan(context, plan, [&] {
        if (plan.name == failing_plan) fail(ErrorKind::device, "conv2d: a plan that fails");
        return plan.name == fastest_plan ? 1.0 : 2.0;
      }));
    std::stable_sort(timings.begin(), timings.end(),
                     [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
    if (timings.front().failure.empty()) choose({text_of(problem), timings.front().plan.name});
    return timings;
  }

  CudaContext& context;
  std::map<std::string, Conv2dPlan> met;
  std::map<std::string, std::string> chosen;
  std::int64_t workspace_limit = 0;
  bool autotunes = false;
};

Cudnn& cudnn(CudaContext& context) {
  return context.state<Cudnn>();
}

template <class T>
bool by_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, Conv2dDirection direction,
                      const void* x, const void* w, const void* y) {
  const Conv2dProblem problem = problem_of<T>(context, g, direction, x, w, y);
  return cudnn(context).plan(problem).name == implicit_gemm;
}

}  // namespace

bool has_cudnn() {
  return true;
}

template <class T>
void conv2d_forward_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                          const wide_t<T>* bias, T* y) {
  if (by_implicit_gemm<T>(context, g, Conv2dDirection::forward, x, w, y))
    conv2d_forward_implicit_gemm(context, g, x, w, bias, y);
  else
    conv2d_forward_im2col(context, g, x, w, bias, y);
}

template <class T>
void conv2d_backward_data_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                const T* w, T* dx) {
  if (by_implicit_gemm<T>(context, g, Conv2dDirection::backward_data, dx, w, dy))
    conv2d_backward_data_implicit_gemm(context, g, dy, w, dx);
  else
    conv2d_backward_data_im2col(context, g, dy, w, dx);
}

template <class T>
void conv2d_backward_weight_cudnn(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                  const T* dy, wide_t<T>* dw) {
  if (by_implicit_gemm<T>(context, g, Conv2dDirection::backward_weight, x, dw, dy))
    conv2d_backward_weight_implicit_gemm(context, g, x, dy, dw);
  else
    conv2d_backward_weight_im2col(context, g, x, dy, dw);
}

std::int64_t cudnn_version() {
  return 0;
}

std::int64_t conv2d_workspace_limit(CudaContext& context) {
  return cudnn(context).workspace_limit;
}
void set_conv2d_workspace_limit(CudaContext& context, std::int64_t bytes) {
  cudnn(context).workspace_limit = bytes;
}

std::vector<Conv2dPlan> conv2d_plans(CudaContext&, const Conv2dProblem& problem) {
  return plans_of(problem);
}

std::optional<Conv2dPlan> conv2d_plan(CudaContext& context, const Conv2dProblem& problem) {
  return cudnn(context).plan(problem);
}

void choose_conv2d_plan(CudaContext& context, const Conv2dChoice& choice) {
  cudnn(context).choose(choice);
}

std::vector<Conv2dChoice> conv2d_choices(CudaContext& context) {
  std::vector<Conv2dChoice> choices;
  for (const auto& [problem, plan] : cudnn(context).met) choices.push_back({problem, plan.name});
  return choices;
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

}  // namespace kernels
}  // namespace shatter
