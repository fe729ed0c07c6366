// How many multiply-adds the ops of a thread do: what a summary says of a layer it knows nothing
// of.
#pragma once

#include <cstdint>

namespace shatter {

/// While it lives, counts those of this thread's calls of matmul, linear and conv2d, as their
/// formulas have them. A nested count's total is part of the outer one's.
class MultiplyAddCount {
 public:
  MultiplyAddCount() : outer_(innermost_) { innermost_ = this; }
  ~MultiplyAddCount() {
    innermost_ = outer_;
    add(total_);
  }
  MultiplyAddCount(const MultiplyAddCount&) = delete;
  MultiplyAddCount& operator=(const MultiplyAddCount&) = delete;

  std::int64_t total() const { return total_; }
  static void add(std::int64_t multiply_adds) {
    if (innermost_) innermost_->total_ += multiply_adds;
  }

 private:
  static inline thread_local MultiplyAddCount* innermost_ = nullptr;
  MultiplyAddCount* outer_;
  std::int64_t total_ = 0;
};

}  // namespace shatter
