// CapturedWork work: what a recording that fails leaves behind, whose an error is, and recording by
// several threads at once.
#include <shatter/core/captured_work.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include <shatter/core/autograd.h>
#include <shatter/experiments/train/cell_trainer.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/matmul.h>

#if !defined(SHATTER_EMULATED)
#include <shatter/kernels/cuda/nvidia/timer.h>
#endif

#include "tests/cuda/gpu.h"
#include "tests/cuda/tiny_net.h"
#include "tests/experiments/process.h"
#include "tests/support/devices.h"

using namespace shatter;
using namespace shatter::test;

namespace {

/// One number on a context of its own, which the calling thread uses, and work that adds 1 to it.
class Counter {
 public:
  Counter() : own_(Device::cuda()), on_(cuda_context(0), "cuda"), x_(on_.put_value(0.0f)) {}
  CudaContext& context() { return on_.context; }
  void add() { kernels::affine<float>(context(), 1, 1, 1, x_, x_); }
  float value() { return on_.get(x_)[0]; }

 private:
  OwnContext own_;
  On<CudaContext> on_;
  float* x_;
};

/// How often `said` names `cause` in a warning.
int warnings(const std::string& said, const std::string& cause) {
  int found = 0;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);)
    found += line.starts_with("warning: ") && contains(line, cause);
  return found;
}

/// What `body` says on stderr.
std::string said_by(const std::function<void()>& body) {
  return captured([&] {
           body();
           return 0;
         })
      .err;
}

}  // namespace

TEST_CASE("work that cannot be recorded runs op by op, and one warning says why") {
  if (!has_gpu()) return;
  Counter counter;
  const auto work = [&] {
    counter.add();
    if (counter.context().recording()) fail(ErrorKind::device, "no recording of this work");
    counter.add();
  };
  CapturedWork recorded(Device::cuda(), work), another(Device::cuda(), work);
  const std::int64_t launches = counter.context().launches();
  const std::string said = said_by([&] {
    for (int i = 0; i < 5; ++i) recorded();
    for (int i = 0; i < 3; ++i) another();
  });
  CHECK(recorded.graph() == nullptr);
  CHECK(another.graph() == nullptr);
  CHECK(counter.value() == 16);
  CHECK(counter.context().launches() == launches + 16);
  CHECK(warnings(said, "no recording of this work") == 1);
  CHECK_THAT(said, Contains("SHATTER_GRAPHS=0"));
  CHECK_FALSE(counter.context().recording());

  CapturedWork other(Device::cuda(), [&] { counter.add(); });
  for (int i = 0; i < 3; ++i) other();
  CHECK(other.graph() != nullptr);
  CHECK(counter.value() == 19);
}

TEST_CASE("an error of the work itself stays what it was") {
  if (!has_gpu()) return;
  Counter counter;
  bool fails = false;
  const auto failing = [&](auto error) {
    return CapturedWork(Device::cuda(), [&counter, &fails, error] {
      counter.add();
      if (fails) throw error;
    });
  };
  CapturedWork usage = failing(Error("a wrong argument"));
  CapturedWork memory = failing(OutOfMemory("no more memory"));
  CapturedWork device = failing(Error("a broken device", ErrorKind::device));
  CapturedWork foreign = failing(std::runtime_error("another's error"));
  usage(), memory(), device(), foreign();
  CHECK(counter.value() == 4);
  fails = true;
  const std::string said = said_by([&] {
    CHECK_THROWS_WITH(usage(), "a wrong argument");
    CHECK_THROWS_AS(memory(), OutOfMemory);
    CHECK_THROWS_WITH(foreign(), "another's error");
    CHECK(counter.value() == 4);  // none of them ran
    CHECK_THROWS_WITH(device(), "a broken device");
    CHECK(counter.value() == 5);  // this one did, up to its error
  });
  CHECK(said.empty());
  fails = false;
  for (CapturedWork* const recorded : {&usage, &memory, &device, &foreign}) {
    (*recorded)();
    CHECK(recorded->graph() != nullptr);
  }
  CHECK(counter.value() == 9);
}

