// Scratch memory of a kernel and the arithmetic of cutting work by shape.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <shatter/kernels/context.h>
#include <shatter/kernels/geometry.h>

namespace shatter::kernels {

/// `n` elements from the caching allocator, undefined contents, given back at the end of the scope.
template <class T>
class Workspace {
 public:
  explicit Workspace(std::int64_t n)
      : bytes_(static_cast<std::size_t>(n) * sizeof(T)),
        data_(static_cast<T*>(cpu_allocate(bytes_))) {}
  ~Workspace() { cpu_free(data_, bytes_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  T* data() const { return data_; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  std::size_t bytes_;
  T* data_;
};

/// Elements that are worth handing to another thread.
inline constexpr std::int64_t elements_per_chunk = 16384;

/// Rows of `columns` elements that make such a chunk; at least 1.
constexpr std::int64_t rows_per_chunk(std::int64_t columns) {
  return std::max<std::int64_t>(1, elements_per_chunk / std::max<std::int64_t>(1, columns));
}

}  // namespace shatter::kernels
