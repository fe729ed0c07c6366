// CudaContext without a GPU: launches run in the emulator at once, device memory is host memory
// that only launches and copies can touch.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include <shatter/kernels/caching_allocator.h>
#include <shatter/kernels/emulation/emulator.h>
#include <shatter/kernels/profile.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) \
  (static_cast<void>(address), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) \
  (static_cast<void>(address), static_cast<void>(size))
#endif

namespace shatter {
namespace {

constexpr std::size_t arena_bytes = std::size_t{16} << 30;  // of addresses
constexpr std::size_t memory_bytes = std::size_t{4} << 30;  // that may be in use: the "GPU's"
constexpr std::size_t margin = 256;
constexpr unsigned char canary = 0xA5;

// Memory mapped twice: at the addresses that kernels use, which are closed except during a launch,
// and at others where copies reach it.
class Arena {
 public:
  Arena() {
    const int file = memfd_create("emulated device memory", 0);
    if (file < 0 || ftruncate(file, arena_bytes) != 0) throw std::bad_alloc();
    const auto map = [&](int access) {
      void* const mapped = mmap(nullptr, arena_bytes, access, MAP_SHARED | MAP_NORESERVE, file, 0);
      if (mapped == MAP_FAILED) throw std::bad_alloc();
      return static_cast<std::byte*>(mapped);
    };
    memory_ = map(PROT_NONE);
    view_ = map(PROT_READ | PROT_WRITE);
    close(file);
  }
  std::byte* take(std::size_t bytes) {
    if (end_ + bytes > arena_bytes) return nullptr;
    std::byte* const block = memory_ + end_;
    end_ += bytes;
    return block;
  }
  /// Where copies find an address; a host address is itself.
  template <class T>
  T* view(T* address) const {
    auto* const bytes = reinterpret_cast<const std::byte*>(address);
    if (bytes < memory_ || bytes >= memory_ + arena_bytes) return address;
    return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(view_ + (bytes - memory_)));
  }
  /// Gives the pages wholly inside back to the system.
  void forget(std::byte* block, std::size_t bytes) const {
    constexpr std::size_t page = 4096;
    const auto begin = static_cast<std::size_t>(block - memory_ + page - 1) / page * page;
    const std::size_t end = (static_cast<std::size_t>(block - memory_) + bytes) / page * page;
    if (begin < end) madvise(view_ + begin, end - begin, MADV_REMOVE);
  }
  void protect(int access) const { mprotect(memory_, end_, access); }

 private:
  std::byte *memory_, *view_;
  std::size_t end_ = 0;
};

Arena& arena() {
  static Arena& the_arena = *new Arena;
  return the_arena;
}

// Held by whatever changes the device's memory or runs a kernel: contexts of several threads share
// the one device. Under it no other lock is taken.
std::mutex one_device;

std::string recording_failure;

// Opens the device's addresses to the kernels of a launch.
struct Access {
  Access() { arena().protect(PROT_READ | PROT_WRITE); }
  ~Access() { arena().protect(PROT_NONE); }
};

void copy_bytes(void* to, const void* from, std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  if (__asan_region_is_poisoned(to, bytes) ||
      __asan_region_is_poisoned(const_cast<void*>(from), bytes)) {
    std::fprintf(stderr, "emulated device memory: a copy of %zu bytes leaves its block\n", bytes);
    std::abort();
  }
#endif
  if (bytes) std::memcpy(arena().view(to), arena().view(from), bytes);
}

// Blocks between two margins of canaries; what is handed out starts as NaN (all bits set).
class EmulatedMemory {
 public:
  void* obtain(std::size_t bytes) {
    if (in_use_ + bytes > memory_bytes) return nullptr;
    std::vector<std::byte*>& list = free_[bytes];
    std::byte* block = nullptr;
    if (!list.empty()) {
      block = list.back();
      list.pop_back();
    } else {
      block = arena().take(bytes + 2 * margin);
      if (!block) return nullptr;
      block += margin;
    }
    in_use_ += bytes;
    return block;
  }
  void give_back(void* block, std::size_t bytes) noexcept {
    in_use_ -= bytes;
    arena().forget(static_cast<std::byte*>(block), bytes);
    free_[bytes].push_back(static_cast<std::byte*>(block));
  }
  /// of_graph: its blocks are written again by every replay, by requests of several sizes in turn,
  /// so only what lies beyond their capacity is out of bounds.
  void lend(void* block, std::size_t bytes, std::size_t capacity, bool of_graph) {
    if (of_graph) bytes = capacity;
    auto* const begin = arena().view(static_cast<unsigned char*>(block));
    std::memset(begin - margin, canary, margin);
    std::memset(begin, 0xFF, bytes);
    std::memset(begin + bytes, canary, capacity - bytes + margin);
    lent_[block] = {bytes, capacity, of_graph};
    auto* const address = static_cast<std::byte*>(block);
    ASAN_UNPOISON_MEMORY_REGION(address, bytes);
    ASAN_POISON_MEMORY_REGION(address - margin, margin);
    ASAN_POISON_MEMORY_REGION(address + bytes, capacity - bytes + margin);
  }
  void take_back(void* block, std::size_t capacity) noexcept {
    const auto lent = lent_.find(block);
    const bool of_graph = lent->second.of_graph;
    lent_.erase(lent);
    if (!of_graph) ASAN_POISON_MEMORY_REGION(block, capacity);
  }

