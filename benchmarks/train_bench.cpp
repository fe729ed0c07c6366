// Whole training steps of the paper's models: gathering and whitening a batch, forward, loss,
// backward, SGD with momentum, running accuracy. Prints the median and spread of a step's time,
// images per second, memory, and allocations and launches in steady state. Or a hash of what was
// trained, which must not depend on how the steps were run.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <shatter/core/dispatch.h>
#include <shatter/core/random.h>
#include <shatter/core/text.h>
#include <shatter/data/checksum.h>
#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/report/profile_table.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/version.h>
#include <shatter/experiments/train/cell_trainer.h>
#include <shatter/kernels/profile.h>

#include "benchmarks/measure.h"

using namespace shatter;

namespace {

struct Options {
  std::vector<std::string> models;
  std::string device = "auto", precision = "fp32", json;
  std::int64_t batch = 128, images = 12800;
  std::int64_t hash_steps = 0;
  double seconds = 5;
  int threads = 0;
  bool eager = false, profile = false;
};

/// Random images under random labels: the arithmetic of a step does not depend on their values.
data::Dataset random_images(std::int64_t count) {
  const RandomKey key{.seed = 1, .stream = Stream::synthetic};
  data::Dataset dataset;
  dataset.name = "random";
  std::vector<std::uint8_t> pixels(std::size_t(count) * 32 * 32 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = std::uint8_t((std::uint64_t{i} * 2654435761u) >> 16);
  }
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) {
    labels.push_back(std::int32_t(random_words(key, std::uint32_t(i))[0] % 10));
  }
  dataset.images = Tensor::from(pixels, {count, 32, 32, 3});
  dataset.labels = Tensor::from(labels, {count});
  dataset.classes = 10;
  return dataset;
}

double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

/// The most memory this process ever had.
std::int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

struct Memory {
  std::int64_t allocations = 0;
  std::int64_t bytes = 0;  ///< held from the system
  std::int64_t peak = 0;   ///< on the CPU of the whole process
  std::int64_t launches = 0;
};

Memory memory_of(Device device) {
  return on(device, []<class Context>(Context& context) -> Memory {
    if constexpr (std::is_same_v<Context, CpuContext>) {
      const AllocatorStatistics s = cpu_allocator_statistics();
      return {s.system_allocations, s.live_bytes + s.cached_bytes, peak_memory(), 0};
    } else {
      const AllocatorStatistics s = context.allocator_statistics();
      const std::int64_t held = s.live_bytes + s.cached_bytes;
      return {s.system_allocations, held, held, context.launches()};
    }
  });
}

struct Measured {
  std::vector<double> step_seconds;  ///< sorted; on a GPU means of groups of steps
  double wall_seconds = 0;           ///< of all steps and the beginnings of epochs
  double device_seconds = 0;         ///< on a GPU, from each group's first work to its last
  std::int64_t steps = 0;
  Memory start, before, after;   ///< without a model, after the first steps, at the end
  experiments::Profile profile;  ///< of the same steps, where it is asked for
  double quantile(double q) const {
    return step_seconds[std::size_t(q * double(step_seconds.size() - 1) + 0.5)];
  }
};

std::unique_ptr<experiments::Trainer> make_trainer(const std::string& name, const Options& options,
                                                   Device device) {
  experiments::CellConfig config;
  config.model = name;
  config.dataset = {
      .name = "random", .checksums = {}, .train_size = options.images, .test_size = 1};
  config.precision = options.precision;
  config.learning_rate = 1e-4;
  config.batch = options.batch;
  config.learning_rate_decay = 1;
  config.epochs = 4096;
  config.evaluate_every = config.epochs;
  const data::Dataset images = random_images(options.images);
  experiments::TrainingTask task{.model = experiments::make_model(name),
                                 .decayed = {},
                                 .data = {images, random_images(1)},
                                 .metrics = {}};
  return std::make_unique<experiments::CellTrainer>(
      config, std::move(task),
      experiments::TrainerOptions{.device = device, .capture = !options.eager});
}

/// Steps given to a device at once.
std::int64_t group_on(Device device) {
  return device.is_cuda() ? 64 : 1;
}

