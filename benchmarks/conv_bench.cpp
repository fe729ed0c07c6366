// Convolutions layer by layer: every algorithm of every device, each result checked against double
// precision before it is timed. Columns and flags: docs/benchmarks.md.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <optional>

#include <CLI/CLI.hpp>

#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cpu/multiversion.h>
#include <shatter/kernels/cuda/conv2d_plans.h>

#include "benchmarks/convolution_check.h"
#include "benchmarks/layer_sets.h"
#include "benchmarks/measure.h"
#include "benchmarks/plan_choice.h"

using namespace shatter;
using namespace shatter::benchmarks;
using kernels::Conv2dAlgorithm;
using kernels::Conv2dDirection;

namespace {

struct ConvOptions : Options {
  std::vector<std::string> sets, shapes, directions;
  std::int64_t batch = 128;
  bool falsify = false;
};

const std::map<std::string, Conv2dDirection> directions{
    {"fwd", Conv2dDirection::forward},
    {"bwd-data", Conv2dDirection::backward_data},
    {"bwd-filter", Conv2dDirection::backward_weight}};

struct Case {
  std::string set;
  ConvLayer layer;
  std::string direction;
};

std::vector<Case> cases(const ConvOptions& options) {
  std::vector<Case> all;
  const auto add = [&](const std::string& set, const ConvLayer& layer) {
    for (const std::string& direction : options.directions)
      if (!layer.first || direction != "bwd-data") all.push_back({set, layer, direction});
  };
  for (const std::string& set : options.sets)
    for (const ConvLayer& layer : layer_set(set, options.batch)) add(set, layer);
  for (const std::string& shape : options.shapes) add("shape", parse_shape(shape));
  return all;
}

/// What times are divided by, measured in this process.
struct Ceilings {
  double flops = 0, bandwidth = 0;
};

/// One way of computing a case.
struct Provider {
  std::string name, plan{};
  bool deterministic = true, tensor_core = false;
  std::int64_t workspace_bytes = 0;
  std::function<void()> run;
  Json search = Json::object();  ///< columns that tell of a search through cuDNN's plans
};

/// A case with its arrays on a device.
template <class T, class Context>
class Convolution {
 public:
  Convolution(Context& context, const Case& c, std::uint64_t seed)
      : context_(context),
        g_(c.layer.geometry),
        direction_(directions.at(c.direction)),
        x_values_(random_values<T>(elements_x(g_), seed)),
        w_values_(random_values<T>(elements_w(g_), seed + 1)),
        y_values_(random_values<T>(elements_y(g_), seed + 2)),
        reference_(g_, direction_, x_values_, w_values_, y_values_),
        x_(context, x_values_),
        w_(context, w_values_),
        y_(context, y_values_),
        dw_(context, elements_w(g_)) {}

  void run(Conv2dAlgorithm algorithm) {
    using namespace kernels;
    switch (direction_) {
      case Conv2dDirection::forward:
        return conv2d_forward<T>(context_, g_, x_.data(), w_.data(), nullptr, y_.data(), algorithm);
      case Conv2dDirection::backward_data:
        return conv2d_backward_data<T>(context_, g_, y_.data(), w_.data(), x_.data(), algorithm);
      case Conv2dDirection::backward_weight:
        return conv2d_backward_weight<T>(context_, g_, x_.data(), y_.data(), dw_.data(), algorithm);
    }
  }

  struct Verdict {
    double error = 0;
    bool repeats = false;  ///< a second run gives the same bits
  };
  /// Runs twice into arrays of NaN. With `falsify` one element is off before it is judged.
  Verdict judge(const std::function<void()>& work, double limit, bool falsify) {
    const auto judged = [&](auto& array) {
      auto nan = array.values();
      std::memset(static_cast<void*>(nan.data()), 0xFF, array.bytes());
      const auto output = [&] {
        array.set(nan);
        work();
        return array.values();
      };
      auto first = output();
      const auto second = output();
      const bool repeats = std::memcmp(first.data(), second.data(), array.bytes()) == 0;
      if (falsify) {
        auto& value = first[static_cast<std::size_t>(reference_.checked())];
        using Out = std::decay_t<decltype(value)>;
        value = Out(static_cast<wide_t<Out>>(double(value) + reference_.magnitude()));
      }
      return Verdict{reference_.error(first, limit), repeats};
    };
    if (direction_ == Conv2dDirection::forward) return judged(y_);
    if (direction_ == Conv2dDirection::backward_data) return judged(x_);
    return judged(dw_);
  }

