// cuDNN plans for every convolution of the paper's models on an H200, made from its description:
// needs cuDNN, but no GPU.
//
// The description (tests/golden/h200.json) holds what cudaGetDeviceProperties reports: limits of
// compute capability 9.0 from the CUDA programming guide's table, 132 multiprocessors, 60 MB of L2,
// 141 GB and the boost clocks of the H200 SXM from NVIDIA's data sheet. Speed does not depend on
// it, only which kernels are held possible and in which order.
#include <shatter/kernels/cuda/nvidia/cudnn_plan.h>

#include "benchmarks/layer_sets.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::kernels;

namespace {

constexpr std::int64_t limit = std::int64_t{64} << 20;

const CudnnDescriptor& h200() {
  static const CudnnDescriptor device =
      describe_device(get(std::string(SHATTER_TEST_DATA) + "/h200.json"));
  return device;
}

std::optional<Conv2dPlan> first_plan(const Conv2dProblem& problem) {
  const std::optional<CudnnPlan> plan = Conv2dPlanner({.device = &h200()}, problem, limit).first();
  return plan ? std::optional(plan->description) : std::nullopt;
}

/// Calls visit(problem) for every convolution of the paper's models, in every direction a training
/// step takes, for a whole batch and the last one of 50000 images.
template <class Visit>
void each_problem(Visit visit) {
  for (const char* const set : {"inception-small", "alexnet-small"})
    for (const std::int64_t batch : {128, 80})
      for (const benchmarks::ConvLayer& layer : benchmarks::layer_set(set, batch))
        for (const Conv2dDirection direction :
             {Conv2dDirection::forward, Conv2dDirection::backward_data,
              Conv2dDirection::backward_weight}) {
          if (layer.first && direction == Conv2dDirection::backward_data) continue;
          visit(Conv2dProblem{.geometry = layer.geometry, .direction = direction});
        }
}

}  // namespace

TEST_CASE(
    "Every convolution of the models has a deterministic tensor-core plan that ships with cuDNN") {
  // Problems that have none. Empty with cuDNN 9.19.
  const std::vector<std::string> expected_missing{};
  std::vector<std::string> missing;
  int planned = 0;
  each_problem([&](Conv2dProblem problem) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      problem.dtype = dtype;
      const std::optional<Conv2dPlan> plan = first_plan(problem);
      ++planned;
      if (!plan || !plan->deterministic || !plan->tensor_core || plan->runtime_compiled ||
          plan->workspace_bytes > limit)
        missing.push_back(text_of(problem));
    }
  });
  CHECK(planned == 2 * 2 * (18 * 3 + 2 + 3 + 2));
  CHECK(missing == expected_missing);
}

TEST_CASE("Without TF32 every convolution has a deterministic plan off the tensor cores") {
  std::vector<std::string> missing;
  each_problem([&](Conv2dProblem problem) {
    problem.tf32 = false;
    const std::optional<Conv2dPlan> plan = first_plan(problem);
    if (!plan || !plan->deterministic || plan->tensor_core || plan->runtime_compiled)
      missing.push_back(text_of(problem));
  });
  CHECK(missing.empty());
}

TEST_CASE("Channel slices, uneven padding, unaligned arrays and odd channels have plans") {
  const Windows win{.n = 8, .h = 14, .w = 13, .r = 3, .s = 3, .stride_h = 2, .stride_w = 2};
  std::vector<Conv2dProblem> problems;
  const auto add = [&](const Conv2dGeometry& geometry, bool aligned = true) {
    for (const DType dtype : {DType::float32, DType::bfloat16})
      for (int direction = 0; direction < 3; ++direction)
        problems.push_back({.geometry = geometry,
                            .direction = Conv2dDirection(direction),
                            .dtype = dtype,
                            .aligned = aligned});
  };
  Windows uneven = win;
  uneven.padding = {0, 1, 2, 1};
  add({.windows = uneven, .c = 32, .k = 48});
  add({.windows = win, .c = 32, .k = 48, .x_pitch = 80, .y_pitch = 96});
  add({.windows = win, .c = 32, .k = 48}, false);
  add({.windows = win, .c = 32, .k = 48, .x_pitch = 33, .y_pitch = 49}, false);
  add({.windows = win, .c = 17, .k = 33});
  add({.windows = win, .c = 1, .k = 1});
  for (const Conv2dProblem& problem : problems) {
    CAPTURE(text_of(problem));
    const std::optional<Conv2dPlan> plan = first_plan(problem);
    REQUIRE(plan);
    CHECK(plan->deterministic);
    CHECK(plan->workspace_bytes <= limit);
  }
}