  /// Throws Error naming the kernel if it wrote outside the blocks that are in use.
  void check_margins(const char* kernel) const {
    for (const auto& [block, size] : lent_) {
      const auto* const begin = arena().view(static_cast<const unsigned char*>(block));
      const auto written = [](const unsigned char* from, std::size_t count) {
        return std::any_of(from, from + count, [](unsigned char c) { return c != canary; });
      };
      if (written(begin - margin, margin) ||
          written(begin + size.bytes, size.capacity - size.bytes + margin))
        fail(ErrorKind::device, kernel, ": wrote outside a block of ", size.bytes, " bytes");
    }
  }

  std::size_t in_use() const { return in_use_; }

 private:
  struct Size {
    std::size_t bytes, capacity;
    bool of_graph;
  };
  std::size_t in_use_ = 0;
  std::unordered_map<void*, Size> lent_;
  std::map<std::size_t, std::vector<std::byte*>> free_;
};

// One device for all contexts of the process, never destroyed, as tensors may outlive statics.
EmulatedMemory& memory() {
  static EmulatedMemory& the_memory = *new EmulatedMemory;
  return the_memory;
}

// The device's memory as one context uses it.
class ContextMemory final : public MemorySource {
 public:
  void* obtain(std::size_t bytes) override {
    const std::lock_guard lock(one_device);
    return memory().obtain(bytes);
  }
  void give_back(void* block, std::size_t bytes) noexcept override {
    const std::lock_guard lock(one_device);
    memory().give_back(block, bytes);
  }
  void lend(void* block, std::size_t bytes, std::size_t capacity) override {
    const std::lock_guard lock(one_device);
    memory().lend(block, bytes, capacity, recording);
  }
  void take_back(void* block, std::size_t, std::size_t capacity) noexcept override {
    const std::lock_guard lock(one_device);
    memory().take_back(block, capacity);
  }
  /// While the context records a graph.
  bool recording = false;
};

// A context's memory with the blocks it keeps. What was allocated from it keeps it alive.
struct OwnMemory {
  ContextMemory source;
  CachingAllocator allocator{source, 256};
};

}  // namespace

struct CudaContext::Impl {
  std::shared_ptr<OwnMemory> memory = std::make_shared<OwnMemory>();
  CudaProperties properties{.name = "emulated",
                            .major = 9,
                            .multiprocessors = 4,
                            .memory = memory_bytes,
                            .l2_cache = std::size_t{1} << 20};
  bool tf32 = true;
  std::int64_t launches = 0, waits = 0;
  std::vector<std::function<void()>>* recording = nullptr;
  std::map<const void*, std::shared_ptr<void>> states;

  void give(std::function<void()> work) {
    if (recording)
      recording->push_back(std::move(work));
    else
      work();
  }
};

namespace {

std::size_t free_bytes() {
  const std::lock_guard lock(one_device);
  return memory_bytes - memory().in_use();
}

}  // namespace

void emulation::set_recording_failure(const std::string& why) {
  recording_failure = why;
}

CudaContext::CudaContext(int device) : impl_(std::make_unique<Impl>()) {
  if (device != 0)
    fail(ErrorKind::device, "device cuda:", device, ": 1 CUDA device found, an emulated one");
}

CudaContext::~CudaContext() {
  impl_->states.clear();
  impl_->memory->allocator.close();
}

int CudaContext::device() const noexcept {
  return 0;
}
const CudaProperties& CudaContext::properties() const noexcept {
  return impl_->properties;
}
void* CudaContext::stream() const {
  return nullptr;
}

