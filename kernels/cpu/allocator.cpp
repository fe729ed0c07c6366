// The process-wide caching allocator of the CPU backend.
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <shatter/kernels/context.h>
#include <shatter/kernels/error.h>

namespace shatter {

namespace {

constexpr std::size_t alignment = 64;

// Under AddressSanitizer every block goes straight back, so that it sees use after free.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool keeps_blocks = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool keeps_blocks = false;
#else
constexpr bool keeps_blocks = true;
#endif
#else
constexpr bool keeps_blocks = true;
#endif

// Eight classes to each power of two: at most an eighth of a block is wasted. 0 on overflow.
std::size_t size_class(std::size_t bytes) {
  const std::size_t power = std::bit_floor(std::max<std::size_t>(bytes, 1));
  const std::size_t step = std::max(power / 8, alignment);
  if (bytes > SIZE_MAX - step) return 0;
  return std::max((bytes + step - 1) / step * step, alignment);
}

struct Allocator {
  std::mutex mutex;
  std::unordered_map<std::size_t, std::vector<void*>> blocks;  // free ones, by size class
  AllocatorStatistics statistics;

  void release() {
    for (auto& [size, list] : blocks) {
      for (void* block : list) std::free(block);
      list.clear();
    }
    statistics.cached_bytes = 0;
  }
};

// Never destroyed: tensors with static lifetime may be freed after any static of this file.
Allocator& allocator() {
  static Allocator& the_allocator = *new Allocator;
  return the_allocator;
}

}  // namespace

void* cpu_allocate(std::size_t bytes) {
  Allocator& a = allocator();
  const std::size_t size = size_class(bytes);
  const std::lock_guard lock(a.mutex);
  void* block = nullptr;
  if (std::vector<void*>& list = a.blocks[size]; !list.empty()) {
    block = list.back();
    list.pop_back();
    a.statistics.cached_bytes -= static_cast<std::int64_t>(size);
  } else if (size != 0 && size <= PTRDIFF_MAX) {
    ++a.statistics.system_allocations;
    block = std::aligned_alloc(alignment, size);
    if (!block) {
      a.release();
      block = std::aligned_alloc(alignment, size);
    }
  }
  if (!block)
    fail(ErrorKind::unexpected, "out of memory: ", bytes, " bytes asked for, ",
         a.statistics.live_bytes, " bytes in use; a smaller batch needs less");
  a.statistics.live_bytes += static_cast<std::int64_t>(size);
  a.statistics.peak_bytes = std::max(a.statistics.peak_bytes, a.statistics.live_bytes);
  return block;
}

void cpu_free(void* memory, std::size_t bytes) noexcept {
  if (!memory) return;
  Allocator& a = allocator();
  const std::size_t size = size_class(bytes);
  const std::lock_guard lock(a.mutex);
  a.statistics.live_bytes -= static_cast<std::int64_t>(size);
  if constexpr (keeps_blocks) {
    try {
      a.blocks[size].push_back(memory);
      a.statistics.cached_bytes += static_cast<std::int64_t>(size);
      return;
    } catch (...) {
      // No memory for the list: the block itself goes back below.
    }
  }
  std::free(memory);
}

AllocatorStatistics cpu_allocator_statistics() {
  Allocator& a = allocator();
  const std::lock_guard lock(a.mutex);
  return a.statistics;
}

void cpu_release_cache() {
  Allocator& a = allocator();
  const std::lock_guard lock(a.mutex);
  a.release();
}

}  // namespace shatter
