// Convolution plans from and to JSON.
#include <shatter/experiments/runs/convolution_plans.h>

#include <nlohmann/json.hpp>

#include <shatter/core/dispatch.h>
#include <shatter/kernels/cuda/conv2d_plans.h>

namespace shatter::experiments {

using nlohmann::json;

ConvolutionPlans::ConvolutionPlans(Device device, bool autotune, const json& stored,
                                   const std::string& where)
    : device_(device) {
  try {
    if (!stored.is_null()) stored.at("plans").get_to(taken_up_);
  } catch (const json::exception& error) {
    fail(ErrorKind::data, where, ": not the plans of a run: ", error.what());
  }
  if constexpr (built_with_cuda) {
    if (!device.is_cuda()) return;
    CudaContext& context = cuda_context(device.index());
    kernels::set_conv2d_autotune(context, autotune);
    for (const auto& [problem, plan] : taken_up_)
      kernels::choose_conv2d_plan(context, {problem, plan});
  }
}

json ConvolutionPlans::all() const {
  if constexpr (built_with_cuda) {
    if (!device_.is_cuda()) return {};
    std::map<std::string, std::string> plans = taken_up_;
    for (const auto& [problem, plan] : kernels::conv2d_choices(cuda_context(device_.index())))
      plans[problem] = plan;
    if (!plans.empty()) return {{"cudnn", kernels::cudnn_version()}, {"plans", plans}};
  }
  return {};
}

}  // namespace shatter::experiments
