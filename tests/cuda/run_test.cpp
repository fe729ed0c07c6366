// Runs on the CUDA backend: several at once, each in a context of its own; the plans of their
// convolutions.
#include <shatter/experiments/runs/training_job.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include <shatter/core/ops.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/emulation/conv2d_cudnn.h>

#include "tests/cuda/gpu.h"
#include "tests/cuda/tiny_net.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::experiments;
using namespace shatter::test;
using Status = Outcome::Status;

namespace {

RunSettings settings(const std::filesystem::path& runs) {
  RunSettings s;
  s.runs = runs;
  s.checkpoint_every = {.seconds = 0, .steps = 2};
  return s;
}

/// What a run leaves behind but for times and threads.
std::string files_of(const std::filesystem::path& folder) {
  return get(folder / "config.json") + get(folder / "metrics.jsonl") + get(folder / "result.json") +
         get(folder / "model.safetensors");
}

}  // namespace

TEST_CASE("on CUDA cells trained at once equal cells trained one after the other") {
  if (!has_gpu()) return;
  const TemporaryFolder one, many;
  CudaContext* const shared = &cuda_context(0);
  std::atomic<int> in_shared = 0;
  std::vector<Job> jobs;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CellConfig config = config_of(seed % 2 ? "fp32" : "bf16");
    config.seed = seed;
    const auto task = [&](const CellConfig& c) {
      in_shared += &cuda_context(0) == shared;
      return task_of(c);
    };
    jobs.push_back(training_job(config, "tiny", task, Device::cuda()));
  }
  RunSettings several = settings(many.path());
  several.jobs = 3;
  const auto first = run_jobs(jobs, settings(one.path())), second = run_jobs(jobs, several);
  CHECK(in_shared == 0);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    INFO(first[i].message << second[i].message);
    REQUIRE(first[i].status == Status::done);
    REQUIRE(second[i].status == Status::done);
    CHECK(files_of(one.path() / jobs[i].name) == files_of(many.path() / jobs[i].name));
    const auto env = nlohmann::json::parse(get(one.path() / jobs[i].name / "env.json"));
    CHECK(env["sessions"][0]["device"] == cuda_context(0).properties().name);
  }
}

TEST_CASE("a thread has a CUDA context of its own where it asks for one") {
  if (!has_gpu()) return;
  CudaContext* const shared = &cuda_context(0);
  std::vector<CudaContext*> contexts(3);
  std::vector<std::thread> threads;
  for (CudaContext*& context : contexts) {
    threads.emplace_back([&context] {
      const OwnContext own(Device::cuda());
      context = &cuda_context(0);
      const Tensor x = Tensor::full({100}, 3, DType::float32, Device::cuda());
      CHECK(context->allocator_statistics().live_bytes > 0);
      CHECK(x.values<float>() == std::vector<float>(100, 3.0f));
    });
    threads.back().join();
    CHECK(context != shared);
  }
  CHECK(&cuda_context(0) == shared);
  const OwnContext on_the_cpu(Device::cpu());
  CHECK(&cuda_context(0) == shared);
}

TEST_CASE("a tensor outlives the context it was made in") {
  if (!has_gpu()) return;
  Tensor x, unread;
  {
    const OwnContext own(Device::cuda());
    x = Tensor::full({1000}, 2.5, DType::float32, Device::cuda());
    unread = Tensor::empty({1 << 20}, DType::float32, Device::cuda());
    cuda_context(0).synchronize();
  }
  unread = {};
  CHECK(x.values<float>() == std::vector<float>(1000, 2.5f));
  CHECK(sum(x).item() == 2500);
}

#if defined(SHATTER_EMULATED)

namespace {

/// The weights of a run that is stopped `sessions` times, in its first epochs, before it may end.
std::string trained(const CellConfig& config, int sessions, const std::function<void(int)>& before,
                    bool keep_plans = true) {
  const TemporaryFolder folder;
  Outcome outcome;
  for (int session = 0; session <= sessions; ++session) {
    before(session);
    RunSettings s = settings(folder.path());
    int asked = 0;
    if (session < sessions) s.stop = [&] { return ++asked > 4; };
    outcome = run_job(training_job(config, "tiny", task_of, Device::cuda()), s);
    INFO(outcome.message);
    REQUIRE(outcome.status == (session < sessions ? Status::interrupted : Status::done));
    if (!keep_plans) std::filesystem::remove(folder / folder_name(config) / "plans.json");
  }
  return get(folder / folder_name(config) / "model.safetensors");
}

}  // namespace

TEST_CASE("an autotuned run goes on with the plans it began with") {
  CellConfig config = config_of("tf32");
  config.autotune = true;
  const auto fastest = [](const char* name) {
    return [name](int) { emulation::set_fastest_conv2d_plan(name); };
  };
  const auto changing = [](int session) {
    emulation::set_fastest_conv2d_plan(session == 0 ? "implicit_gemm" : "im2col");
  };
  const std::string expected = trained(config, 0, fastest("implicit_gemm"));
  const bool goes_on = trained(config, 2, changing) == expected;
  CHECK(goes_on);
  // Plans matter, and it is the stored ones that keep them. (Weights are long: no CHECK of them.)
  const bool plans_matter = trained(config, 0, fastest("im2col")) != expected;
  CHECK(plans_matter);
  const bool stored_matter = trained(config, 2, changing, false) != expected;
  CHECK(stored_matter);

  // Without autotuning the fastest plan does not count.
  config.autotune = false;
  const bool same =
      trained(config, 0, fastest("implicit_gemm")) == trained(config, 1, fastest("im2col"));
  CHECK(same);
  emulation::set_fastest_conv2d_plan("");
}

TEST_CASE("a run's plans are kept with its result, and runs leave each other's alone") {
  const TemporaryFolder folder;
  CellConfig config = config_of("tf32");
  RunSettings s = settings(folder / "runs");
  s.keep = folder / "kept";
  emulation::set_fastest_conv2d_plan("implicit_gemm");
  const auto plans_of = [&](bool autotune) {
    config.autotune = autotune;
    REQUIRE(run_job(training_job(config, "tiny", task_of, Device::cuda()), s).status ==
            Status::done);
    const auto stored = read_json(folder / "runs" / folder_name(config) / "plans.json");
    CHECK(read_json(folder / "kept" / (folder_name(config) + ".json"))["plans"] == stored);
    CHECK(stored["cudnn"] == 0);
    std::set<std::string> names;
    bool forward = false, backward = false;
    for (const auto& [problem, plan] : stored["plans"].items()) {
      names.insert(plan.get<std::string>());
      forward |= problem.starts_with("forward tf32 n30 ");  // the test set's
      backward |= problem.starts_with("backward_weight tf32 n16 ");
    }
    CHECK(forward);
    CHECK(backward);
    return names;
  };
  CHECK(plans_of(true) == std::set<std::string>{"implicit_gemm"});
  CHECK(plans_of(false) == std::set<std::string>{"im2col"});
  emulation::set_fastest_conv2d_plan("");

  put(folder / "runs" / folder_name(config) / "plans.json", R"({"plans": 3})");
  std::filesystem::remove(folder / "runs" / folder_name(config) / "result.json");
  s.keep.clear();
  const Outcome outcome = run_job(training_job(config, "tiny", task_of, Device::cuda()), s);
  CHECK(outcome.status == Status::failed);
  CHECK(outcome.message.find("plans.json") != std::string::npos);
}

#endif