  const Conv2dGeometry& geometry() const { return g_; }
  Conv2dDirection direction() const { return direction_; }
  double flop() const { return 2 * static_cast<double>(g_.multiply_adds()); }
  /// Each operand and the result once.
  double bytes() const {
    const bool weight = direction_ == Conv2dDirection::backward_weight;
    return static_cast<double>(x_.bytes() + y_.bytes() + (weight ? dw_.bytes() : w_.bytes()));
  }

 private:
  Context& context_;
  Conv2dGeometry g_;
  Conv2dDirection direction_;
  std::vector<T> x_values_, w_values_, y_values_;
  ConvolutionReference reference_;
  Array<T, Context> x_, w_, y_;
  Array<wide_t<T>, Context> dw_;
};

template <class T>
std::vector<std::string> provider_names(CpuContext&) {
  if (std::is_same_v<T, float>) return {"onednn", "winograd", "im2col"};
  if (std::is_same_v<T, bfloat16> && kernels::has_bfloat16_products()) return {"onednn", "im2col"};
  return {"im2col"};
}

template <class T>
std::vector<std::string> provider_names(CudaContext& context) {
  if (std::is_same_v<T, double>) return {"im2col+cublas"};
  std::vector<std::string> names{"cudnn-heuristic", "cudnn-best", "cudnn-best-deterministic",
                                 "im2col+cublas"};
  if (std::is_same_v<T, bfloat16> || context.tf32()) names.push_back("implicit_gemm");
  return names;
}

template <class T>
std::optional<Provider> provider(const std::string& name, CpuContext&, Clock<CpuContext>&,
                                 Convolution<T, CpuContext>& conv) {
  if (name == "winograd" && !kernels::winograd_fits(conv.geometry())) return std::nullopt;
  const Conv2dAlgorithm algorithm = name == "onednn"     ? Conv2dAlgorithm::onednn
                                    : name == "winograd" ? Conv2dAlgorithm::winograd
                                                         : Conv2dAlgorithm::im2col;
  return Provider{.name = name, .run = [&conv, algorithm] { conv.run(algorithm); }};
}

/// Makes a plan of cuDNN the one that conv2d uses: its own choice, or the fastest by the clock.
template <class T>
std::optional<Provider> cudnn_provider(const std::string& name, CudaContext& context,
                                       Clock<CudaContext>& clock,
                                       Convolution<T, CudaContext>& conv) {
  using namespace kernels;
  const Conv2dProblem problem{.geometry = conv.geometry(),
                              .direction = conv.direction(),
                              .dtype = dtype_of<T>,
                              .tf32 = std::is_same_v<T, float> && context.tf32()};
  const auto run = [&conv] { conv.run(Conv2dAlgorithm::cudnn); };
  struct Known {
    // What conv2d takes by itself: a plan chosen below would answer for a shape that comes again.
    std::optional<Conv2dPlan> own;
    std::vector<Conv2dTiming> timings;  // of the plans worth it, once one is asked for
  };
  static std::map<std::pair<const CudaContext*, std::string>, Known> all;
  const std::pair key(&context, text_of(problem));
  if (!all.contains(key)) all[key].own = conv2d_plan(context, problem);
  Known& known = all[key];
  std::optional<Conv2dPlan> taken;
  if (name == "cudnn-heuristic") {
    taken = known.own;
  } else {
    if (known.timings.empty())
      for (const Conv2dPlan& plan : plans_worth_timing(conv2d_plans(context, problem))) {
        known.timings.push_back(time_conv2d_plan(context, plan, [&] {
          choose_conv2d_plan(context, {key.second, plan.name});
          return clock.hot(run).median;
        }));
        if (const std::string& failure = known.timings.back().failure; !failure.empty())
          std::fprintf(stderr, "conv_bench: %s: plan %s is left out: %s\n", key.second.c_str(),
                       plan.name.c_str(), failure.c_str());
      }
    double best = std::numeric_limits<double>::infinity();
    for (const Conv2dTiming& timing : known.timings)
      if (timing.seconds < best && (timing.plan.deterministic || name == "cudnn-best")) {
        taken = timing.plan;
        best = timing.seconds;
      }
  }
  if (!taken) return std::nullopt;
  choose_conv2d_plan(context, {key.second, taken->name});
  Provider found{.name = name,
                 .plan = taken->name,
                 .deterministic = taken->deterministic,
                 .tensor_core = taken->tensor_core,
                 .workspace_bytes = taken->workspace_bytes,
                 .run = run};
  if (name == "cudnn-heuristic") return found;
  found.search["problem"] = key.second;
  for (const Conv2dTiming& timing : known.timings)
    found.search["plans"].push_back(
        {{"plan", timing.plan.name},
         {"hot_us", timing.failure.empty() ? Json(timing.seconds * 1e6) : Json(nullptr)},
         {"deterministic", timing.plan.deterministic},
         {"tensor_core", timing.plan.tensor_core},
         {"workspace_bytes", timing.plan.workspace_bytes}});
  return found;
}

template <class T>
std::optional<Provider> provider(const std::string& name, CudaContext& context,
                                 Clock<CudaContext>& clock, Convolution<T, CudaContext>& conv) {
  if constexpr (!std::is_same_v<T, double>)
    if (name.starts_with("cudnn")) return cudnn_provider(name, context, clock, conv);
  const Conv2dAlgorithm algorithm =
      name == "implicit_gemm" ? Conv2dAlgorithm::implicit_gemm : Conv2dAlgorithm::im2col;
  return Provider{.name = name,
                  .tensor_core = std::is_same_v<T, bfloat16> || context.tf32(),
                  .run = [&conv, algorithm] { conv.run(algorithm); }};
}

Json geometry_columns(const Case& c) {
  const Conv2dGeometry& g = c.layer.geometry;
  const Windows& win = g.windows;
  const Padding& pad = win.padding;
  return {{"set", c.set},
          {"layer", c.layer.name},
          {"count", c.layer.count},
          {"dir", c.direction},
          {"n", win.n},
          {"c", g.c},
          {"h", win.h},
          {"w", win.w},
          {"k", g.k},
          {"r", win.r},
          {"s", win.s},
          {"stride", win.stride_h},
          {"pad", Json::array({pad.top, pad.bottom, pad.left, pad.right})},
          {"layout", "NHWC"}};
}

/// The largest relative error a right result may have.
double error_limit(const std::string& type) {
  if (type == "float64") return 1e-12;
  if (type == "float32") return 1e-5;
  return type == "tf32" ? 1e-3 : 1e-2;
}

class Benchmark {
 public:
  explicit Benchmark(const ConvOptions& options)
      : options_(options),
        filter_(options.filter),
        cases_(cases(options)),
        report_({{"on", "on", 6, -1},
                 {"layer", "layer", 10, -1},
                 {"dir", "dir", 10, -1},
                 {"in", "type", 8, -1},
                 {"provider", "provider", 16, -1},
                 {"cold_us", "cold us", 10, 1},
                 {"hot_us", "hot us", 10, 1},
                 {"p10", "p10", 10, 1},
                 {"p90", "p90", 10, 1},
                 {"tflops", "TFLOP/s", 8, 3},
                 {"pct_peak", "%peak", 6, 1},
                 {"gbps", "GB/s", 8, 1},
                 {"pct_copy", "%copy", 6, 1},
                 {"pct_bound", "%bound", 6, 1},
                 {"rel_err", "error", 8, 4},
                 {"bitwise_repeat", "repeat", 6}},
                options.json) {}