TEST_CASE("Two planners take the same plan, and find it again by its name") {
  const Conv2dProblem problem{.geometry = benchmarks::layer_set("inception-small", 128)[2].geometry,
                              .direction = Conv2dDirection::backward_weight};
  const std::optional<Conv2dPlan> plan = first_plan(problem);
  REQUIRE(plan);
  REQUIRE(first_plan(problem)->name == plan->name);
  Conv2dPlanner planner({.device = &h200()}, problem, limit);
  const std::optional<CudnnPlan> found = planner.by_name(plan->name);
  REQUIRE(found);
  CHECK(found->description.workspace_bytes == plan->workspace_bytes);
  CHECK(!planner.by_name("eng0 k0=-1"));
}

TEST_CASE("The workspace limit is kept, and non-deterministic plans are listed but not taken") {
  const Conv2dProblem problem{.geometry = benchmarks::layer_set("inception-small", 128)[2].geometry,
                              .direction = Conv2dDirection::backward_weight};
  const std::vector<CudnnPlan> all = Conv2dPlanner({.device = &h200()}, problem, limit).all();
  int free = 0;
  for (const CudnnPlan& plan : all) free += !plan.description.deterministic;
  CHECK(free > 0);
  for (const std::int64_t small : {std::int64_t{0}, std::int64_t{1} << 20}) {
    Conv2dPlanner planner({.device = &h200()}, problem, small);
    for (const CudnnPlan& plan : planner.all()) CHECK(plan.description.workspace_bytes <= small);
    const std::optional<CudnnPlan> plan = planner.first();
    REQUIRE(plan);
    CHECK(plan->description.deterministic);
  }
}

TEST_CASE("Engines that convert or transform their inputs are never taken") {
  CHECK(sums_products({}, false));
  CHECK(sums_products({CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP},
                      false));
  CHECK(sums_products({CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, true));
  CHECK(!sums_products({CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, false));
  for (const cudnnBackendNumericalNote_t note :
       {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
        CUDNN_NUMERICAL_NOTE_FFT, CUDNN_NUMERICAL_NOTE_WINOGRAD,
        CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
        CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13})
    for (const bool tensor_cores : {false, true}) {
      CAPTURE(int(note), tensor_cores);
      CHECK(!sums_products({note}, tensor_cores));
      CHECK(!sums_products({note, CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, tensor_cores));
    }
}

TEST_CASE("A problem's text tells apart what has plans of its own") {
  const Conv2dGeometry g = benchmarks::layer_set("alexnet-small", 80)[1].geometry;
  const Conv2dProblem problem{.geometry = g, .dtype = DType::bfloat16};
  CHECK(text_of(problem) == "forward bfloat16 n80 h14 w14 c64 k64 r5 s5 stride 1 1 pad 2 2 2 2");
  Conv2dProblem other{.geometry = g, .tf32 = false, .aligned = false};
  other.geometry.x_pitch = 96;
  CHECK(text_of(other) ==
        "forward float32 n80 h14 w14 c64 k64 r5 s5 stride 1 1 pad 2 2 2 2 x_pitch 96 unaligned");
}

TEST_CASE("A description that is no GPU is refused in cuDNN's words") {
  REQUIRE_THROWS_WITH(describe_device("{}"), Contains("cuDNN"));
}
