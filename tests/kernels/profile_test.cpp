// The profile by kernel: what counts, how often, with how much work, and in what time.
#include <shatter/kernels/profile.h>

#include <barrier>
#include <chrono>
#include <map>
#include <thread>

#include <shatter/core/captured_work.h>
#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/pool2d.h>
#include <shatter/kernels/reduce.h>

#include "tests/support/catch.h"
#include "tests/support/devices.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

/// A fresh profile, on while it lives.
struct Profiling {
  Profiling() {
    reset_profile();
    enable_profile(true);
  }
  ~Profiling() {
    enable_profile(false);
    reset_profile();
  }
  std::map<std::string, ProfileRow> rows() const {
    std::map<std::string, ProfileRow> by_name;
    for (const ProfileRow& row : profile_rows()) by_name[row.name] = row;
    return by_name;
  }
};

double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

void check_row(const std::map<std::string, ProfileRow>& rows, const std::string& name,
               std::int64_t calls, std::int64_t flop, std::int64_t bytes) {
  INFO(name);
  REQUIRE(rows.count(name) == 1);
  const ProfileRow& row = rows.at(name);
  CHECK(row.calls == calls);
  CHECK(row.work.flop == flop);
  CHECK(row.work.bytes == bytes);
  CHECK(row.seconds > 0);
}

}  // namespace

TEST_CASE("Calls, arithmetic and traffic of kernels are counted exactly, within the time") {
  on_devices([](auto& on) {
    const std::vector<float> ones(1000, 1.0f);
    const float* const x = on.put(ones);
    float* const y = on.template make<float>(1000);
    float* const w = on.put(std::vector<float>(60, 1.0f));
    const double* const rate = on.put_value(0.5);
    const Profiling profiling;
    const double begin = now();
    // c [3, 5] of inner extent 7, twice; the second time c is read too.
    matmul(on.context, {.m = 3, .n = 5, .k = 7}, 1.0f, x, x, 0.0f, y);
    matmul(on.context, {.m = 3, .n = 5, .k = 7}, 1.0f, x, x, 1.0f, y);
    unary_forward(on.context, UnaryOp::relu, 100, x, y);
    unary_forward(on.context, UnaryOp::exp, 10, x, y);
    // [4, 6] plus a row of 6.
    BroadcastGeometry sum;
    sum.shape = {1, 1, 1, 1, 4, 6};
    sum.a_step = {0, 0, 0, 0, 6, 1};
    sum.b_step = {0, 0, 0, 0, 0, 1};
    binary(on.context, BinaryOp::add, sum, x, x, y);
    // 2 images of 5 x 5 x 3, 4 filters of 3 x 3: 3 x 3 pixels out.
    const Conv2dGeometry conv{.windows = {.n = 2, .h = 5, .w = 5, .r = 3, .s = 3}, .c = 3, .k = 4};
    const float* const none = nullptr;
    conv2d_forward(on.context, conv, x, x, none, y, Conv2dAlgorithm::im2col);
    avg_pool2d_forward(on.context, {.windows = {.n = 2, .h = 4, .w = 4, .r = 2, .s = 2}, .c = 3}, x,
                       y);
    reduce_rows(on.context, 11, 13, x, 13, y);
    const std::vector<UpdateTensor<float>> tensors = {{.w = w, .dw = x, .n = 40},
                                                      {.w = w + 40, .dw = x, .n = 20}};
    update<float>(on.context, SgdRule{}, tensors, {.rate = rate});
    const auto rows = profiling.rows();
    const double wall = now() - begin;

    check_row(rows, "matmul", 2, 2 * 2 * 3 * 5 * 7, 4 * (2 * (3 * 7 + 7 * 5) + 3 * 3 * 5));
    check_row(rows, "unary_forward relu", 1, 100, 4 * 200);
    check_row(rows, "unary_forward exp", 1, 10, 4 * 20);
    check_row(rows, "binary add", 1, 24, 4 * (24 + 6 + 24));
    // The product inside the convolution, where there is one, is not counted again.
    check_row(rows, "conv2d_forward im2col", 1, 2 * 2 * 9 * 4 * 27,
              4 * (2 * 75 + 2 * 9 * 4 + 4 * 27));
    check_row(rows, "avg_pool2d_forward", 1, 2 * 9 * 3 * 4, 4 * (2 * 16 * 3 + 2 * 9 * 3));
    check_row(rows, "reduce_rows", 1, 11 * 13, 4 * (11 * 13 + 13));
    check_row(rows, "sgd_update", 1, 4 * 60, 4 * 3 * 60);
    CHECK(rows.size() == 8);
    double seconds = 0;
    for (const auto& [name, row] : rows) seconds += row.seconds;
    CHECK(seconds <= wall);
    CHECK(profile_kernels_at_once() == 1);
  });
}

