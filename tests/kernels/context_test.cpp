// Thread pool, context stack, library state and the caching allocator.
#include <atomic>
#include <cstdlib>
#include <set>
#include <thread>

#include <shatter/kernels/caching_allocator.h>
#include <shatter/kernels/context.h>
#include <shatter/kernels/error.h>

#include "tests/support/buffer.h"
#include "tests/support/catch.h"
#include "tests/support/devices.h"

using namespace shatter;
using namespace shatter::test;

TEST_CASE("SHATTER_TEST_DEVICES=cuda leaves the CPU out of kernel tests where there is CUDA") {
  const char* const before = std::getenv("SHATTER_TEST_DEVICES");
  const std::string kept = before ? before : "all";
  const auto seen = [](const char* devices) {
    setenv("SHATTER_TEST_DEVICES", devices, 1);
    std::set<std::string> backends;
    on_devices([&](auto& on) {
      const bool cpu = std::is_same_v<std::decay_t<decltype(on.context)>, CpuContext>;
      backends.insert(cpu ? "cpu" : "cuda");
    });
    return backends;
  };
  const bool cuda = has_cuda();
  const std::set<std::string> all = seen("all"), some = seen("cuda");
  setenv("SHATTER_TEST_DEVICES", kept.c_str(), 1);
  CHECK(all == (cuda ? std::set<std::string>{"cpu", "cuda"} : std::set<std::string>{"cpu"}));
  CHECK(some == std::set<std::string>{cuda ? "cuda" : "cpu"});
}

TEST_CASE("parallel visits every chunk once") {
  for (CpuContext* context : contexts())
    for (const std::int64_t chunks : {0, 1, 2, 3, 31, 1003}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(chunks));
      context->parallel(chunks, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
      for (const auto& count : visits) REQUIRE(count == 1);
    }
}

TEST_CASE("parallel uses the threads it was given") {
  CpuContext context(3);
  REQUIRE(context.threads() == 3);
  std::set<std::thread::id> seen;
  std::mutex mutex;
  std::atomic<int> arrived{0};
  context.parallel(3, [&](std::int64_t) {
    ++arrived;
    while (arrived < 3) std::this_thread::yield();  // ends only if three threads are here at once
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  REQUIRE(seen.size() == 3);
}

TEST_CASE("parallel_for covers the items in ranges of the grain") {
  CpuContext context(2);
  std::vector<int> lengths(4);
  context.parallel_for(10, 3, [&](std::int64_t begin, std::int64_t end) {
    lengths[static_cast<std::size_t>(begin / 3)] = static_cast<int>(end - begin);
  });
  REQUIRE(lengths == std::vector<int>{3, 3, 3, 1});
  context.parallel_for(0, 3, [&](std::int64_t, std::int64_t) { FAIL("no items"); });
}

TEST_CASE("parallel called from a body runs inline") {
  CpuContext context(3);
  std::atomic<int> count{0};
  context.parallel(8, [&](std::int64_t) {
    const auto self = std::this_thread::get_id();
    context.parallel(5, [&](std::int64_t) {
      if (std::this_thread::get_id() == self) ++count;
    });
  });
  REQUIRE(count == 40);
}

TEST_CASE("parallel rethrows an exception and works afterwards") {
  for (CpuContext* context : contexts()) {
    for (int repeat = 0; repeat < 20; ++repeat)
      REQUIRE_THROWS_WITH(context->parallel(50,
                                            [](std::int64_t i) {
                                              if (i == 7) throw Error("chunk seven");
                                            }),
                          "chunk seven");
    std::atomic<int> count{0};
    context->parallel(50, [&](std::int64_t) { ++count; });
    REQUIRE(count == 50);
  }
}

TEST_CASE("one context serves several calling threads") {
  CpuContext context(2);
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat)
        context.parallel(4, [&](std::int64_t) { ++count; });
    });
  for (std::thread& caller : callers) caller.join();
  REQUIRE(count == 3 * 200 * 4);
}