  int run() {
    each_device(options_, [&](auto& context, const std::string& name) {
      using Context = std::decay_t<decltype(context)>;
      run_type<float>(context, name, "float32");
      run_type<double>(context, name, "float64");
      if constexpr (std::is_same_v<Context, CudaContext>) run_type<float>(context, name, "tf32");
      run_type<bfloat16>(context, name, "bfloat16");
    });
    if (options_.list) return 0;
    check(failed_ > 0 || !report_.rows().empty(), "no row passes --filter ", options_.filter,
          " and the other flags; --list prints their names");
    print_summary();
    if (wrong_ > 0) std::fprintf(stderr, "conv_bench: %d wrong results\n", wrong_);
    if (failed_ > 0) std::fprintf(stderr, "conv_bench: %d rows failed\n", failed_);
    return wrong_ + failed_ > 0;
  }

 private:
  bool wants(const std::string& type) const {
    if (options_.types.empty()) return type != "float64";
    return std::find(options_.types.begin(), options_.types.end(), type) != options_.types.end();
  }
  static std::string row_name(const Case& c, const std::string& type, const std::string& device,
                              const std::string& provider) {
    return c.set + "/" + c.layer.name + "/" + c.direction + "/" + type + "/" + device + "/" +
           provider;
  }

  template <class T, class Context>
  void run_type(Context& context, const std::string& device, const std::string& type) {
    if (!wants(type)) return;
    if constexpr (std::is_same_v<Context, CudaContext>) context.set_tf32(type == "tf32");
    std::optional<Clock<Context>> clock;
    Ceilings ceilings;
    for (const Case& c : cases_) {
      std::vector<std::string> names;
      for (const std::string& name : provider_names<T>(context))
        if (filter_.passes(row_name(c, type, device, name))) names.push_back(name);
      if (options_.list)
        for (const std::string& name : names)
          std::printf("%s\n", row_name(c, type, device, name).c_str());
      if (options_.list || names.empty()) continue;
      if (!clock) {
        clock.emplace(context, Sampling{options_.min_time, options_.timeout, options_.min_samples});
        ceilings = {peak_flops<T>(context, *clock, options_.peak_extent),
                    copy_bandwidth(context, *clock, options_.copy_mib)};
        std::fprintf(stderr, "%s %s: matrix product %.3f TFLOP/s, copy %.1f GB/s\n", device.c_str(),
                     type.c_str(), ceilings.flops * 1e-12, ceilings.bandwidth * 1e-9);
      }
      Convolution<T, Context> conv(context, c, options_.seed);
      Json row = geometry_columns(c);
      row["on"] = device;
      row["in"] = type;
      row["acc"] = type == "float64" ? "float64" : "float32";
      row["out"] = name_of(dtype_of<T>);
      if (conv.direction() == Conv2dDirection::backward_weight)
        row["out"] = name_of(dtype_of<wide_t<T>>);
      for (const std::string& name : names) {
        try {
          if (const std::optional<Provider> p = provider(name, context, *clock, conv))
            measure(context, *clock, conv, *p, ceilings, row);
        } catch (const Error& error) {
          ++failed_;
          std::fprintf(stderr, "conv_bench: %s: FAILED: %s\n",
                       row_name(c, type, device, name).c_str(), error.what());
          // Throws after a kernel's fault, since nothing runs any more.
          if constexpr (std::is_same_v<Context, CudaContext>) context.synchronize();
        }
      }
    }
  }

