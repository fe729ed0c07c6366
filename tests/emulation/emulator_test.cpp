// The emulator itself: small kernels whose results, mistakes and limits are known. Contexts and
// graphs: tests/cuda/context_test.cpp.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/emulation/emulator.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

constexpr unsigned all_lanes = 0xffffffffu;

__global__ void write_place(unsigned* y) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  unsigned* const at = y + (block * threads + thread) * 6;
  at[0] = blockIdx.x, at[1] = blockIdx.y, at[2] = blockIdx.z;
  at[3] = threadIdx.x, at[4] = threadIdx.y, at[5] = threadIdx.z;
}

// The sum of each block's share of x; `barriers` is what a correct kernel has.
template <bool barriers>
__global__ void block_sums(const float* x, float* y) {
  __shared__ float share[128];
  const unsigned i = threadIdx.x;
  share[i] = x[blockIdx.x * 128 + i];
  for (unsigned half = 64; half > 0; half /= 2) {
    if (barriers) __syncthreads();
    if (i < half) share[i] += share[i + half];
  }
  if (i == 0) y[blockIdx.x] = share[0];
}

// The same in dynamic shared memory, its last 32 values by exchanges within a warp.
__global__ void block_sums_by_shuffles(const float* x, float* y) {
  float* const share = dynamic_shared<float>();
  const unsigned i = threadIdx.x;
  share[i] = x[blockIdx.x * 128 + i];
  __syncthreads();
  if (i >= 32) return;
  float sum = share[i] + share[i + 32] + share[i + 64] + share[i + 96];
  for (unsigned half = 16; half > 0; half /= 2) sum += __shfl_down_sync(all_lanes, sum, half);
  if (i == 0) y[blockIdx.x] = sum;
}

// Every exchange, y [5, 32].
__global__ void exchanges(int width, int argument, int* y) {
  const int lane = static_cast<int>(threadIdx.x);
  y[lane] = __shfl_sync(all_lanes, lane, argument, width);
  y[32 + lane] = __shfl_up_sync(all_lanes, lane, unsigned(argument), width);
  y[64 + lane] = __shfl_down_sync(all_lanes, lane, unsigned(argument), width);
  y[96 + lane] = __shfl_xor_sync(all_lanes, lane, argument, width);
  y[128 + lane] = static_cast<int>(__ballot_sync(all_lanes, lane % width == argument));
}

// The two halves of a warp meet apart from each other, the upper one more often.
__global__ void halves(int* y) {
  __shared__ int share[32];
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  share[lane] = lane;
  __syncwarp(mask);
  int value = share[lane ^ 1];
  if (lane >= 16)
    for (int i = 0; i < 3; ++i) value = __shfl_xor_sync(mask, value, 2);
  y[lane] = value;
}

__global__ void different_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void barrier_and_exchange() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __shfl_sync(threadIdx.x == 40 ? 0x100u : all_lanes, 1, 0);
}
__global__ void ended_lane() {
  if (threadIdx.x != 7) __syncwarp();
}
__global__ void not_in_its_mask() {
  __syncwarp(0x1u);
}
__global__ void throws() {
  if (threadIdx.x == 3) fail(ErrorKind::device, "a thread's own error");
  __syncthreads();
}
__global__ void count_up(int* y) {
  y[thread_index()] += 1;
}
__global__ void write_at(float* y, int i) {
  y[i] = 1;
}

