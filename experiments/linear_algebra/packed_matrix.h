// The lower triangle of a symmetric matrix in block columns: half the memory of the square.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace shatter::experiments {

/// Block column j holds rows [begin(j), n) of the columns [begin(j), end(j)), row-major and packed.
/// The square on the diagonal is stored whole; above its diagonal nothing means anything.
class PackedLower {
 public:
  static constexpr std::int64_t default_block = 512;

  /// Elements are undefined. Throws (usage) for sizes below 1, (unexpected) without the memory.
  explicit PackedLower(std::int64_t n, std::int64_t block = default_block);

  static double bytes(std::int64_t n, std::int64_t block = default_block);

  std::int64_t n() const { return n_; }
  std::int64_t block() const { return block_; }
  std::int64_t block_columns() const { return std::int64_t(columns_.size()); }
  std::int64_t begin(std::int64_t j) const { return j * block_; }
  std::int64_t end(std::int64_t j) const { return std::min(n_, (j + 1) * block_); }
  std::int64_t width(std::int64_t j) const { return end(j) - begin(j); }

  /// Row `i` >= begin(j) of block column j: its width(j) elements; the next row follows.
  float* row(std::int64_t i, std::int64_t j) {
    return columns_[std::size_t(j)].get() + (i - begin(j)) * width(j);
  }
  const float* row(std::int64_t i, std::int64_t j) const {
    return columns_[std::size_t(j)].get() + (i - begin(j)) * width(j);
  }
  /// Element (i, k), i >= k.
  float& at(std::int64_t i, std::int64_t k) { return row(i, k / block_)[k % block_]; }
  float at(std::int64_t i, std::int64_t k) const { return row(i, k / block_)[k % block_]; }

 private:
  std::int64_t n_, block_;
  std::vector<std::unique_ptr<float[]>> columns_;
};

}  // namespace shatter::experiments