void* CudaContext::allocate(std::size_t bytes) {
  void* const block = impl_->memory->allocator.allocate(bytes);
  if (!block)
    throw OutOfMemory(text("cuda:0: out of memory: ", bytes, " bytes asked for, ",
                           impl_->memory->allocator.statistics().live_bytes, " in use, ",
                           free_bytes(), " free of ", memory_bytes,
                           "; a smaller batch needs less"));
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

namespace {

void refuse_while_recording(bool recording, const char* call) {
  if (recording) fail(ErrorKind::device, call, ": not possible while a graph is being recorded");
}

}  // namespace

void CudaContext::release_cache() {
  refuse_while_recording(impl_->recording, "release_cache");
  impl_->memory->allocator.release();
}

void CudaContext::copy_from_host(void* to, const void* from, std::size_t bytes) {
  refuse_while_recording(impl_->recording, "copy_from_host");
  ++impl_->waits;
  copy_bytes(to, from, bytes);
}

void CudaContext::copy_to_host(void* to, const void* from, std::size_t bytes) {
  refuse_while_recording(impl_->recording, "copy_to_host");
  ++impl_->waits;
  copy_bytes(to, from, bytes);
}

void CudaContext::copy(void* to, const void* from, std::size_t bytes) {
  impl_->give([=] { copy_bytes(to, from, bytes); });
}

void CudaContext::synchronize() {
  refuse_while_recording(impl_->recording, "synchronize");
  ++impl_->waits;
}

bool CudaContext::tf32() const noexcept {
  return impl_->tf32;
}
void CudaContext::set_tf32(bool allowed) noexcept {
  impl_->tf32 = allowed;
}
bool CudaContext::recording() const noexcept {
  return impl_->recording != nullptr;
}
std::int64_t CudaContext::launches() const noexcept {
  return impl_->launches;
}
std::int64_t CudaContext::waits() const noexcept {
  return impl_->waits;
}

void* CudaContext::find_state(const void* tag, std::shared_ptr<void> (*make)(CudaContext&)) {
  std::shared_ptr<void>& state = impl_->states[tag];
  if (!state) {
    refuse_while_recording(impl_->recording, "state");
    state = make(*this);
  }
  return state.get();
}

void LaunchAccess::emulate(CudaContext& context, const char* kernel, const LaunchShape& shape,
                           std::function<void()> thread) {
  CudaContext::Impl& impl = *context.impl_;
  impl.give([&impl, kernel, shape, thread = std::move(thread)] {
    ++impl.launches;
    const std::lock_guard lock(one_device);
    const Access access;
    emulation::run_grid(kernel, shape, thread);
    memory().check_margins(kernel);
  });
}

struct CudaGraph::Impl {
  explicit Impl(CudaContext& c) : context(c) {}
  ~Impl() { context.impl_->memory->allocator.dissolve(pool); }
  CudaContext& context;
  std::shared_ptr<CachingAllocator::Pool> pool = std::make_shared<CachingAllocator::Pool>();
  std::vector<std::function<void()>> nodes;
};

CudaGraph::CudaGraph(CudaContext& context, const std::function<void()>& work)
    : impl_(new Impl{context}) {
  CudaContext::Impl& owner = *context.impl_;
  refuse_while_recording(owner.recording, "CudaGraph");
  owner.memory->allocator.release();
  struct Recording {
    CudaContext::Impl& owner;
    Recording(CudaContext::Impl& o, CudaGraph::Impl& graph) : owner(o) {
      owner.recording = &graph.nodes;
      owner.memory->allocator.begin_pool(graph.pool);
      owner.memory->source.recording = true;
    }
    ~Recording() {
      owner.recording = nullptr;
      owner.memory->allocator.end_pool();
      owner.memory->source.recording = false;
    }
  };
  const Recording recording(owner, *impl_);
  work();
  if (!recording_failure.empty()) fail(ErrorKind::device, "CudaGraph: ", recording_failure);
}

CudaGraph::~CudaGraph() = default;

void CudaGraph::replay() {
  for (const auto& node : impl_->nodes) node();
}

std::int64_t CudaGraph::nodes() const noexcept {
  return static_cast<std::int64_t>(impl_->nodes.size());
}

int cuda_devices(std::string* why) {
  if (why) why->clear();
  return 1;
}

// Kernels run at once: the host's clock is theirs.
std::unique_ptr<detail::ProfileTimer> detail::profile_timer(CudaContext& context) noexcept {
  return context.recording() ? nullptr : host_timer();
}

}  // namespace shatter
