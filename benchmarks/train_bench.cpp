// Whole training steps of the paper's models: forward, loss, backward, SGD with momentum. Prints
// the median and spread of the step's time, images per second, memory and allocations in steady
// state.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include <CLI/CLI.hpp>

#include <shatter/core/autograd.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>
#include <shatter/experiments/models/models.h>
#include <shatter/optim/optimizer.h>

using namespace shatter;

namespace {

struct Options {
  std::vector<std::string> models;
  std::int64_t batch = 128;
  double seconds = 5;
  int threads = 0;
};

/// Trains on one batch over and over: the arithmetic of a step does not depend on its values.
class Step {
 public:
  Step(const std::string& name, std::int64_t batch)
      : model_(experiments::make_model(name)),
        x_(random_normal({.seed = 1}, {batch, 28, 28, 3})),
        y_(Tensor::zeros({batch}, DType::int32)) {
    initialize(model_, {.seed = 1});
    sgd_.emplace(named_parameters(model_),
                 optim::SgdOptions{.schedule = optim::constant(1e-4), .momentum = 0.9});
  }
  void operator()() {
    const Tensor loss = cross_entropy(model_(x_), y_);
    zero_grad(model_);
    backward(loss);
    sgd_->step();
  }

 private:
  Sequential model_;
  Tensor x_, y_;
  std::optional<optim::Sgd> sgd_;
};

double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

void measure(const std::string& name, const Options& options) {
  cpu_release_cache();
  Step step(name, options.batch);
  for (int i = 0; i < 3; ++i) step();
  const std::int64_t allocations = cpu_allocator_statistics().system_allocations;
  std::vector<double> times;
  const double start = now();
  while (times.size() < 5 || now() - start < options.seconds) {
    const double begin = now();
    step();
    times.push_back(now() - begin);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const AllocatorStatistics memory = cpu_allocator_statistics();
  std::printf("%-16s %10.2f %10.2f %10.2f %12.0f %10lld %12lld\n", name.c_str(), median * 1e3,
              times[times.size() / 10] * 1e3, times[times.size() * 9 / 10] * 1e3,
              double(options.batch) / median,
              static_cast<long long>((memory.live_bytes + memory.cached_bytes) >> 20),
              static_cast<long long>(memory.system_allocations - allocations));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times whole training steps of the paper's models.");
  app.add_option("--model", options.models, "models to time (default: all)");
  app.add_option("--batch", options.batch, "images in a step")->capture_default_str();
  app.add_option("--seconds", options.seconds, "time for each model")->capture_default_str();
  app.add_option("--threads", options.threads, "CPU threads, 0: all cores")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (options.models.empty()) {
    for (const auto& recipe : experiments::recipes()) options.models.push_back(recipe.name);
  }
  try {
    set_cpu_threads(options.threads);
    std::printf("batch %lld, 28x28x3, float32, %d threads\n", static_cast<long long>(options.batch),
                cpu_context().threads());
    std::printf("%-16s %10s %10s %10s %12s %10s %12s\n", "model", "ms/step", "p10", "p90",
                "images/s", "MiB", "allocations");
    for (const std::string& name : options.models) measure(name, options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_bench: %s\n", error.what());
    return 1;
  }
}