Measured measure(const std::string& name, const Options& options, Device device) {
  Measured result;
  result.start = memory_of(device);
  const auto owned = make_trainer(name, options, device);
  experiments::Trainer& trainer = *owned;
  const std::int64_t group = group_on(device);
  const auto advance = [&] {
    if (trainer.epoch_ended()) trainer.finish_epoch();
    return std::int64_t(trainer.advance(group).size());
  };
  for (int i = 0; i < 3; ++i) advance();
  while (device.is_cuda() && trainer.epoch() < 3) advance();

  result.before = memory_of(device);
  reset_profile();
  enable_profile(options.profile);
  const double start = now();
  while (result.step_seconds.size() < 5 || now() - start < options.seconds) {
    const double begin = now();
    const auto timer =
        device.is_cuda() ? on(device, [](auto& c) { return detail::profile_timer(c); }) : nullptr;
    const std::int64_t steps = advance();
    if (timer) {
      timer->stop();
      result.device_seconds += timer->seconds();
    }
    result.step_seconds.push_back((now() - begin) / double(steps));
    result.steps += steps;
  }
  result.wall_seconds = now() - start;
  enable_profile(false);
  result.profile = {profile_rows(), result.wall_seconds, profile_kernels_at_once()};
  result.after = memory_of(device);
  std::sort(result.step_seconds.begin(), result.step_seconds.end());
  return result;
}

/// 64 bits, in hexadecimal, of the parameters, running statistics and momentum after the first
/// options.hash_steps steps.
std::string state_hash(const std::string& name, const Options& options, Device device) {
  const auto trainer = make_trainer(name, options, device);
  while (trainer->steps() < options.hash_steps) {
    if (trainer->epoch_ended()) trainer->finish_epoch();
    trainer->advance(std::min(group_on(device), options.hash_steps - trainer->steps()));
  }
  std::string bytes;
  for (const auto& [key, tensor] : trainer->state().tensors) {
    const Tensor values = tensor.to(Device{}).packed();
    bytes += key;
    bytes.append(reinterpret_cast<const char*>(values.raw()), values.bytes());
  }
  return data::sha256(bytes).substr(0, 16);
}

/// Of a step: calls, milliseconds, operations and bytes.
nlohmann::json profile_json(const Measured& m) {
  const auto steps = double(m.steps);
  nlohmann::json rows = nlohmann::json::array();
  for (const ProfileRow& r : m.profile.rows) {
    rows.push_back({{"kernel", r.name},
                    {"calls", double(r.calls) / steps},
                    {"ms", 1e3 * r.seconds / steps},
                    {"flop", double(r.work.flop) / steps},
                    {"bytes", double(r.work.bytes) / steps}});
  }
  return {{"ms", 1e3 * m.profile.base() / steps},
          {"outside_kernels_ms", 1e3 * m.profile.outside_kernels() / steps},
          {"kernels", rows}};
}

/// What a row says of the model and how it was run.
nlohmann::json head(const std::string& name, const Options& options, Device device) {
  return {{"model", name},
          {"device", device.name()},
          {"batch", options.batch},
          {"precision", options.precision},
          {"threads", device.is_cpu() ? cpu_context().threads() : 0},
          {"captured", device.is_cuda() && !options.eager},
          {"commit", experiments::build_info().commit}};
}

nlohmann::json row(const std::string& name, const Options& options, Device device,
                   const Measured& m) {
  const auto per_step = [&](std::int64_t after, std::int64_t before) {
    return double(after - before) / double(m.steps);
  };
  nlohmann::json row = head(name, options, device);
  row.update(nlohmann::json{
      {"ms", m.quantile(0.5) * 1e3},
      {"ms_p10", m.quantile(0.1) * 1e3},
      {"ms_p90", m.quantile(0.9) * 1e3},
      {"images_per_second", double(options.batch) / m.quantile(0.5)},
      {"wall_images_per_second", double(m.steps * options.batch) / m.wall_seconds},
      {"host_gap_percent", device.is_cuda()
                               ? nlohmann::json(100 * (1 - m.device_seconds / m.wall_seconds))
                               : nlohmann::json(nullptr)},
      {"memory_bytes", m.after.bytes},
      {"step_memory_bytes", m.after.peak - m.start.peak},
      {"allocations_per_step", per_step(m.after.allocations, m.before.allocations)},
      {"launches_per_step", per_step(m.after.launches, m.before.launches)}});
  if (options.profile) row["profile"] = profile_json(m);
  return row;
}