TEST_CASE("within another recording the work is a part of that") {
  if (!has_gpu()) return;
  Counter counter;
  CapturedWork inner(Device::cuda(), [&] { counter.add(); });
  for (int i = 0; i < 2; ++i) inner();
  REQUIRE(inner.graph() != nullptr);
  CapturedWork fresh(Device::cuda(), [&] { counter.add(); });
  CapturedWork outer(Device::cuda(), [&] { inner(), fresh(); });
  for (int i = 0; i < 3; ++i) outer();
  CHECK(outer.graph() != nullptr);
  CHECK(counter.value() == 2 + 6);
}

#if !defined(SHATTER_EMULATED)

TEST_CASE("a recording that the driver breaks off does not end the work") {
  if (!has_gpu()) return;
  Counter counter;
  CudaTimer timer(counter.context());
  CapturedWork recorded(Device::cuda(), [&] {
    timer.start();
    counter.add();
    timer.stop();  // waits, which no recording may
  });
  const std::int64_t launches = counter.context().launches();
  const std::string said = said_by([&] {
    for (int i = 0; i < 4; ++i) recorded();
  });
  CHECK(recorded.graph() == nullptr);
  CHECK(counter.value() == 4);
  CHECK(counter.context().launches() == launches + 4);
  CHECK(warnings(said, "CudaTimer") == 1);
}

#endif

TEST_CASE("SHATTER_GRAPHS decides whether anything is recorded", "[.graphs]") {
  Counter counter;
  try {
    CapturedWork recorded(Device::cuda(), [&] { counter.add(); });
    for (int i = 0; i < 3; ++i) recorded();
    std::cout << counter.value() << (recorded.graph() ? " with" : " without") << " a graph\n";
    const CapturedWork eager(
        Device::cuda(), [] {}, false),
        on_the_cpu(Device::cpu(), [] {});
  } catch (const Error& error) {
    std::cout << (error.kind() == ErrorKind::usage ? "usage: " : "") << error.what() << '\n';
  }
}

TEST_CASE("SHATTER_GRAPHS=0 switches recording off, 1 leaves it on, all else is an error") {
  if (!has_gpu()) return;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto output = [&](const char* value) {
    if (value) ::setenv("SHATTER_GRAPHS", value, 1);
    const Finished child = run_program(self, {"[.graphs]"});
    ::unsetenv("SHATTER_GRAPHS");
    INFO(child.err);
    return child.out;
  };
  CHECK_THAT(output("0"), Contains("3 without a graph"));
  CHECK_THAT(output("1"), Contains("3 with a graph"));
  CHECK_THAT(output(nullptr), Contains("3 with a graph"));
  for (const char* const wrong : {"", "2", "off"})
    CHECK_THAT(output(wrong), Contains(text("usage: SHATTER_GRAPHS=", wrong, ": expected 1")));
}

TEST_CASE("threads take turns in first runs and recordings, whatever ends or fails meanwhile") {
  if (!has_gpu()) return;
  std::atomic<int> inside = 0, most = 0;
  std::mutex mutex;  // over the next two
  std::vector<std::string> errors;
  std::vector<std::unique_ptr<CudaContext>> ended;
  const auto run = [&](int thread) {
    for (int round = 0; round < 3; ++round) {
      auto context = std::make_unique<CudaContext>(0);
      {
        const CudaContextGuard guard(*context);
        On<CudaContext> on(*context, "cuda");
        float *const x = on.put_value(1.0f), *const y = on.put_value(0.0f);
        bool fails = false, failed = false;
        CapturedWork recorded(Device::cuda(), [&] {
          const int now = ++inside;
          for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          // Makes the library's handle in its first run.
          kernels::matmul<float>(*context, {.m = 1, .n = 1, .k = 1}, 2, x, x, 0, y);
          context->copy(x, y, sizeof(float));
          --inside;
          if (fails) fail(ErrorKind::usage, "a wrong argument");
        });
        recorded();  // 2
        fails = true;
        try {
          if (thread % 2) recorded();
        } catch (const Error&) {
          failed = true;
        }
        fails = false;
        for (int i = 0; i < 3; ++i) recorded();  // 8, 128, 32768
        if (!recorded.graph() || failed != bool(thread % 2) || on.get(x)[0] != 32768) {
          const std::lock_guard lock(mutex);
          errors.push_back(text("thread ", thread, ", round ", round, ": ", on.get(x)[0]));
        }
      }
      // It ends in this thread or in another, while others record.
      const std::lock_guard lock(mutex);
      if (thread == 0) ended.clear();
      if (thread != 0) ended.push_back(std::move(context));
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        try {
          run(i);
        } catch (const std::exception& error) {
          const std::lock_guard lock(mutex);
          errors.push_back(error.what());
        }
      });
  }
  CHECK(errors.empty());
  CHECK(most == 1);
}

