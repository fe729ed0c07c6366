// The process-wide caching allocator of the CPU backend.
#include <cstdlib>

#include <shatter/kernels/caching_allocator.h>
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

class System final : public MemorySource {
 public:
  void* obtain(std::size_t bytes) override { return std::aligned_alloc(alignment, bytes); }
  void give_back(void* block, std::size_t) noexcept override { std::free(block); }
};

// Never destroyed: tensors with static lifetime may be freed after any static of this file.
CachingAllocator& allocator() {
  static CachingAllocator& the_allocator =
      *new CachingAllocator(*new System, alignment, keeps_blocks);
  return the_allocator;
}

}  // namespace

void* cpu_allocate(std::size_t bytes) {
  void* const block = allocator().allocate(bytes);
  if (!block)
    fail(ErrorKind::unexpected, "out of memory: ", bytes, " bytes asked for, ",
         allocator().statistics().live_bytes, " bytes in use; a smaller batch needs less");
  return block;
}

void cpu_free(void* memory, std::size_t bytes) noexcept {
  allocator().free(memory, bytes);
}

AllocatorStatistics cpu_allocator_statistics() {
  return allocator().statistics();
}

void cpu_release_cache() {
  allocator().release();
}

}  // namespace shatter