void print(const nlohmann::json& r) {
  const nlohmann::json& gap = r["host_gap_percent"];
  char gap_text[32] = "-";
  if (!gap.is_null()) std::snprintf(gap_text, sizeof gap_text, "%.1f", gap.get<double>());
  std::printf("%-16s %10.3f %10.3f %10.3f %12.0f %8s %8lld %12.2f %10.1f\n",
              r["model"].get<std::string>().c_str(), r["ms"].get<double>(),
              r["ms_p10"].get<double>(), r["ms_p90"].get<double>(),
              r["images_per_second"].get<double>(), gap_text,
              static_cast<long long>(r["memory_bytes"].get<std::int64_t>() >> 20),
              r["allocations_per_step"].get<double>(), r["launches_per_step"].get<double>());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Times whole training steps of the paper's models.", "train_bench");
  std::vector<std::string> names;
  for (const auto& recipe : experiments::recipes()) names.push_back(recipe.name);
  app.add_option("--model", options.models, "models to time (default: all)")
      ->check(CLI::IsMember(names));
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:k")->capture_default_str();
  app.add_option("--precision", options.precision,
                 "fp32, bf16, on a CPU fp32-winograd, on a GPU tf32")
      ->check(CLI::IsMember({"fp32", "fp32-winograd", "tf32", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch", options.batch, "images in a step")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--images", options.images, "images in the data set")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "time for each model")->capture_default_str();
  app.add_option("--threads", options.threads, "CPU threads, 0: all cores")->capture_default_str();
  app.add_flag("--eager", options.eager, "on a GPU: no recorded steps");
  app.add_flag("--profile", options.profile,
               "where a step's time goes, by kernel; on a GPU without recorded steps");
  app.add_option("--hash-steps", options.hash_steps,
                 "time nothing: train N steps and print a hash of the parameters, running "
                 "statistics and momentum")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--json", options.json, "add one line of JSON per model to this file");
  return benchmarks::run_program(app, argc, argv, [&] {
    options.eager |= options.profile;
    if (options.models.empty()) options.models = names;
    set_cpu_threads(options.threads);
    const Device device = Device::parse(options.device);
    const auto known = experiments::precisions(device);
    if (!known.contains(options.precision))
      fail(ErrorKind::device, "--precision ", options.precision, ": ", device.name(), " has ",
           joined(known));
    std::ofstream json;
    if (!options.json.empty()) {
      json.open(options.json, std::ios::app);
      if (!json) fail(ErrorKind::usage, "--json ", options.json, ": cannot write");
    }
    if (options.hash_steps > 0) {
      for (const std::string& name : options.models) {
        const std::string hash = state_hash(name, options, device);
        std::printf("%s %s, batch %lld, %lld steps: %s\n", name.c_str(), options.precision.c_str(),
                    static_cast<long long>(options.batch),
                    static_cast<long long>(options.hash_steps), hash.c_str());
        std::fflush(stdout);
        nlohmann::json result = head(name, options, device);
        result.update(nlohmann::json{{"hash_steps", options.hash_steps}, {"hash", hash}});
        if (json.is_open()) json << result << std::endl;
      }
      return int(experiments::exit_done);
    }
    std::printf("batch %lld, 28x28x3, %s, %s", static_cast<long long>(options.batch),
                options.precision.c_str(), device.name().c_str());
    if (device.is_cpu()) std::printf(", %d threads", cpu_context().threads());
    std::printf("\n%-16s %10s %10s %10s %12s %8s %8s %12s %10s\n", "model", "ms/step", "p10", "p90",
                "images/s", "gap %", "MiB", "allocs/step", "launches");
    for (const std::string& name : options.models) {
      cpu_release_cache();
      const Measured measured = measure(name, options, device);
      const nlohmann::json result = row(name, options, device, measured);
      print(result);
      if (options.profile) {
        std::printf("%s\n", profile_table(measured.profile, measured.steps).c_str());
      }
      if (json.is_open()) json << result << std::endl;
    }
    return int(experiments::exit_done);
  });
}