// A kernel that waits `rounds` times.
__global__ void wait_often(int rounds) {
  for (int i = 0; i < rounds; ++i) __syncthreads();
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// How a child process that runs `work` ends: 0, an exit status, or minus a signal. Its standard
// error comes back in *said.
int ending(const std::function<void()>& work, std::string* said = nullptr) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT}) std::signal(signal, SIG_DFL);
    dup2(pipe_ends[1], STDERR_FILENO);
    try {
      work();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      _exit(1);
    }
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string text;
  char part[256];
  for (ssize_t n; (n = read(pipe_ends[0], part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(n));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (said) *said = text;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a grid runs every thread of every block once, by its place in three dimensions") {
  const dim3 grid(3, 2, 4), threads(5, 3, 2);
  std::vector<unsigned> expected;
  for (unsigned bz = 0; bz < 4; ++bz)
    for (unsigned by = 0; by < 2; ++by)
      for (unsigned bx = 0; bx < 3; ++bx)
        for (unsigned tz = 0; tz < 2; ++tz)
          for (unsigned ty = 0; ty < 3; ++ty)
            for (unsigned tx = 0; tx < 5; ++tx)
              for (const unsigned i : {bx, by, bz, tx, ty, tz}) expected.push_back(i);
  on_cuda([&](auto& on) {
    unsigned* const y = on.template make<unsigned>(std::int64_t(expected.size()));
    launch(on.context, "write_place", {grid, threads}, write_place, y);
    REQUIRE(on.result(y) == expected);
  });
}

TEST_CASE("an empty grid launches nothing") {
  CudaContext context;
  const auto before = context.launches();
  launch(context, "count_up", {dim3(0), dim3(32)}, count_up, nullptr);
  REQUIRE(context.launches() == before);
}

TEST_CASE("barriers and shared memory give a block's sum in every thread order") {
  std::vector<float> x(3 * 128), expected(3);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = float(i % 37);
    expected[i / 128] += x[i];
  }
  on_cuda([&](auto& on) {
    const float* const there = on.put(x);
    float* const y = on.template make<float>(3);
    launch(on.context, "block_sums", {dim3(3), dim3(128)}, block_sums<true>, there, y);
    REQUIRE(on.result(y) == expected);
    float* const z = on.template make<float>(3);
    launch(on.context, "block_sums_by_shuffles", {dim3(3), dim3(128), 512}, block_sums_by_shuffles,
           there, z);
    REQUIRE(on.result(z) == expected);
  });
}

TEST_CASE("a kernel without its barriers is wrong in some thread order") {
  const std::vector<float> x(128, 1.0f);
  CudaContext context;
  On<CudaContext> on(context, "emulated");
  const float* const there = on.put(x);
  int wrong = 0;
  using emulation::ThreadOrder;
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::shuffled}) {
    emulation::set_thread_order(order);
    float* const y = on.make<float>(1);
    launch(context, "block_sums", {dim3(1), dim3(128)}, block_sums<false>, there, y);
    wrong += on.get(y)[0] != 128;
  }
  REQUIRE(wrong > 0);
}

TEST_CASE("exchanges within a warp follow their widths") {
  for (const int width : {32, 16, 8, 4, 2, 1})
    for (const int argument : {0, 1, 2, 5, 15, 31}) {
      CAPTURE(width, argument);
      std::vector<int> expected(160);
      for (int lane = 0; lane < 32; ++lane) {
        const int first = lane / width * width, place = lane - first;
        const auto at = [&](int row) -> int& { return expected[std::size_t(row * 32 + lane)]; };
        at(0) = first + argument % width;
        at(1) = place >= argument ? lane - argument : lane;
        at(2) = place + argument < width ? lane + argument : lane;
        at(3) = (lane ^ argument) / width == lane / width ? lane ^ argument : lane;
        unsigned votes = 0;
        for (int i = 0; i < 32; ++i) votes |= unsigned(i % width == argument) << i;
        at(4) = static_cast<int>(votes);
      }
      on_cuda([&](auto& on) {
        int* const y = on.template make<int>(160);
        launch(on.context, "exchanges", {dim3(1), dim3(32)}, exchanges, width, argument, y);
        REQUIRE(on.result(y) == expected);
      });
    }
}

TEST_CASE("parts of a warp meet apart from each other") {
  std::vector<int> expected;
  for (int lane = 0; lane < 32; ++lane) expected.push_back(lane < 16 ? lane ^ 1 : lane ^ 3);
  on_cuda([&](auto& on) {
    int* const y = on.template make<int>(32);
    launch(on.context, "halves", {dim3(1), dim3(32)}, halves, y);
    REQUIRE(on.result(y) == expected);
  });
}