TEST_CASE("Rows come by falling time, off or forgotten there are none") {
  on_devices([](auto& on) {
    float* const y = on.template make<float>(10);
    reset_profile();
    fill(on.context, 10, 1.0f, y);
    CHECK(profile_rows().empty());
    const Profiling profiling;
    {
      const ProfileScope scope(on.context, "long", {});
      if constexpr (std::is_same_v<std::decay_t<decltype(on.context)>, CpuContext>)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      else
        for (int i = 0; i < 100; ++i) fill(on.context, 10, 1.0f, y);
    }
    fill(on.context, 10, 1.0f, y);
    const std::vector<ProfileRow> rows = profile_rows();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].name == "long");
    CHECK(rows[1].name == "fill");
    CHECK(rows[1].calls == 1);
    CHECK(rows[0].seconds > rows[1].seconds);
    enable_profile(false);
    fill(on.context, 10, 1.0f, y);
    CHECK(profile_rows()[1].calls == 1);
    reset_profile();
    CHECK(profile_rows().empty());
    CHECK(profile_kernels_at_once() == 0);
  });
}

TEST_CASE("A kernel that throws ends its call, and more calls than wait at once are all counted") {
  CpuContext context(1);
  std::vector<float> y(4);
  const Profiling profiling;
  CHECK_THROWS_AS(max_pool2d_forward<float>(
                      context, {.windows = {.n = 1, .h = 40, .w = 40, .r = 40, .s = 40}, .c = 1},
                      y.data(), y.data(), nullptr),
                  Error);
  for (int i = 0; i < 5000; ++i) fill(context, 4, 1.0f, y.data());
  CHECK(profiling.rows().at("fill").calls == 5000);
  CHECK(profile_kernels_at_once() == 1);
}

TEST_CASE("Kernels on several threads add up") {
  const Profiling profiling;
  std::barrier both(2);
  const double begin = now();
  const auto work = [&] {
    CpuContext context(1);
    {
      const ProfileScope scope(context, "together", {.flop = 3, .bytes = 5}, "twice");
      both.arrive_and_wait();
    }
    std::vector<float> y(100);
    for (int i = 0; i < 1000; ++i) fill(context, 100, 1.0f, y.data());
  };
  std::thread other(work);
  work();
  other.join();
  const double wall = now() - begin;
  const auto rows = profiling.rows();
  check_row(rows, "together twice", 2, 6, 10);
  check_row(rows, "fill", 2000, 0, 2000 * 400);
  CHECK(profile_kernels_at_once() == 2);
  CHECK(rows.at("together twice").seconds + rows.at("fill").seconds <= 2 * wall);
}

TEST_CASE("CapturedWork kernels do not count, and while a profile is on nothing is recorded") {
  on_cuda([](auto& on) {
    float* const y = on.template make<float>(10);
    const Profiling profiling;
    const auto work = [&] { fill(on.context, 10, 1.0f, y); };
    work();
    CudaGraph graph(on.context, work);
    graph.replay();
    on.context.synchronize();
    CHECK(profiling.rows().at("fill").calls == 1);

    const CudaContextGuard guard(on.context);
    CapturedWork recorded(Device::cuda(), work);
    for (int i = 0; i < 3; ++i) recorded();
    CHECK(recorded.graph() == nullptr);
    CHECK(profiling.rows().at("fill").calls == 4);
    enable_profile(false);
    recorded();
    CHECK(recorded.graph() != nullptr);
    enable_profile(true);
    recorded();
    CHECK(profiling.rows().at("fill").calls == 5);
  });
}
