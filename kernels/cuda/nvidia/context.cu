// CudaContext by the CUDA runtime.
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string_view>

#include <shatter/kernels/caching_allocator.h>
#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/error.h>

#include "check.h"

namespace shatter {
namespace {

// Held shared by a thread while it records a graph, and alone by one that makes or ends what the
// libraries keep, ends a graph, or gives memory back: these wait for the whole device, which breaks
// a recording off. Never destroyed, as contexts may be static.
//
// Locks are taken in this order: that of CapturedWork's first calls (core/captured_work.cpp), this
// one, and that of an allocator or of the shared contexts (kernels/cuda/current.cpp). Under the
// last two no other is taken.
std::shared_mutex& recordings() {
  static std::shared_mutex& mutex = *new std::shared_mutex;
  return mutex;
}

// Whether the calling thread holds recordings(), either way: it takes it once only, as a library's
// handle allocates while it is made, and what is recorded may end something.
thread_local bool holds_recordings = false;

template <class Lock>
class Holding {
 public:
  Holding() : lock_(recordings(), std::defer_lock) {
    if (holds_recordings) return;
    lock_.lock();
    holds_recordings = true;
  }
  ~Holding() {
    if (lock_) holds_recordings = false;
  }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

 private:
  Lock lock_;
};
using Recording = Holding<std::shared_lock<std::shared_mutex>>;
using NoRecording = Holding<std::unique_lock<std::shared_mutex>>;

class DeviceMemory final : public MemorySource {
 public:
  explicit DeviceMemory(int device) : device_(device) {}
  void* obtain(std::size_t bytes) override {
    const MayAllocate allowed;
    void* block = nullptr;
    if (cudaSetDevice(device_) != cudaSuccess || cudaMalloc(&block, bytes) != cudaSuccess) {
      cudaGetLastError();  // a refusal for want of memory leaves the device usable
      block = nullptr;
    }
    return block;
  }
  void give_back(void* block, std::size_t) noexcept override {
    const NoRecording alone;
    const MayAllocate allowed;
    cudaFree(block);
  }

 private:
  // A graph being recorded forbids cudaMalloc and cudaFree to its thread unless asked otherwise.
  class MayAllocate {
   public:
    MayAllocate() { cudaThreadExchangeStreamCaptureMode(&mode_); }
    ~MayAllocate() { cudaThreadExchangeStreamCaptureMode(&mode_); }

   private:
    cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
  };
  int device_;
};

// A context's memory with the blocks it keeps. What was allocated from it keeps it alive.
struct OwnMemory {
  explicit OwnMemory(int device) : source(device) {}
  DeviceMemory source;
  CachingAllocator allocator{source, 256};
};

// Whether SHATTER_SYNC asks to wait for each kernel.
bool waits_for_each() {
  static const bool wait = [] {
    const char* const value = std::getenv("SHATTER_SYNC");
    return value && std::string_view(value) == "1";
  }();
  return wait;
}

__global__ void nothing() {}

// Throws unless this build holds code for the GPU.
void check_kernels_fit(const CudaProperties& gpu) {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, nothing);
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
      status == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();
    fail(ErrorKind::device, "GPU ", gpu.name, " has compute capability ", gpu.major, ".", gpu.minor,
         "; this build of shatter holds kernels for " SHATTER_CUDA_ARCHITECTURES
         ": build it with -DCMAKE_CUDA_ARCHITECTURES=",
         gpu.major, gpu.minor);
  }
  check_cuda("CudaContext", status);
}

}  // namespace

struct CudaContext::Impl {
  int device;
  cudaStream_t stream = nullptr;
  CudaProperties properties;
  std::shared_ptr<OwnMemory> memory;
  bool tf32 = true;
  bool recording = false;
  std::int64_t launches = 0, waits = 0;
  std::map<const void*, std::shared_ptr<void>> states;

  explicit Impl(int index) : device(index), memory(std::make_shared<OwnMemory>(index)) {}

  // The stream for the calling thread to give work to, and its device made the thread's: kernels
  // and libraries take a stream of that device only.
  cudaStream_t enter() const {
    int current = -1;
    check_cuda("cudaGetDevice", cudaGetDevice(&current));
    if (current != device) check_cuda("cudaSetDevice", cudaSetDevice(device));
    return stream;
  }

