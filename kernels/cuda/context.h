// The context of CUDA kernels: a device, one stream on it, and memory whose reuse follows that
// stream. Needs no CUDA header. Two sources implement it: cuda/nvidia/context.cu by the CUDA
// runtime, and emulation/context.cpp on the host, where every kernel launch runs in software.
#pragma once

#include <functional>
#include <string>

#include <shatter/kernels/context.h>
#include <shatter/kernels/error.h>

namespace shatter {

class CachingAllocator;

struct CudaProperties {
  std::string name;          ///< of the GPU; "emulated" in emulation
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  std::size_t memory = 0;       ///< bytes
  std::size_t l2_cache = 0;     ///< bytes
  int driver = 0, runtime = 0;  ///< 13000 is CUDA 13.0
};

/// A device's memory is not enough (kind device).
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& message) : Error(message, ErrorKind::device) {}
};

/// Everything given to one context runs in the order it was given, later than the call returns. One
/// thread at a time, any thread: what gives work makes the context's device the thread's current
/// one, and leaves it so. Several threads train at once on a context each. Work of different
/// contexts is not ordered: one may touch another's memory, or free what another has used, once
/// that other was waited for. Calls throw Error (device) with what the driver said; a kernel's own
/// fault is reported by a later call, or at once and by the kernel's name with SHATTER_SYNC=1 in
/// the environment.
class CudaContext {
 public:
  /// Throws Error (device) where there is no driver, no such device, or none of this build's
  /// kernels fit its architecture.
  explicit CudaContext(int device = 0);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  int device() const noexcept;
  const CudaProperties& properties() const noexcept;
  /// The cudaStream_t, null in emulation. Its device is the calling thread's current one then: ask
  /// again rather than keep it, before giving it work.
  void* stream() const;

  /// Device memory at a multiple of 256 bytes, undefined contents. Freed memory is kept and given
  /// to later calls of this context, whose work follows in the stream. Throws OutOfMemory with what
  /// was asked for, what is in use and what is free.
  void* allocate(std::size_t bytes);
  void free(void* memory, std::size_t bytes) noexcept;
  /// Where that memory comes from. Whoever may free memory after the context's end keeps this and
  /// frees there; blocks go back to the driver then.
  std::shared_ptr<CachingAllocator> allocator() const;
  AllocatorStatistics allocator_statistics() const;
  /// Returns kept memory to the driver; waits for the stream.
  void release_cache();

  /// Returns when `from` may be changed.
  void copy_from_host(void* to, const void* from, std::size_t bytes);
  /// Returns when the bytes are there.
  void copy_to_host(void* to, const void* from, std::size_t bytes);
  void copy(void* to, const void* from, std::size_t bytes);
  /// Waits until everything given so far is done.
  void synchronize();

  /// Whether float32 products and convolutions may round their operands to TF32 (10 bits of
  /// fraction) for the tensor cores. Default: yes, as PyTorch has it for convolutions.
  bool tf32() const noexcept;
  void set_tf32(bool allowed) noexcept;

  /// Whether a CudaGraph is recording what is given to the context.
  bool recording() const noexcept;

  /// Counts launches since construction, replayed graphs included.
  std::int64_t launches() const noexcept;
  /// Counts how often the device was waited for: copies from and to the host, synchronize().
  std::int64_t waits() const noexcept;

  /// State that a library behind a kernel keeps between calls (handles, plans), one object of each
  /// type State, constructed from this context on first use and destroyed before it. Its
  /// constructor asks for no other state. The device is the calling thread's current one then.
  /// Throws Error (device) where it would have to be made while a graph is recorded.
  template <class State>
  State& state() {
    static const char tag = 0;
    return *static_cast<State*>(find_state(&tag, [](CudaContext& context) {
      return std::shared_ptr<void>(std::make_shared<State>(context));
    }));
  }

 private:
  friend class CudaGraph;
  friend struct LaunchAccess;
  void* find_state(const void* tag, std::shared_ptr<void> (*make)(CudaContext&));

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Work of a context, recorded once and replayed as a whole. Memory that the work allocates and
/// frees is the graph's own and keeps its address; all it uses besides must outlive the graph. What
/// the context keeps for reuse goes back to the driver before, so that the graph can have it.
class CudaGraph {
 public:
  /// Records what `work` gives to the context; nothing runs. While it records, copies from and to
  /// the host, synchronize() and release_cache() throw. Run the same work once beforehand, so that
  /// plans and handles exist; destroy no context and no graph in it. Other threads may record at
  /// the same time; contexts and graphs end, libraries' handles are made and memory goes back to
  /// the driver when none does.
  ///
  /// Throws what the work throws, and Error (device) where the driver refuses the graph. Nothing
  /// has run then, the counts are those of before, and the context works on.
  CudaGraph(CudaContext& context, const std::function<void()>& work);
  ~CudaGraph();
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void replay();
  /// Kernels, copies and fills in it.
  std::int64_t nodes() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Devices this build can use here. 0 with the reason in *why (may be null) where there is no
/// driver or no GPU.
int cuda_devices(std::string* why = nullptr);

/// The calling thread's context of a device: the innermost CudaContextGuard's for it, else one
/// shared by the process.
CudaContext& cuda_context(int device);

/// Makes `context` the calling thread's for its device while it lives; guards nest.
class CudaContextGuard {
 public:
  explicit CudaContextGuard(CudaContext& context);
  ~CudaContextGuard();
  CudaContextGuard(const CudaContextGuard&) = delete;
  CudaContextGuard& operator=(const CudaContextGuard&) = delete;

 private:
  CudaContext* previous_;
};

}  // namespace shatter
