// Plans at work on a GPU: choosing, keeping, autotuning, recording. Says so where there is none.
#include <shatter/kernels/conv2d.h>

#include <bit>
#include <utility>

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

/// The same for a whole batch of the small Inception's first blocks: sums of 100352 products.
const Conv2dProblem long_problem{
    .geometry = {.windows = {.n = 128, .h = 28, .w = 28, .r = 3, .s = 3, .padding = {1, 1, 1, 1}},
                 .c = 8,
                 .k = 8},
    .direction = Conv2dDirection::backward_weight};

/// The largest root-mean-square error, relative to the result's, of sums of `length` products whose
/// signs are random and independent.
///
/// Operands: each is off by at most `operand` of itself, so each product by twice that. Errors of
/// products whose signs are random add up as the products do: their share does not grow with the
/// length, also where all operands are cut off in one direction.
///
/// Sums: an addition is off by at most 2^-23 of the sum so far, in a direction of its own. The sum
/// of i products is sqrt(i) of one in size; sqrt(1 + ... + length) of such errors over sqrt(length)
/// is sqrt((length + 1) / 2). Tensor cores cut sums off, all towards zero, once for eight products:
/// a test below shows that what this adds lies within what their operands are granted.
double error_limit(double operand, std::int64_t length) {
  return 2 * operand + 0x1p-23 * std::sqrt(double(length + 1) / 2);
}

/// x towards zero with so many bits of fraction.
double cut(double x, int bits) {
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(x) >> (52 - bits) << (52 - bits));
}

/// The relative root-mean-square error of sums of `length` products in [-1, 1), each in one run:
/// in float, or as tensor cores do it at their worst, cutting operands and sums off.
double error_of_sums(std::int64_t length, bool tensor_cores) {
  double squares = 0, errors = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const std::vector<float> a = random_values<float>(length, 2 * seed);
    const std::vector<float> b = random_values<float>(length, 2 * seed + 1);
    double exact = 0, sum = 0, eight = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      exact += double(a[i]) * double(b[i]);
      if (!tensor_cores) {
        sum = double(float(sum + double(a[i]) * double(b[i])));
        continue;
      }
      eight += cut(double(a[i]), 10) * cut(double(b[i]), 10);
      if (i % 8 == 7 || i + 1 == a.size()) sum = cut(sum + std::exchange(eight, 0), 23);
    }
    squares += exact * exact;
    errors += (sum - exact) * (sum - exact);
  }
  return std::sqrt(errors / squares);
}

/// A problem's operands on a context, and its result by the plan in use.
class WeightGradient {
 public:
  explicit WeightGradient(CudaContext& context, const Conv2dProblem& p = problem)
      : g(p.geometry),
        on_(context, "cuda"),
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
    const benchmarks::ConvolutionReference reference(g, Conv2dDirection::backward_weight, x_values_,
                                                     result(), y_values_);
    return reference.error(result(), limit());
  }
  /// What that may be: TF32 keeps 10 bits of fraction, float operands are taken as they are.
  double limit() const {
    const Windows& win = g.windows;
    return error_limit(on_.context.tf32() ? 0x1p-10 : 0, win.n * win.out_h() * win.out_w());
  }

 private:
  Conv2dGeometry g;
  On<CudaContext> on_;
  std::vector<float> x_values_, y_values_;
  float *x_, *dy_, *dw_;
};

}  // namespace

TEST_CASE("Sums in one run keep the limit of their length, and come near it") {
  for (const std::int64_t length : {392, 100352}) {
    CAPTURE(length);
    const double single = error_of_sums(length, false), limit = error_limit(0, length);
    CHECK(single <= limit);
    CHECK(single >= limit / 10);
    const double tf32 = error_of_sums(length, true), tf32_limit = error_limit(0x1p-10, length);
    CHECK(tf32 <= tf32_limit);
    CHECK(tf32 >= tf32_limit / 4);
  }
}

TEST_CASE("A chosen plan is used, listed, and gives the same bits in another context", "[gpu]") {
  if (!has_gpu()) return;
  CudaContext context(0);
  WeightGradient gradient(context);
  REQUIRE(conv2d_choices(context).empty());
  gradient.run();
  CHECK(gradient.error() <= gradient.limit());
  const std::optional<Conv2dPlan> own = conv2d_plan(context, problem);
  REQUIRE(own);
  REQUIRE(conv2d_choices(context).size() == 1);
  CHECK(conv2d_choices(context)[0].problem == text_of(problem));
  CHECK(conv2d_choices(context)[0].plan == own->name);

  int deterministic = 0;
  for (const Conv2dPlan& plan : conv2d_plans(context, problem)) {
    CAPTURE(plan.name);
    if (!gradient.runs_by(plan)) continue;
    CHECK(gradient.error() <= gradient.limit());
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

TEST_CASE("Long sums of a weight gradient are as exact as their length allows", "[gpu]") {
  if (!has_gpu()) return;
  for (const bool tf32 : {false, true}) {
    CAPTURE(tf32);
    CudaContext context(0);
    context.set_tf32(tf32);
    WeightGradient gradient(context, long_problem);
    gradient.run();
    CHECK(gradient.error() <= gradient.limit());
  }
}

TEST_CASE("Autotuning takes the fastest deterministic plan, once", "[gpu]") {
  if (!has_gpu()) return;
  CudaContext context(0);
  set_conv2d_autotune(context, true);
  WeightGradient gradient(context);
  gradient.run();
  CHECK(gradient.error() <= gradient.limit());
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
