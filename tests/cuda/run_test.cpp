// Runs on the CUDA backend: several at once, each in a context of its own.
#include <nlohmann/json.hpp>
#include <thread>

#include <shatter/experiments/harness/sweep.h>

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
  s.device = Device::cuda();
  s.device_name = "test";
  return s;
}

Cell cell_of(const CellConfig& config) {
  return {config, "tiny", task_of};
}

/// What a run leaves behind but for times and threads.
std::string files_of(const std::filesystem::path& runs, const CellConfig& config) {
  const auto folder = runs / folder_name(config);
  return get(folder / "config.json") + get(folder / "metrics.jsonl") + get(folder / "result.json") +
         get(folder / "model.safetensors");
}

}  // namespace

TEST_CASE("on CUDA cells trained at once equal cells trained one after the other") {
  if (!has_gpu()) return;
  const TemporaryFolder one, many;
  std::vector<Cell> cells;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CellConfig config = config_of(seed % 2 ? "fp32" : "bf16");
    config.seed = seed;
    cells.push_back(cell_of(config));
  }
  const auto first = run_sweep(cells, {.run = settings(one.path()), .finished = {}});
  const auto second = run_sweep(cells, {.run = settings(many.path()), .jobs = 3, .finished = {}});
  for (std::size_t i = 0; i < cells.size(); ++i) {
    INFO(first[i].message << second[i].message);
    REQUIRE(first[i].status == Status::done);
    REQUIRE(second[i].status == Status::done);
    CHECK(files_of(one.path(), cells[i].config) == files_of(many.path(), cells[i].config));
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
