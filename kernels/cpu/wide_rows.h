// Rows of a result that a kernel sums in a wider type than it stores.
#pragma once

#include <cstdint>
#include <type_traits>

#include <shatter/kernels/types.h>

#include "workspace.h"

namespace shatter::kernels {

/// `count` rows of `columns` elements of wide_t<T>: the rows themselves, `step` apart, where T is
/// that wide, else packed ones that store() rounds to T.
template <class T>
class WideRows {
 public:
  using W = wide_t<T>;

  WideRows(T* rows, std::int64_t count, std::int64_t columns, std::int64_t step)
      : rows_(rows),
        count_(count),
        columns_(columns),
        step_(step),
        copy_(in_place ? 0 : count * columns) {}

  W* data() const {
    if constexpr (in_place)
      return rows_;
    else
      return copy_.data();
  }
  std::int64_t step() const { return in_place ? step_ : columns_; }

  void clear() const {
    for (std::int64_t i = 0; i < count_; ++i)
      for (std::int64_t c = 0; c < columns_; ++c) data()[i * step() + c] = W(0);
  }
  void store() const {
    if constexpr (!in_place)
      for (std::int64_t i = 0; i < count_; ++i)
        for (std::int64_t c = 0; c < columns_; ++c)
          rows_[i * step_ + c] = static_cast<T>(data()[i * columns_ + c]);
  }

 private:
  static constexpr bool in_place = std::is_same_v<T, W>;
  T* rows_;
  std::int64_t count_, columns_, step_;
  Workspace<W> copy_;
};

}  // namespace shatter::kernels