  template <class T, class Context>
  void measure(Context& context, Clock<Context>& clock, Convolution<T, Context>& conv,
               const Provider& provider, const Ceilings& ceilings, Json row) {
    const double limit = error_limit(row["in"]);
    const auto verdict = conv.judge(provider.run, limit, options_.falsify);
    const bool right = verdict.error <= limit;
    row["provider"] = provider.name;
    row["plan"] = provider.plan;
    row["deterministic"] = provider.deterministic;
    row["tensor_core"] = provider.tensor_core;
    row["workspace_bytes"] = provider.workspace_bytes;
    const Samples cold = clock.cold(provider.run), hot = clock.hot(provider.run);
    add_times(row, cold, hot);
    const double bound = std::max(conv.flop() / ceilings.flops, conv.bytes() / ceilings.bandwidth);
    row["gflop"] = conv.flop() * 1e-9;
    row["tflops"] = conv.flop() / cold.median * 1e-12;
    row["pct_peak"] = 100 * conv.flop() / cold.median / ceilings.flops;
    row["bytes_min"] = conv.bytes();
    row["gbps"] = conv.bytes() / cold.median * 1e-9;
    row["pct_copy"] = 100 * conv.bytes() / cold.median / ceilings.bandwidth;
    row["bound_us"] = bound * 1e6;
    row["pct_bound"] = 100 * bound / cold.median;
    row["peak_tflops"] = ceilings.flops * 1e-12;
    row["copy_gbps"] = ceilings.bandwidth * 1e-9;
    row["rel_err"] = verdict.error;
    row["bitwise_repeat"] = verdict.repeats;
    row["correct"] = right;
    row.update(machine(context));
    row.update(provider.search);
    report_.add(row);
    if (!right) {
      ++wrong_;
      std::fprintf(stderr, "conv_bench: %s %s %s %s: WRONG: relative error %g, allowed %g\n",
                   row["layer"].get<std::string>().c_str(), row["dir"].get<std::string>().c_str(),
                   row["in"].get<std::string>().c_str(), provider.name.c_str(), verdict.error,
                   limit);
    }
  }