TEST_CASE("parallel survives many short jobs and pauses") {
  CpuContext context(3);
  std::int64_t total = 0;
  for (int repeat = 0; repeat < 3000; ++repeat) {
    std::array<std::int64_t, 5> part{};
    context.parallel(5, [&](std::int64_t i) { part[static_cast<std::size_t>(i)] = i; });
    for (const std::int64_t value : part) total += value;
    if (repeat % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  REQUIRE(total == 3000 * 10);
}

TEST_CASE("a context refuses a negative number of threads") {
  REQUIRE_THROWS_AS(CpuContext(-1), Error);
  REQUIRE_THROWS_AS(set_cpu_threads(-2), Error);
  REQUIRE(CpuContext(0).threads() >= 1);
}

TEST_CASE("inside a body the context is the one that runs it, on every thread") {
  CpuContext outer(1);
  const CpuContextGuard guard(outer);
  for (const int threads : {1, 3}) {
    CpuContext context(threads);
    std::atomic<int> others = 0;
    context.parallel(64, [&](std::int64_t) {
      if (&cpu_context() != &context) ++others;
      std::this_thread::yield();
    });
    REQUIRE(others == 0);
    REQUIRE(&cpu_context() == &outer);
  }
}

TEST_CASE("guards nest, and set_cpu_threads sets the shared context") {
  set_cpu_threads(3);
  REQUIRE(cpu_context().threads() == 3);
  CpuContext outer(1), inner(2);
  {
    const CpuContextGuard outer_guard(outer);
    REQUIRE(&cpu_context() == &outer);
    {
      const CpuContextGuard inner_guard(inner);
      REQUIRE(&cpu_context() == &inner);
    }
    REQUIRE(&cpu_context() == &outer);
    std::thread([&] { CHECK(cpu_context().threads() == 3); }).join();
  }
  REQUIRE(cpu_context().threads() == 3);
  set_cpu_threads(0);
  REQUIRE(cpu_context().threads() >= 1);
}

namespace {

struct Counted {
  static inline int alive = 0;
  int value = 5;
  Counted() { ++alive; }
  ~Counted() { --alive; }
};

}  // namespace

TEST_CASE("state is made once for each context and dies with it") {
  {
    CpuContext a(1), b(1);
    a.state<Counted>().value = 6;
    REQUIRE(a.state<Counted>().value == 6);
    REQUIRE(b.state<Counted>().value == 5);
    REQUIRE(Counted::alive == 2);
  }
  REQUIRE(Counted::alive == 0);
}

TEST_CASE("the allocator aligns, counts and reuses blocks") {
  cpu_release_cache();
  const AllocatorStatistics before = cpu_allocator_statistics();
  REQUIRE(before.cached_bytes == 0);
  for (const std::size_t bytes : {0u, 1u, 63u, 64u, 65u, 1000u, 123457u}) {
    void* memory = cpu_allocate(bytes);
    REQUIRE(memory != nullptr);
    REQUIRE(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0);
    std::memset(memory, 1, bytes);
    REQUIRE(cpu_allocator_statistics().live_bytes >=
            before.live_bytes + static_cast<std::int64_t>(bytes));
    cpu_free(memory, bytes);
  }
  REQUIRE(cpu_allocator_statistics().live_bytes == before.live_bytes);
  REQUIRE(cpu_allocator_statistics().peak_bytes >= before.live_bytes + 123457);
  cpu_free(nullptr, 100);

#if !defined(__SANITIZE_ADDRESS__)
  REQUIRE(cpu_allocator_statistics().cached_bytes > 0);
  void* first = cpu_allocate(100000);
  cpu_free(first, 100000);
  const std::int64_t asked = cpu_allocator_statistics().system_allocations;
  void* second = cpu_allocate(99999);  // the same size class
  REQUIRE(second == first);
  REQUIRE(cpu_allocator_statistics().system_allocations == asked);
  cpu_free(second, 99999);
#endif
  cpu_release_cache();
  REQUIRE(cpu_allocator_statistics().cached_bytes == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("the allocator reports exhaustion as an unexpected Error with the sizes") {
  for (const std::size_t bytes : {std::size_t{1} << 60, SIZE_MAX - 3}) try {
      cpu_allocate(bytes);
      FAIL("allocated");
    } catch (const Error& error) {
      REQUIRE(error.kind() == ErrorKind::unexpected);
      REQUIRE_THAT(error.what(), Contains(std::to_string(bytes)));
    }
}
#endif

namespace {

/// So many bytes and no more; counts what comes back.
struct SmallSource : MemorySource {
  std::size_t left = 1024, given_back = 0;
  void* obtain(std::size_t bytes) override {
    if (bytes > left) return nullptr;
    left -= bytes;
    return ::operator new(bytes);
  }
  void give_back(void* block, std::size_t bytes) noexcept override {
    ::operator delete(block);
    left += bytes;
    given_back += bytes;
  }
};

}  // namespace

TEST_CASE("kept blocks make room for another size, but not while a graph's pool is current") {
  SmallSource source;
  CachingAllocator allocator(source, 64);
  allocator.free(allocator.allocate(512), 512);
  const auto pool = std::make_shared<CachingAllocator::Pool>();
  allocator.begin_pool(pool);
  REQUIRE(allocator.allocate(1024) == nullptr);
  REQUIRE(source.given_back == 0);
  allocator.end_pool();
  void* const block = allocator.allocate(1024);
  REQUIRE(block != nullptr);
  REQUIRE(source.given_back == 512);
  allocator.free(block, 1024);
  allocator.release();
}

TEST_CASE("blocks go back to the source while the allocator is free for other threads") {
  struct Asking final : SmallSource {
    CachingAllocator* allocator = nullptr;
    int asked = 0;
    void give_back(void* block, std::size_t bytes) noexcept override {
      std::thread([&] { asked += allocator->statistics().system_allocations > 0; }).join();
      SmallSource::give_back(block, bytes);
    }
  } source;
  CachingAllocator allocator(source, 64);
  source.allocator = &allocator;
  allocator.free(allocator.allocate(512), 512);
  void* const block = allocator.allocate(1024);  // makes room
  CHECK(source.asked == 1);
  allocator.free(block, 1024);
  allocator.release();
  CHECK(source.asked == 2);
  void* const late = allocator.allocate(512);
  allocator.close();
  allocator.free(late, 512);
  CHECK(source.asked == 3);
}

TEST_CASE("the allocator serves threads at once") {
  CpuContext context(3);
  const std::int64_t before = cpu_allocator_statistics().live_bytes;
  context.parallel(300, [](std::int64_t i) {
    const auto bytes = static_cast<std::size_t>(i % 7 * 1000 + 1);
    auto* memory = static_cast<unsigned char*>(cpu_allocate(bytes));
    memory[bytes - 1] = static_cast<unsigned char>(i);
    cpu_free(memory, bytes);
  });
  REQUIRE(cpu_allocator_statistics().live_bytes == before);
}

TEST_CASE("the exception of the lowest chunk is rethrown, whatever the timing") {
  CpuContext context(3);
  for (int repeat = 0; repeat < 300; ++repeat) {
    try {
      context.parallel(8, [](std::int64_t i) {
        if (i == 2) std::this_thread::sleep_for(std::chrono::microseconds(200));
        if (i >= 2) throw std::runtime_error(std::to_string(i));
      });
      FAIL("nothing was thrown");
    } catch (const std::runtime_error& error) {
      REQUIRE(error.what() == std::string("2"));
    }
  }
}
