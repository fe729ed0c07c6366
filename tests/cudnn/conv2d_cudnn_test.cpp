// Plans at work on a GPU: choosing, keeping, autotuning, recording. Says so where there is none.
#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cuda/conv2d_plans.h>

#include "benchmarks/convolution_check.h"
#include "tests/cuda/gpu.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

/// A weight gradient with padding (0, 1) and strides, of which cuDNN has plans of many kinds.
const Conv2dProblem problem{.geometry = {.windows = {.n = 8,
                                                     .h = 14,
                                                     .w = 14,
                                                     .r = 3,
                                                     .s = 3,
                                                     .stride_h = 2,
                                                     .stride_w = 2,
                                                     .padding = same_padding(14, 14, 3, 3, 2, 2)},
                                         .c = 32,
                                         .k = 48},
                            .direction = Conv2dDirection::backward_weight};

/// The problem's operands on a context, and its result by the plan in use.
class WeightGradient {
 public:
  explicit WeightGradient(CudaContext& context)
      : on_(context, "cuda"),
        x_values_(random_values<float>(benchmarks::elements_x(g), 1)),
        y_values_(random_values<float>(benchmarks::elements_y(g), 2)),
        x_(on_.put(x_values_)),
        dy_(on_.put(y_values_)),
        dw_(on_.make<float>(benchmarks::elements_w(g))) {}

  void run() {
    conv2d_backward_weight<float>(on_.context, g, x_, dy_, dw_, Conv2dAlgorithm::cudnn);
  }
  std::vector<float> result() { return on_.get(dw_); }
  /// Runs by a plan from now on; says which one failed, if it did.
  bool runs_by(const Conv2dPlan& plan) {
    choose_conv2d_plan(on_.context, {text_of(problem), plan.name});
    const Conv2dTiming timing = time_conv2d_plan(on_.context, plan, [&] {
      run();
      return 0.0;
    });
    if (!timing.failure.empty()) WARN(plan.name << ": " << timing.failure);
    return timing.failure.empty();
  }
  /// The relative error of the result.
  double error() {
    const benchmarks::ConvolutionReference reference(g, problem.direction, x_values_, result(),
                                                     y_values_);
    return reference.error(result(), 1e-3);
  }

 private:
  static constexpr const Conv2dGeometry& g = problem.geometry;
  On<CudaContext> on_;
  std::vector<float> x_values_, y_values_;
  float *x_, *dy_, *dw_;
};

}  // namespace

TEST_CASE("A chosen plan is used, listed, and gives the same bits in another context", "[gpu]") {
  if (!has_gpu()) return;
  CudaContext context(0);
  WeightGradient gradient(context);
  REQUIRE(conv2d_choices(context).empty());
  gradient.run();
  CHECK(gradient.error() <= 1e-3);
  const std::optional<Conv2dPlan> own = conv2d_plan(context, problem);
  REQUIRE(own);
  REQUIRE(conv2d_choices(context).size() == 1);
  CHECK(conv2d_choices(context)[0].problem == text_of(problem));
  CHECK(conv2d_choices(context)[0].plan == own->name);

  int deterministic = 0;
  for (const Conv2dPlan& plan : conv2d_plans(context, problem)) {
    CAPTURE(plan.name);
    if (!gradient.runs_by(plan)) continue;
    CHECK(gradient.error() <= 1e-3);
    REQUIRE(conv2d_choices(context)[0].plan == plan.name);
    if (!plan.deterministic) continue;
    ++deterministic;
    CudaContext other(0);
    for (const Conv2dChoice& choice : conv2d_choices(context)) choose_conv2d_plan(other, choice);
    WeightGradient again(other);
    again.run();
    CHECK(again.result() == gradient.result());
  }
  CHECK(deterministic > 1);
  choose_conv2d_plan(context, {text_of(problem), "eng0 k0=-1"});
  CHECK_THROWS_WITH(gradient.run(), Contains("eng0 k0=-1"));
}

TEST_CASE("Autotuning takes the fastest deterministic plan, once", "[gpu]") {
  if (!has_gpu()) return;
  CudaContext context(0);
  set_conv2d_autotune(context, true);
  WeightGradient gradient(context);
  gradient.run();
  CHECK(gradient.error() <= 1e-3);
  const std::vector<Conv2dChoice> choices = conv2d_choices(context);
  gradient.run();
  REQUIRE(choices.size() == 1);
  CHECK(conv2d_choices(context)[0].plan == choices[0].plan);

  const std::vector<Conv2dTiming> timings = autotune_conv2d(context, problem);
  REQUIRE(!timings.empty());
  for (std::size_t i = 0; i < timings.size(); ++i) {
    CHECK(timings[i].plan.deterministic);
    CHECK(timings[i].seconds > 0);
    if (!timings[i].failure.empty()) WARN(timings[i].plan.name << ": " << timings[i].failure);
    if (i) CHECK(timings[i - 1].seconds <= timings[i].seconds);
  }
  CHECK(conv2d_choices(context)[0].plan == timings[0].plan.name);
}

TEST_CASE("A recorded convolution replays with the same bits, also when another plan is chosen",
          "[gpu]") {
  if (!has_gpu()) return;
  CudaContext context(0);
  WeightGradient gradient(context);
  gradient.run();
  const std::vector<float> first = gradient.result();
  CudaGraph graph(context, [&] { gradient.run(); });
  std::vector<Conv2dPlan> plans = conv2d_plans(context, problem);
  while (!plans.empty() && !gradient.runs_by(plans.back())) plans.pop_back();
  REQUIRE(!plans.empty());
  graph.replay();
  CHECK(gradient.result() == first);
}