  void refuse_while_recording(const char* call) const {
    if (recording) fail(ErrorKind::device, call, ": not possible while a graph is being recorded");
  }
};

int cuda_devices(std::string* why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) {
    cudaGetLastError();
    count = 0;
  }
  if (why) {
    if (status == cudaErrorInsufficientDriver)
      *why = "no NVIDIA driver, or one older than CUDA " + std::to_string(CUDART_VERSION / 1000);
    else if (status != cudaSuccess)
      *why = cudaGetErrorString(status);
    else if (count == 0)
      *why = "no NVIDIA GPU";
    else
      why->clear();
  }
  return count;
}

CudaContext::CudaContext(int device) : impl_(std::make_unique<Impl>(device)) {
  std::string why;
  const int count = cuda_devices(&why);
  if (count == 0) fail(ErrorKind::device, "device cuda:", device, ": ", why);
  if (device < 0 || device >= count)
    fail(ErrorKind::device, "device cuda:", device, ": ", count, " CUDA devices found");
  cudaDeviceProp p{};
  check_cuda("CudaContext", cudaGetDeviceProperties(&p, device));
  check_cuda("CudaContext", cudaSetDevice(device));
  CudaProperties& mine = impl_->properties;
  mine.name = p.name;
  mine.major = p.major;
  mine.minor = p.minor;
  mine.multiprocessors = p.multiProcessorCount;
  mine.memory = p.totalGlobalMem;
  mine.l2_cache = static_cast<std::size_t>(p.l2CacheSize);
  check_cuda("CudaContext", cudaDriverGetVersion(&mine.driver));
  check_cuda("CudaContext", cudaRuntimeGetVersion(&mine.runtime));
  check_kernels_fit(mine);
  check_cuda("CudaContext", cudaStreamCreateWithFlags(&impl_->stream, cudaStreamNonBlocking));
}

CudaContext::~CudaContext() {
  cudaSetDevice(impl_->device);
  if (impl_->stream) cudaStreamSynchronize(impl_->stream);
  {
    const NoRecording alone;
    impl_->states.clear();
  }
  impl_->memory->allocator.close();
  if (impl_->stream) cudaStreamDestroy(impl_->stream);
}

int CudaContext::device() const noexcept {
  return impl_->device;
}
const CudaProperties& CudaContext::properties() const noexcept {
  return impl_->properties;
}
void* CudaContext::stream() const {
  return impl_->enter();
}

void* CudaContext::allocate(std::size_t bytes) {
  void* const block = impl_->memory->allocator.allocate(bytes);
  if (!block) {
    std::size_t free = 0, total = 0;
    impl_->enter();
    cudaMemGetInfo(&free, &total);
    throw OutOfMemory(text("cuda:", impl_->device, ": out of memory: ", bytes, " bytes asked for, ",
                           impl_->memory->allocator.statistics().live_bytes, " in use, ", free,
                           " free of ", total, "; a smaller batch needs less"));
  }
  return block;
}

void CudaContext::free(void* block, std::size_t bytes) noexcept {
  impl_->memory->allocator.free(block, bytes);
}

std::shared_ptr<CachingAllocator> CudaContext::allocator() const {
  return {impl_->memory, &impl_->memory->allocator};
}

AllocatorStatistics CudaContext::allocator_statistics() const {
  return impl_->memory->allocator.statistics();
}

void CudaContext::release_cache() {
  synchronize();
  impl_->memory->allocator.release();
}

void CudaContext::copy_from_host(void* to, const void* from, std::size_t bytes) {
  impl_->refuse_while_recording("copy_from_host");
  if (bytes == 0) return;
  ++impl_->waits;
  // From pageable memory: returns once the bytes are staged.
  check_cuda("copy_from_host",
             cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, impl_->enter()));
  check_cuda("copy_from_host", cudaStreamSynchronize(impl_->stream));
}

