// The caching allocator's bookkeeping.
#include <shatter/kernels/caching_allocator.h>

#include <cstddef>

namespace shatter {

CachingAllocator::CachingAllocator(MemorySource& source, std::size_t alignment, bool keeps_blocks)
    : source_(source), alignment_(alignment), keeps_blocks_(keeps_blocks) {}

std::size_t CachingAllocator::size_class(std::size_t bytes) const {
  const std::size_t power = std::bit_floor(std::max<std::size_t>(bytes, 1));
  const std::size_t step = std::max(power / 8, alignment_);
  if (bytes > SIZE_MAX - step) return 0;
  return std::max((bytes + step - 1) / step * step, alignment_);
}

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  std::unique_lock lock(mutex_);
  void* block = nullptr;
  if (std::vector<void*>& list = current_->free[size]; !list.empty()) {
    block = list.back();
    list.pop_back();
    statistics_.cached_bytes -= static_cast<std::int64_t>(size);
  } else if (size != 0 && size <= PTRDIFF_MAX) {
    ++statistics_.system_allocations;
    block = source_.obtain(size);
    if (!block && current_ == common_) {
      lock.unlock();
      release();
      lock.lock();
      block = source_.obtain(size);
    }
    if (block && current_ != common_) owners_[block] = current_;
  }
  if (!block) return nullptr;
  source_.lend(block, bytes, size);
  statistics_.live_bytes += static_cast<std::int64_t>(size);
  statistics_.peak_bytes = std::max(statistics_.peak_bytes, statistics_.live_bytes);
  return block;
}

void CachingAllocator::free(void* block, std::size_t bytes) noexcept {
  if (!block) return;
  const std::size_t size = size_class(bytes);
  std::unique_lock lock(mutex_);
  statistics_.live_bytes -= static_cast<std::int64_t>(size);
  source_.take_back(block, bytes, size);
  if (keeps_blocks_) {
    try {
      const auto owner = owners_.find(block);
      Pool& pool = owner == owners_.end() ? *common_ : *owner->second;
      pool.free[size].push_back(block);
      statistics_.cached_bytes += static_cast<std::int64_t>(size);
      return;
    } catch (...) {
      // No memory for the list: the block itself goes back below.
    }
  }
  owners_.erase(block);
  lock.unlock();
  source_.give_back(block, size);
}

AllocatorStatistics CachingAllocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void CachingAllocator::release() {
  Pool kept;
  {
    const std::lock_guard lock(mutex_);
    std::swap(kept.free, common_->free);
    for (const auto& [size, list] : kept.free)
      statistics_.cached_bytes -= static_cast<std::int64_t>(size * list.size());
  }
  for (const auto& [size, list] : kept.free)
    for (void* const block : list) source_.give_back(block, size);
}

void CachingAllocator::close() {
  {
    const std::lock_guard lock(mutex_);
    keeps_blocks_ = false;
  }
  release();
}

void CachingAllocator::begin_pool(std::shared_ptr<Pool> pool) {
  const std::lock_guard lock(mutex_);
  current_ = std::move(pool);
}

void CachingAllocator::end_pool() {
  const std::lock_guard lock(mutex_);
  current_ = common_;
}

void CachingAllocator::dissolve(const std::shared_ptr<Pool>& pool) noexcept {
  const std::lock_guard lock(mutex_);
  for (auto& [size, list] : pool->free) {
    std::vector<void*>& common = common_->free[size];
    common.insert(common.end(), list.begin(), list.end());
    list.clear();
  }
  std::erase_if(owners_, [&](const auto& entry) { return entry.second == pool; });
}

}  // namespace shatter
