// Execution contexts: where kernels run. A kernel's first argument chooses its backend by overload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace shatter {

/// The cores this process may run on.
int usable_cores();

/// Threads and per-library state of the CPU backend. Work is cut by shape, never by thread count,
/// so every result is the same bits for any number of threads.
class CpuContext {
 public:
  /// `threads` workers including the caller; 0 takes the number of usable cores.
  explicit CpuContext(int threads = 0);
  ~CpuContext();
  CpuContext(const CpuContext&) = delete;
  CpuContext& operator=(const CpuContext&) = delete;

  int threads() const noexcept;

  /// Whether convolutions left to choose their algorithm may take winograd (conv2d.h). Default: no.
  /// Set while no kernel runs.
  bool winograd() const noexcept { return winograd_; }
  void set_winograd(bool on) noexcept { winograd_ = on; }

  /// Calls body(i) once for each i in [0, chunks), on any thread, in any order; returns when all
  /// are done. Called from inside a body it runs inline. If bodies throw, no further chunk
  /// is begun and the exception of the lowest one is rethrown here, whatever the timing.
  template <class Body>
  void parallel(std::int64_t chunks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        chunks, [](void* self, std::int64_t i) { (*static_cast<Plain*>(self))(i); },
        const_cast<std::remove_const_t<Plain>*>(std::addressof(body)));
  }

  /// Calls body(begin, end) for consecutive ranges of `grain` items (the last one shorter).
  template <class Body>
  void parallel_for(std::int64_t items, std::int64_t grain, Body&& body) {
    parallel((items + grain - 1) / grain, [&](std::int64_t i) {
      const std::int64_t begin = i * grain;
      body(begin, begin + grain < items ? begin + grain : items);
    });
  }

  /// State that a library behind a kernel keeps between calls (cached primitives), one object of
  /// each type State, made on first use and destroyed with the context. Thread safe.
  template <class State>
  State& state() {
    static const char tag = 0;
    return *static_cast<State*>(
        find_state(&tag, [] { return std::shared_ptr<void>(std::make_shared<State>()); }));
  }

 private:
  void run(std::int64_t chunks, void (*call)(void*, std::int64_t), void* body);
  void* find_state(const void* tag, std::shared_ptr<void> (*make)());

  struct Impl;
  std::unique_ptr<Impl> impl_;
  bool winograd_ = false;
};

/// The context of the calling thread: inside a body that of parallel(), else the innermost
/// CpuContextGuard's, else one shared by the process with set_cpu_threads() threads.
CpuContext& cpu_context();

/// Sets the size of the shared context (0: all usable cores). Call while no kernel runs.
void set_cpu_threads(int threads);

/// Makes `context` the calling thread's cpu_context() while it lives; guards nest.
class CpuContextGuard {
 public:
  explicit CpuContextGuard(CpuContext& context);
  ~CpuContextGuard();
  CpuContextGuard(const CpuContextGuard&) = delete;
  CpuContextGuard& operator=(const CpuContextGuard&) = delete;

 private:
  CpuContext* previous_;
};

/// 64-byte aligned memory from a process-wide caching allocator; thread safe. Freed blocks are
/// kept for reuse by size class. Contents are undefined. Throws Error when the system has no more.
void* cpu_allocate(std::size_t bytes);
void cpu_free(void* memory, std::size_t bytes) noexcept;

struct AllocatorStatistics {
  std::int64_t live_bytes = 0;          ///< handed out now
  std::int64_t peak_bytes = 0;          ///< the most ever handed out at once
  std::int64_t cached_bytes = 0;        ///< kept for reuse
  std::int64_t system_allocations = 0;  ///< times the system was asked
};
AllocatorStatistics cpu_allocator_statistics();
/// Returns the cached blocks to the system.
void cpu_release_cache();

/// Declared for overloads; defined only in builds with CUDA.
class CudaContext;

}  // namespace shatter