void CudaContext::copy_to_host(void* to, const void* from, std::size_t bytes) {
  impl_->refuse_while_recording("copy_to_host");
  ++impl_->waits;
  if (bytes)
    check_cuda("copy_to_host",
               cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, impl_->enter()));
  check_cuda("copy_to_host", cudaStreamSynchronize(impl_->stream));
}

void CudaContext::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes)
    check_cuda("copy", cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, impl_->enter()));
}

void CudaContext::synchronize() {
  impl_->refuse_while_recording("synchronize");
  ++impl_->waits;
  check_cuda("synchronize", cudaStreamSynchronize(impl_->stream));
}

bool CudaContext::tf32() const noexcept {
  return impl_->tf32;
}
void CudaContext::set_tf32(bool allowed) noexcept {
  impl_->tf32 = allowed;
}
bool CudaContext::recording() const noexcept {
  return impl_->recording;
}
std::int64_t CudaContext::launches() const noexcept {
  return impl_->launches;
}
std::int64_t CudaContext::waits() const noexcept {
  return impl_->waits;
}

void* CudaContext::find_state(const void* tag, std::shared_ptr<void> (*make)(CudaContext&)) {
  impl_->enter();
  std::shared_ptr<void>& state = impl_->states[tag];
  if (!state) {
    impl_->refuse_while_recording("state");
    const NoRecording alone;
    state = make(*this);
  }
  return state.get();
}

void LaunchAccess::launched(CudaContext& context, const char* kernel, int status) {
  CudaContext::Impl& impl = *context.impl_;
  ++impl.launches;
  check_cuda(kernel, static_cast<cudaError_t>(status));
  if (waits_for_each() && !impl.recording) check_cuda(kernel, cudaStreamSynchronize(impl.stream));
}

struct CudaGraph::Impl {
  explicit Impl(CudaContext& c) : context(c) {}
  ~Impl() {
    CudaContext::Impl& owner = *context.impl_;
    if (executable) cudaStreamSynchronize(owner.stream);
    if (graph) {
      const NoRecording alone;
      if (executable) cudaGraphExecDestroy(executable);
      cudaGraphDestroy(graph);
    }
    owner.memory->allocator.dissolve(pool);
  }
  CudaContext& context;
  std::shared_ptr<CachingAllocator::Pool> pool = std::make_shared<CachingAllocator::Pool>();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  std::int64_t nodes = 0, launches = 0;
};

CudaGraph::CudaGraph(CudaContext& context, const std::function<void()>& work)
    : impl_(new Impl(context)) {
  CudaContext::Impl& owner = *context.impl_;
  owner.refuse_while_recording("CudaGraph");
  check_cuda("CudaGraph", cudaStreamSynchronize(owner.enter()));
  owner.memory->allocator.release();
  const std::int64_t before = owner.launches;
  {
    const Recording recording;
    check_cuda("CudaGraph", cudaStreamBeginCapture(owner.stream, cudaStreamCaptureModeThreadLocal));
    owner.recording = true;
    owner.memory->allocator.begin_pool(impl_->pool);
    // Also after an error, when it says that too; the stream is an ordinary one again.
    const auto end = [&] {
      owner.recording = false;
      owner.memory->allocator.end_pool();
      impl_->launches = owner.launches - before;
      owner.launches = before;
      return cudaStreamEndCapture(owner.stream, &impl_->graph);
    };
    try {
      work();
    } catch (...) {
      end();
      cudaGetLastError();
      throw;
    }
    check_cuda("CudaGraph", end());
  }
  std::size_t nodes = 0;
  check_cuda("CudaGraph", cudaGraphGetNodes(impl_->graph, nullptr, &nodes));
  impl_->nodes = static_cast<std::int64_t>(nodes);
  check_cuda("CudaGraph", cudaGraphInstantiate(&impl_->executable, impl_->graph, 0));
}

CudaGraph::~CudaGraph() = default;

void CudaGraph::replay() {
  CudaContext::Impl& owner = *impl_->context.impl_;
  check_cuda("CudaGraph::replay", cudaGraphLaunch(impl_->executable, owner.enter()));
  owner.launches += impl_->launches;
}

std::int64_t CudaGraph::nodes() const noexcept {
  return impl_->nodes;
}

}  // namespace shatter
