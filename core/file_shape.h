// Shapes that a file claims to have, checked before a Shape is made of them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <shatter/kernels/types.h>

namespace shatter {

/// Bytes of a tensor with these non-negative dimensions; nothing where they overflow. Zeros are
/// left out of the check's product, so that no product of some of the dimensions can overflow.
inline std::optional<std::uint64_t> bytes_of_shape(const std::vector<std::int64_t>& dims,
                                                   DType dtype) {
  constexpr std::int64_t reserve = 16;  // what Shape keeps free for the size of an element
  std::int64_t product = reserve;
  bool empty = false;
  for (const std::int64_t dim : dims) {
    if (dim == 0)
      empty = true;
    else if (__builtin_mul_overflow(product, dim, &product))
      return std::nullopt;
  }
  return empty ? 0 : std::uint64_t(product / reserve) * size_of(dtype);
}

}  // namespace shatter
