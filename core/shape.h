// Tensor shapes: up to six dimensions, kept in place.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>

#include <shatter/kernels/error.h>

namespace shatter {

class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  /// Throws for more than max_rank dimensions or a negative one.
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  /// Dimension i; negative i counts from the end. Throws when there is none.
  std::int64_t operator[](int i) const { return dims_[axis(i)]; }
  std::int64_t numel() const;
  /// i with negative values counted from the end; throws unless 0 <= result < rank.
  int axis(int i) const;
  /// This shape with dimension i replaced.
  Shape with(int i, std::int64_t size) const;
  std::span<const std::int64_t> dims() const { return {dims_.data(), std::size_t(rank_)}; }
  std::string str() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && a.dims_ == b.dims_;
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.str();
  }

 private:
  std::array<std::int64_t, max_rank> dims_{};
  int rank_ = 0;
};

/// NumPy's broadcast of two shapes. Throws with both when they do not fit.
Shape broadcast(const Shape& a, const Shape& b);

}  // namespace shatter
