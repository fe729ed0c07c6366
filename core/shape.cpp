// Shapes and NumPy's broadcasting rule.
#include <shatter/core/shape.h>

#include <algorithm>
#include <limits>

namespace shatter {

Shape::Shape(std::span<const std::int64_t> dims) {
  check(dims.size() <= max_rank, "shape: ", dims.size(), " dimensions, at most ", max_rank);
  std::int64_t numel = 1;
  for (const std::int64_t size : dims) {
    check(size >= 0, "shape: dimension ", rank_, " is ", size);
    check(size == 0 || numel <= std::numeric_limits<std::int64_t>::max() / 16 / size,
          "shape: too many elements");
    numel *= std::max<std::int64_t>(size, 1);
    dims_[std::size_t(rank_++)] = size;
  }
}

std::int64_t Shape::numel() const {
  std::int64_t product = 1;
  for (const std::int64_t size : dims()) product *= size;
  return product;
}

int Shape::axis(int i) const {
  const int axis = i < 0 ? i + rank_ : i;
  check(axis >= 0 && axis < rank_, "shape ", *this, " has no dimension ", i);
  return axis;
}

Shape Shape::with(int i, std::int64_t size) const {
  Shape changed = *this;
  changed.dims_[std::size_t(axis(i))] = size;
  return Shape(changed.dims());
}

std::string Shape::str() const {
  std::ostringstream out;
  out << '[';
  for (int i = 0; i < rank_; ++i) out << (i ? ", " : "") << dims_[std::size_t(i)];
  out << ']';
  return out.str();
}

Shape broadcast(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<std::int64_t, Shape::max_rank> dims{};
  for (int i = 1; i <= rank; ++i) {
    const std::int64_t from_a = i <= a.rank() ? a[-i] : 1, from_b = i <= b.rank() ? b[-i] : 1;
    check(from_a == from_b || from_a == 1 || from_b == 1, "broadcast: shapes ", a, " and ", b,
          " do not fit");
    dims[std::size_t(rank - i)] = from_a == 1 ? from_b : from_a;
  }
  return Shape(std::span<const std::int64_t>(dims.data(), std::size_t(rank)));
}

}  // namespace shatter