namespace {

using namespace shatter::experiments;

/// Everything a run shows: losses, epochs' records, the final state.
struct Trace {
  std::vector<double> losses;
  std::vector<std::string> records;
  std::vector<std::vector<double>> state;
  friend bool operator==(const Trace&, const Trace&) = default;
};

Trace trained(const TrainingTask& task, const CellConfig& config, bool capture) {
  CellTrainer trainer(config, task, {.device = Device::cuda(), .capture = capture});
  Trace trace;
  while (!trainer.finished()) {
    for (const double loss : trainer.advance(2)) trace.losses.push_back(loss);
    if (trainer.epoch_ended()) trace.records.push_back(to_json(*trainer.finish_epoch()).dump());
  }
  trace.records.push_back(to_json(*trainer.result()).dump());
  const NamedTensors state = trainer.state();
  for (const auto& [name, tensor] : state.tensors) trace.state.push_back(tensor.values<double>());
  for (const auto& [name, value] : state.metadata) trace.records.push_back(name + "=" + value);
  return trace;
}

/// Hands its input on, and looks at a value on the host: on the way forward or back.
struct Looking {
  bool back = false;
  Tensor operator()(const Tensor& x) const {
    if (!back) static_cast<void>(x.to(Device::cpu()));
    return record("looking", x, {x}, [looks = back](const Tensor& dy, const Needed&) {
      if (looks) static_cast<void>(dy.to(Device::cpu()));
      return std::vector<Tensor>{dy};
    });
  }
};

}  // namespace

TEST_CASE("training whose steps cannot be recorded gives the bits of eager training") {
  if (!has_gpu()) return;
  for (const bool back : {false, true}) {
    INFO("looks on the way " << (back ? "back" : "forward"));
    const CellConfig config = config_of("fp32");
    const auto task = [&] {
      TrainingTask made = task_of(config);
      Sequential net = tiny_net();
      made.model = Sequential(Conv2d({.in = 3, .out = 3, .kernel = 1}), Looking{back}, net);
      return made;
    };
    const Trace eager = trained(task(), config, false);
    CHECK(trained(task(), config, true) == eager);
  }
}

#if defined(SHATTER_EMULATED)

TEST_CASE("training whose recordings end in an error gives the bits of eager and recorded steps") {
  struct Failing {
    Failing() { emulation::set_recording_failure("a driver's refusal"); }
    ~Failing() { emulation::set_recording_failure(""); }
  };
  for (const char* const precision : {"fp32", "bf16"}) {
    INFO(precision);
    const CellConfig config = config_of(precision);
    const Trace eager = trained(task_of(config), config, false);
    REQUIRE(eager.losses.size() == 9);
    CHECK(trained(task_of(config), config, true) == eager);
    const Failing failing;
    Trace failed;
    const std::string said = said_by([&] { failed = trained(task_of(config), config, true); });
    CHECK(failed == eager);
    // The cause was said for the first precision already.
    CHECK(warnings(said, "a driver's refusal") == (precision == std::string("fp32")));
  }
}

#endif