TEST_CASE("threads that wait for each other in vain are an error that names the kernel") {
  using emulation::ThreadOrder;
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::shuffled}) {
    emulation::set_thread_order(order);
    CudaContext context;
    const auto message = [&](const char* name, void (*kernel)()) {
      return message_of([&] { launch(context, name, {dim3(2), dim3(64)}, kernel); });
    };
    REQUIRE_THAT(message("different_barriers", different_barriers),
                 Contains("different_barriers: deadlock in block") && Contains("__syncthreads"));
    REQUIRE_THAT(message("barrier_and_exchange", barrier_and_exchange),
                 Contains("barrier_and_exchange: ") && Contains("emulator_test.cpp"));
    REQUIRE_THAT(message("ended_lane", ended_lane),
                 Contains("ended_lane: deadlock") && Contains("thread 7 has ended"));
    REQUIRE_THAT(message("not_in_its_mask", not_in_its_mask), Contains("not_in_its_mask"));
    REQUIRE_THAT(message("throws", throws), Contains("a thread's own error"));
    // The emulator is as good as new.
    On<CudaContext> on(context, "emulated");
    int* const y = on.put(std::vector<int>(64));
    launch(context, "count_up", {dim3(2), dim3(32)}, count_up, y);
    REQUIRE(on.get(y) == std::vector<int>(64, 1));
  }
}

TEST_CASE("more than a GPU has is refused by the kernel's name") {
  CudaContext context;
  const auto message = [&](const LaunchShape& shape) {
    return message_of([&] { launch(context, "count_up", shape, count_up, nullptr); });
  };
  REQUIRE_THAT(message({dim3(1), dim3(1025)}), Contains("count_up") && Contains("1025"));
  REQUIRE_THAT(message({dim3(1), dim3(32, 64)}), Contains("count_up"));
  REQUIRE_THAT(message({dim3(1), dim3(1, 1, 65)}), Contains("count_up"));
  REQUIRE_THAT(message({dim3(1), dim3(0)}), Contains("count_up"));
  REQUIRE_THAT(message({dim3(1, 65536), dim3(32)}), Contains("65536"));
  REQUIRE_THAT(message({dim3(1, 1, 65536), dim3(32)}), Contains("65536"));
  REQUIRE_THAT(message({dim3(1), dim3(32), 228 * 1024}), Contains("shared memory"));
}

TEST_CASE("the host cannot touch device memory") {
  CudaContext context;
  auto* const y = static_cast<volatile float*>(context.allocate(4096));
  const int expected = ending([] { std::raise(SIGSEGV); });
  REQUIRE(expected == -SIGSEGV);
  REQUIRE(ending([&] { static_cast<void>(y[0]); }) != 0);
  REQUIRE(ending([&] { y[0] = 1; }) != 0);
  launch(context, "write_at", {dim3(1), dim3(1)}, write_at, const_cast<float*>(y), 5);
  float value = 0;
  context.copy_to_host(&value, const_cast<float*>(y + 5), 4);
  REQUIRE(value == 1);
  REQUIRE(ending([&] { static_cast<void>(y[5]); }) != 0);
  context.free(const_cast<float*>(y), 4096);
}

TEST_CASE("a write beside a block names the kernel") {
  for (const int place : {-1, 3}) {
    std::string said;  // in a process of its own, which AddressSanitizer ends
    REQUIRE(ending(
                [&] {
                  CudaContext context;
                  auto* const y = static_cast<float*>(context.allocate(12));
                  launch(context, "write_at", {dim3(1), dim3(1)}, write_at, y, place);
                },
                &said) != 0);
    REQUIRE_THAT(said, Contains("write_at"));
  }
}

TEST_CASE("device memory starts as NaN and is given again by the same context") {
  CudaContext context;
  auto* const y = static_cast<float*>(context.allocate(400));
  REQUIRE(reinterpret_cast<std::uintptr_t>(y) % 256 == 0);
  launch(context, "write_at", {dim3(1), dim3(1)}, write_at, y, 0);
  context.free(y, 400);
  auto* const again = static_cast<float*>(context.allocate(400));
  REQUIRE(again == y);
  float value = 0;
  context.copy_to_host(&value, again, 4);
  REQUIRE(std::isnan(value));
  context.free(again, 400);
}

TEST_CASE("the emulator's speed", "[.speed]") {
  CudaContext context;
  const int rounds = 20000, threads = 128;
  const auto begin = std::chrono::steady_clock::now();
  launch(context, "wait_often", {dim3(1), dim3(threads)}, wait_often, rounds);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  WARN("a barrier takes " << time.count() / rounds / threads * 1e9 << " ns for each thread");
}
