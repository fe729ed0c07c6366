// Kernel tests on every device: CPU contexts of 1, 2 and 3 threads, and the CUDA backend, emulated
// in three thread orders or on a GPU. Outputs lie between canaries and start as NaN. Where there is
// CUDA, SHATTER_TEST_DEVICES=cuda leaves the CPU out of tests of every device: a GPU's time is
// dear.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <shatter/core/dispatch.h>
#include <shatter/kernels/context.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/types.h>

#if defined(SHATTER_EMULATED)
#include <shatter/kernels/emulation/emulator.h>
#endif

#include "tests/support/catch.h"

namespace shatter::test {

/// Memory of one context for the length of a test case.
template <class Context>
class On {
 public:
  On(Context& c, std::string n) : context(c), name(std::move(n)) {}
  On(const On&) = delete;
  On& operator=(const On&) = delete;
  ~On() {
    for (const Block& block : blocks_) give_back(block);
  }

  Context& context;
  const std::string name;

  /// The values in the context's memory, between canaries.
  template <class T>
  T* put(const std::vector<T>& values) {
    return reinterpret_cast<T*>(add(values.data(), values.size() * sizeof(T)));
  }
  /// One value in the context's memory.
  template <class T>
  T* put_value(T value) {
    return put(std::vector<T>{value});
  }
  /// n elements whose every byte is 0xFF: NaN in the floating types.
  template <class T>
  T* make(std::int64_t n) {
    return reinterpret_cast<T*>(add(nullptr, static_cast<std::size_t>(n) * sizeof(T)));
  }
  /// What lies at a pointer from put() or make() now; requires its canaries whole.
  template <class T>
  std::vector<T> get(T* memory) {
    std::vector<unsigned char> bytes = whole(memory);
    for (std::size_t i = 0; i < margin; ++i)
      if (bytes[i] != canary || bytes[bytes.size() - 1 - i] != canary) {
        CAPTURE(name, i);
        FAIL("the kernel wrote outside its output");
      }
    std::vector<T> values((bytes.size() - 2 * margin) / sizeof(T));
    if (!values.empty())
      std::memcpy(static_cast<void*>(values.data()), bytes.data() + margin,
                  values.size() * sizeof(T));
    return values;
  }
  /// The same; all devices of one backend must give the same bits in the same order of calls.
  template <class T>
  std::vector<T> result(T* memory) {
    const std::vector<T> values = get(memory);
    std::vector<unsigned char> bytes(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    results.push_back(std::move(bytes));
    return values;
  }
  std::vector<std::vector<unsigned char>> results;

 private:
  static constexpr std::size_t margin = 256;
  static constexpr unsigned char canary = 0xA5;
  struct Block {
    unsigned char* memory;
    std::size_t bytes;
  };

  // `size` bytes of content (null: 0xFF) between the canaries.
  unsigned char* add(const void* content, std::size_t size) {
    const std::size_t bytes = size + 2 * margin;
    const std::unique_ptr<unsigned char[]> frame(new unsigned char[bytes]);
    std::memset(frame.get(), canary, bytes);
    if (!content)
      std::memset(frame.get() + margin, 0xFF, size);
    else if (size)
      std::memcpy(frame.get() + margin, content, size);
    Block block{nullptr, bytes};
    if constexpr (std::is_same_v<Context, CpuContext>) {
      block.memory = static_cast<unsigned char*>(cpu_allocate(bytes));
      std::memcpy(block.memory, frame.get(), bytes);
    } else {
      block.memory = static_cast<unsigned char*>(context.allocate(bytes));
      context.copy_from_host(block.memory, frame.get(), bytes);
    }
    blocks_.push_back(block);
    return block.memory + margin;
  }
  std::vector<unsigned char> whole(const void* memory) {
    for (const Block& block : blocks_)
      if (block.memory + margin == memory) {
        std::vector<unsigned char> bytes(block.bytes);
        if constexpr (std::is_same_v<Context, CpuContext>)
          std::memcpy(bytes.data(), block.memory, block.bytes);
        else
          context.copy_to_host(bytes.data(), block.memory, block.bytes);
        return bytes;
      }
    FAIL("not memory of this device");
    return {};
  }
  void give_back(const Block& block) {
    if constexpr (std::is_same_v<Context, CpuContext>)
      cpu_free(block.memory, block.bytes);
    else
      context.free(block.memory, block.bytes);
  }

  std::vector<Block> blocks_;
};

/// Whether on_cuda() runs anything.
inline bool has_cuda() {
  return cuda_device_count() > 0;
}

/// Whether on_devices() runs on the CPU: not where there is CUDA and SHATTER_TEST_DEVICES=cuda.
inline bool tests_cpu() {
  const char* const devices = std::getenv("SHATTER_TEST_DEVICES");
  return !devices || std::string_view(devices) != "cuda" || !has_cuda();
}

template <class Run>
void on_cpu(Run run) {
  static CpuContext one(1), two(2), three(3);
  std::vector<std::vector<unsigned char>> first;
  for (CpuContext* const context : {&one, &two, &three}) {
    On<CpuContext> on(*context, "cpu, " + std::to_string(context->threads()) + " threads");
    INFO(on.name);
    run(on);
    if (context == &one) first = on.results;
    REQUIRE(first == on.results);
  }
}

/// The CUDA context of all tests that need none of their own. Never destroyed: at exit cuDNN ends
/// before it would.
inline CudaContext& test_context() {
  static CudaContext& context = *new CudaContext(0);
  return context;
}

/// The part of on_devices() on CUDA.
template <class Run>
void on_cuda(Run run) {
  if constexpr (built_with_cuda) {
    if (!has_cuda()) return;
    CudaContext& context = test_context();
    std::vector<std::vector<unsigned char>> first;
#if defined(SHATTER_EMULATED)
    using emulation::ThreadOrder;
    const std::pair<const char*, ThreadOrder> passes[] = {
        {"emulated, forward", ThreadOrder::forward},
        {"emulated, reverse", ThreadOrder::reverse},
        {"emulated, shuffled", ThreadOrder::shuffled}};
#else
    const std::pair<const char*, int> passes[] = {{"cuda", 0}, {"cuda, again", 1}};
#endif
    for (const auto& pass : passes) {
#if defined(SHATTER_EMULATED)
      emulation::set_thread_order(pass.second);
#endif
      context.set_tf32(false);
      On<CudaContext> on(context, pass.first);
      INFO(on.name);
      run(on);
      if (&pass == &passes[0]) first = on.results;
      REQUIRE(first == on.results);
    }
    context.release_cache();
  }
}

/// Calls run(on) with an On<CpuContext> for 1, 2 and 3 threads and, where the build has CUDA and
/// the machine a GPU (or the build emulates one), with an On<CudaContext>: in emulation for each
/// thread order, on a GPU twice, without TF32. Requires equal bits of all result()s within a
/// backend.
template <class Run>
void on_devices(Run run) {
  if (tests_cpu()) on_cpu(run);
  on_cuda(run);
}

}  // namespace shatter::test