  /// For each device, type, set and provider: the time of all its rows, and how they compare with
  /// the fastest provider of each row.
  void print_summary() const {
    const auto word = [](const Json& row, const char* key) { return row[key].get<std::string>(); };
    std::map<std::string, double> fastest;
    const auto place = [&](const Json& row) {
      return word(row, "on") + "/" + word(row, "in") + "/" + word(row, "set") + "/" +
             word(row, "layer") + "/" + word(row, "dir");
    };
    for (const Json& row : report_.rows()) {
      const double time = row["cold_us"];
      const auto [known, fresh] = fastest.emplace(place(row), time);
      if (!fresh) known->second = std::min(known->second, time);
    }
    struct Total {
      double time = 0, logarithms = 0, worst = 2;
      int rows = 0, first = 0;
      std::string worst_row;
    };
    std::map<std::vector<std::string>, Total> totals;
    for (const Json& row : report_.rows()) {
      Total& total =
          totals[{word(row, "on"), word(row, "in"), word(row, "set"), word(row, "provider")}];
      const double time = row["cold_us"], ratio = fastest.at(place(row)) / time;
      total.time += time * row["count"].get<double>();
      total.logarithms += std::log(ratio);
      ++total.rows;
      total.first += ratio == 1;
      if (ratio < total.worst) {
        total.worst = ratio;
        total.worst_row = word(row, "layer") + " " + word(row, "dir");
      }
    }
    std::printf(
        "\n| on | type | set | provider | rows | sum of cold ms | geometric mean of fastest/time | "
        "worst row | fastest in |\n|---|---|---|---|---|---|---|---|---|\n");
    for (const auto& [key, total] : totals)
      std::printf("| %s | %s | %s | %s | %d | %.3f | %.3f | %s (%.2f) | %.0f %% |\n",
                  key[0].c_str(), key[1].c_str(), key[2].c_str(), key[3].c_str(), total.rows,
                  total.time * 1e-3, std::exp(total.logarithms / total.rows),
                  total.worst_row.c_str(), total.worst, 100.0 * total.first / total.rows);
  }

  ConvOptions options_;
  Filter filter_;
  std::vector<Case> cases_;
  Report report_;
  int wrong_ = 0, failed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  ConvOptions options;
  CLI::App app(
      "Times convolutions: forward, data gradient and weight gradient, by every algorithm of every "
      "device. Each result is checked against double precision first; the exit code is 1 if one is "
      "wrong.",
      "conv_bench");
  std::vector<std::string> words;
  for (const auto& [word, direction] : directions) words.push_back(word);
  app.add_option("--set", options.sets, "layers of a network (default: inception-small)")
      ->check(CLI::IsMember(layer_set_names()));
  app.add_option("--shape", options.shapes, "one layer: n,h,w,c,k,r,s,stride,pad; pad may be same");
  app.add_option("--dir", options.directions, "directions (default: all)")
      ->check(CLI::IsMember(words));
  app.add_option("--batch", options.batch, "images of the layers of a set")
      ->check(CLI::Range(1, 1000000).description(""))
      ->capture_default_str();
  app.add_flag("--falsify", options.falsify,
               "put one element of each result wrong, to see that it is found");
  add_options(app, options, {"float32", "tf32", "bfloat16", "float64"});
  return run_program(app, argc, argv, [&] {
    if (options.sets.empty() && options.shapes.empty()) options.sets = {"inception-small"};
    if (options.directions.empty()) options.directions = {"fwd", "bwd-data", "bwd-filter"};
    return Benchmark(options).run();
  });
}
