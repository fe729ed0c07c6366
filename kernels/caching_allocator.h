// Memory kept for reuse by size class: the allocator of every backend.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <shatter/kernels/context.h>

namespace shatter {

/// Where a CachingAllocator gets its blocks. Called under the allocator's lock, but for give_back:
/// that may wait for another thread, which may need the allocator.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// A block of `bytes`, or null where there is no more.
  virtual void* obtain(std::size_t bytes) = 0;
  virtual void give_back(void* block, std::size_t bytes) noexcept = 0;
  /// Called when a block of `capacity` bytes is handed out for a request of `bytes`, and when it
  /// comes back.
  virtual void lend(void* /*block*/, std::size_t /*bytes*/, std::size_t /*capacity*/) {}
  virtual void take_back(void* /*block*/, std::size_t /*bytes*/,
                         std::size_t /*capacity*/) noexcept {}
};

/// Thread safe. A block belongs to the pool that was current when it was first obtained, and comes
/// back to it: a captured graph keeps a pool of its own, so that nothing else writes its memory.
class CachingAllocator {
 public:
  /// Free blocks by size.
  struct Pool {
    std::unordered_map<std::size_t, std::vector<void*>> free;
  };

  /// Sizes are multiples of `alignment`, a power of two. Without `keeps_blocks` each block goes
  /// straight back to the source.
  CachingAllocator(MemorySource& source, std::size_t alignment, bool keeps_blocks = true);
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  /// Null where the source has no more even after all kept blocks were given back to it. While a
  /// pool is current none are given back.
  void* allocate(std::size_t bytes);
  void free(void* block, std::size_t bytes) noexcept;
  AllocatorStatistics statistics() const;
  /// Gives the blocks kept in the common pool back.
  void release();
  /// The same, and blocks still in use go straight back to the source when they are freed.
  void close();

  /// Blocks are taken from `pool` until end_pool(); one pool at a time.
  void begin_pool(std::shared_ptr<Pool> pool);
  void end_pool();
  /// The pool's blocks join the common ones; those still in use follow when they are freed.
  void dissolve(const std::shared_ptr<Pool>& pool) noexcept;

  /// The size of the block that a request gets: eight classes to each power of two, so at most an
  /// eighth is wasted. 0 on overflow.
  std::size_t size_class(std::size_t bytes) const;

 private:
  MemorySource& source_;
  std::size_t alignment_;
  bool keeps_blocks_;
  mutable std::mutex mutex_;
  std::shared_ptr<Pool> common_ = std::make_shared<Pool>(), current_ = common_;
  std::unordered_map<void*, std::shared_ptr<Pool>> owners_;  // of blocks from other pools
  AllocatorStatistics statistics_;
};

}  // namespace shatter
