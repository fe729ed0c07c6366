// Contexts, their memory and their graphs: what the emulation and the CUDA runtime have in common.
#include <shatter/kernels/cuda/context.h>

#include <memory>
#include <thread>

#include <shatter/core/captured_work.h>
#include <shatter/kernels/conv2d.h>
#include <shatter/kernels/cuda/conv2d_plans.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/matmul.h>

#include "tests/cuda/gpu.h"
#include "tests/support/devices.h"
#include "tests/support/tolerance.h"

using namespace shatter;
using namespace shatter::kernels;
using namespace shatter::test;

namespace {

constexpr std::int64_t count = 64;
constexpr std::size_t bytes = count * sizeof(float);

std::vector<float> all(float value) {
  return std::vector<float>(count, value);
}

/// x += 1 for n of them: one launch.
void count_up(CudaContext& context, float* x, std::int64_t n = count) {
  affine<float>(context, n, 1, 1, x, x);
}

/// Whether there is a GPU. Its kernel for count_up is loaded then: no recording launches it first.
bool ready() {
  if (!has_gpu()) return false;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  float* const x = on.put(all(0));
  count_up(context, x);
  count_up(context, x, 1);
  context.synchronize();
  return true;
}

float* allocated(CudaContext& context) {
  return static_cast<float*>(context.allocate(bytes));
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

struct Kept {
  explicit Kept(CudaContext&) {}
};

/// A product by the library and a convolution by cuDNN (or what stands for them), which make
/// handles and a plan in their first run.
class Products {
 public:
  explicit Products(CudaContext& context)
      : on_(context, "cuda"),
        a_(on_.put(random_values<float>(48, 1))),
        b_(on_.put(random_values<float>(48, 2))),
        x_(on_.put(random_values<float>(2 * 6 * 6 * 4, 3))),
        w_(on_.put(random_values<float>(8 * 3 * 3 * 4, 4))),
        c_(on_.make<float>(36)),
        y_(on_.make<float>(2 * 4 * 4 * 8)) {}

  void run() {
    matmul<float>(on_.context, {.m = 6, .n = 6, .k = 8}, 1, a_, b_, 0, c_);
    conv2d_forward<float>(on_.context, geometry, x_, w_, nullptr, y_, Conv2dAlgorithm::cudnn);
  }
  std::vector<float> result() {
    std::vector<float> values = on_.get(c_);
    for (const float value : on_.get(y_)) values.push_back(value);
    return values;
  }

 private:
  static constexpr Conv2dGeometry geometry{
      .windows = {.n = 2, .h = 6, .w = 6, .r = 3, .s = 3}, .c = 4, .k = 8};
  On<CudaContext> on_;
  float *a_, *b_, *x_, *w_, *c_, *y_;
};

}  // namespace

TEST_CASE("memory that runs out is an error with the numbers, and the context works on") {
  if (!ready()) return;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  const std::size_t much = 2 * context.properties().memory;
  for (const std::size_t size : {much, SIZE_MAX}) {
    try {
      context.allocate(size);
      FAIL("allocated");
    } catch (const OutOfMemory& error) {
      CHECK(error.kind() == ErrorKind::device);
      CHECK_THAT(error.what(), Contains(text("out of memory: ", size, " bytes asked for")));
    }
  }
  float* const x = on.put(all(1));
  count_up(context, x);
  CHECK(on.get(x) == all(2));
}

TEST_CASE("memory that runs out takes what is kept for reuse") {
  if (!ready()) return;
  CudaContext context;
  context.free(context.allocate(1 << 20), 1 << 20);
  CHECK_THROWS_AS(context.allocate(2 * context.properties().memory), OutOfMemory);
  CHECK(context.allocator_statistics().cached_bytes == 0);
}

TEST_CASE("a graph records, replays, and counts") {
  if (!ready()) return;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  float* const x = on.put(all(0));
  float* const y = on.make<float>(count);
  const auto before = context.launches();
  CudaGraph graph(context, [&] {
    count_up(context, x);
    context.copy(y, x, bytes);
    count_up(context, y, 1);
  });
  REQUIRE(graph.nodes() == 3);
  REQUIRE(context.launches() == before);
  REQUIRE(on.get(x) == all(0));
  for (int i = 1; i <= 3; ++i) {
    graph.replay();
    std::vector<float> expected = all(float(i));
    REQUIRE(on.get(x) == expected);
    ++expected[0];
    REQUIRE(on.get(y) == expected);
  }
  REQUIRE(context.launches() == before + 6);
}

TEST_CASE("two graphs of a context replay in turn") {
  if (!ready()) return;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  float* const x = on.put(all(1));
  // Each with memory of its own for what lies between.
  const auto through = [&](float scale, float shift) {
    float* const between = allocated(context);
    affine<float>(context, count, scale, 0, x, between);
    affine<float>(context, count, 1, shift, between, x);
    context.free(between, bytes);
  };
  CudaGraph doubles(context, [&] { through(2, 1); });
  CudaGraph triples(context, [&] { through(3, -2); });
  float expected = 1;
  for (int i = 0; i < 4; ++i) {
    doubles.replay();
    triples.replay();
    expected = 3 * (2 * expected + 1) - 2;
  }
  CHECK(on.get(x) == all(expected));
}

TEST_CASE("a graph keeps its memory from others while it lives") {
  if (!ready()) return;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  float* const result = on.make<float>(count);
  context.free(context.allocate(bytes), bytes);  // one block lies free in the common pool
  float *first = nullptr, *second = nullptr;
  auto graph = std::make_unique<CudaGraph>(context, [&] {
    first = allocated(context);
    context.copy(first, result, bytes);
    count_up(context, first);
    context.copy(result, first, bytes);
    context.free(first, bytes);
    second = allocated(context);  // used again within the graph
    context.free(second, bytes);
  });
  REQUIRE(first == second);
  std::vector<float*> others;
  for (int i = 0; i < 4; ++i) {
    others.push_back(allocated(context));
    REQUIRE(others.back() != first);
  }
  const std::vector<float> zeros = all(0);
  context.copy_from_host(result, zeros.data(), bytes);
  context.copy_from_host(others[0], zeros.data(), bytes);
  graph->replay();
  graph->replay();
  REQUIRE(on.get(result) == all(2));
  std::vector<float> untouched = all(-1);
  context.copy_to_host(untouched.data(), others[0], bytes);
  REQUIRE(untouched == zeros);
  graph.reset();  // now the memory is anybody's
  others.push_back(allocated(context));
  REQUIRE(others.back() == first);
  for (float* const other : others) context.free(other, bytes);
}

TEST_CASE("a graph outlives another whose memory is used anew") {
  if (!ready()) return;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  float* const x = on.put(all(0));
  void* of_first = nullptr;
  const auto through_memory = [&] {
    float* const between = allocated(context);
    of_first = of_first ? of_first : between;
    affine<float>(context, count, 1, 1, x, between);
    context.copy(x, between, bytes);
    context.free(between, bytes);
  };
  auto first = std::make_unique<CudaGraph>(context, through_memory);
  CudaGraph second(context, through_memory);
  first->replay();
  second.replay();
  first.reset();
  float* const anew = on.put(all(7));  // with its margins larger than what the graphs use
  float* const in_its_place = allocated(context);
  CHECK(in_its_place == of_first);
  context.copy(in_its_place, anew, bytes);
  second.replay();
  CHECK(on.get(x) == all(3));
  std::vector<float> kept = all(0);
  context.copy_to_host(kept.data(), in_its_place, bytes);
  CHECK(kept == all(7));
  context.free(in_its_place, bytes);
}

TEST_CASE("a graph can have the memory that was kept for reuse") {
  if (!ready()) return;
  CudaContext context;
  context.free(context.allocate(1 << 20), 1 << 20);
  REQUIRE(context.allocator_statistics().cached_bytes == 1 << 20);
  const CudaGraph graph(context,
                        [&] { REQUIRE(context.allocator_statistics().cached_bytes == 0); });
}

TEST_CASE("memory of a graph that its work still holds comes back to the graph") {
  if (!ready()) return;
  CudaContext context;
  void* held = nullptr;
  auto graph = std::make_unique<CudaGraph>(context, [&] { held = context.allocate(512); });
  void* const other = context.allocate(512);
  REQUIRE(other != held);
  context.free(held, 512);
  void* const next = context.allocate(512);
  REQUIRE(next != held);
  graph.reset();
  void* const last = context.allocate(512);
  REQUIRE(last == held);
  for (void* const block : {other, next, last}) context.free(block, 512);
}

TEST_CASE("what cannot be recorded is refused, and a recording that failed leaves no trace") {
  if (!ready()) return;
  CudaContext context;
  On<CudaContext> on(context, "cuda");
  float* const x = on.put(all(0));
  float value = 0;
  void* const y = context.allocate(4);
  for (const auto& work : std::vector<std::function<void()>>{
           [&] { context.copy_from_host(y, &value, 4); },
           [&] { context.copy_to_host(&value, y, 4); }, [&] { context.synchronize(); },
           [&] { context.release_cache(); }, [&] { const CudaGraph inner(context, [] {}); },
           [&] { context.state<Kept>(); }}) {
    void *inside = nullptr, *held = nullptr;
    const std::int64_t launches = context.launches(), waits = context.waits();
    const std::int64_t live = context.allocator_statistics().live_bytes;
    REQUIRE_THAT(message_of([&] {
                   CudaGraph(context, [&] {
                     inside = context.allocate(1 << 20);
                     context.free(inside, 1 << 20);
                     held = context.allocate(512);
                     count_up(context, x);
                     work();
                   });
                 }),
                 Contains("while a graph is being recorded"));
    REQUIRE_FALSE(context.recording());
    REQUIRE(context.launches() == launches);
    REQUIRE(context.waits() == waits);
    void* const again = context.allocate(1 << 20);  // the failed graph's memory is not lost
    REQUIRE(again == inside);
    context.free(again, 1 << 20);
    context.free(held, 512);  // nor what its work kept
    REQUIRE(context.allocator_statistics().live_bytes == live);
    work();
    REQUIRE(on.get(x) == all(0));  // nothing of it ran
    CudaGraph graph(context, [&] { affine<float>(context, count, 1, 0, x, x); });
    graph.replay();
    context.release_cache();
  }
  count_up(context, x);
  CHECK(on.get(x) == all(1));
  context.free(y, 4);
}

TEST_CASE("handles and plans of the first run are used in the recording") {
  if (!ready()) return;
  CudaContext context;
  set_conv2d_autotune(context, true);  // a plan made in the recording would be timed there
  Products products(context);
  products.run();
  const std::vector<float> expected = products.result();
  const auto plans = conv2d_choices(context);
  REQUIRE(plans.size() == 1);
  CudaGraph graph(context, [&] { products.run(); });
  REQUIRE(conv2d_choices(context).size() == 1);
  CHECK(conv2d_choices(context)[0].plan == plans[0].plan);
  graph.replay();
  CHECK(products.result() == expected);
}

TEST_CASE("threads with a context each record and replay at once") {
  if (!ready()) return;
  struct Outcome {
    bool recorded = false;
    std::vector<float> products, counts;
    std::string error;
  };
  std::vector<Outcome> outcomes(2);
  {
    std::vector<std::jthread> threads;
    for (Outcome& outcome : outcomes)
      threads.emplace_back([&outcome] {
        try {
          const OwnContext own(Device::cuda());
          CudaContext& context = cuda_context(0);
          On<CudaContext> on(context, "cuda");
          float* const x = on.put(all(0));
          Products products(context);
          CapturedWork step(Device::cuda(), [&] {
            products.run();
            count_up(context, x);
          });
          for (int i = 0; i < 51; ++i) step();
          outcome = {step.graph() != nullptr, products.result(), on.get(x), ""};
        } catch (const std::exception& error) {
          outcome.error = error.what();
        }
      });
  }
  CudaContext context;
  Products products(context);
  products.run();
  for (const Outcome& outcome : outcomes) {
    CHECK(outcome.error.empty());
    CHECK(outcome.recorded);
    CHECK(outcome.products == products.result());
    CHECK(outcome.counts == all(51));
  }
}

TEST_CASE("a context serves another thread than the one that made it") {
  if (!ready()) return;
  // On the last GPU: a new thread's current device is the first.
  CudaContext context(cuda_devices() - 1);
  On<CudaContext> on(context, "cuda");
  float* const x = on.put(all(0));
  std::vector<float> products;
  std::string error;
  std::jthread([&] {
    try {
      count_up(context, x);
      Products elsewhere(context);
      elsewhere.run();
      products = elsewhere.result();
      CudaGraph graph(context, [&] { count_up(context, x); });
      graph.replay();
    } catch (const std::exception& thrown) {
      error = thrown.what();
    }
  }).join();
  CHECK(error.empty());
  CHECK(on.get(x) == all(2));
  Products here(context);
  here.run();
  CHECK(here.result() == products);
}
