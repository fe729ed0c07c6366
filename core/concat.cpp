// Joining along channels, reordering dimensions, flattening.
#include <algorithm>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/elementwise.h>

namespace shatter {
namespace {

/// Whether the parts lie side by side in one block, so that the block is their concatenation.
bool are_neighbours(const std::vector<Tensor>& parts, std::int64_t channels) {
  std::int64_t offset = parts.front().offset();
  for (const Tensor& part : parts) {
    const bool fits =
        part.shares_storage(parts.front()) && part.pitch() == channels && part.offset() == offset;
    if (!fits) return false;
    offset += part.dim(-1);
  }
  return true;
}

}  // namespace

Tensor concat(const std::vector<Tensor>& parts) {
  check(!parts.empty(), "concat: nothing to join");
  std::int64_t channels = 0;
  for (const Tensor& part : parts) {
    ops::check_operands("concat", {parts.front(), part});
    check(part.rank() >= 1 && part.rank() == parts.front().rank() &&
              part.shape().with(-1, 0) == parts.front().shape().with(-1, 0),
          "concat: shapes ", parts.front().shape(), " and ", part.shape(),
          " differ before the last dimension");
    channels += part.dim(-1);
  }
  const Tensor& first = parts.front();
  Tensor y;
  if (are_neighbours(parts, channels)) {
    y = first.detach().whole_pixels();
  } else {
    y = Tensor::empty(first.shape().with(-1, channels), first.dtype(), first.device());
    std::int64_t begin = 0;
    for (const Tensor& part : parts) {
      y.slice_channels(begin, part.dim(-1)).copy_from(part.detach());
      begin += part.dim(-1);
    }
  }
  std::vector<std::int64_t> sizes;
  for (const Tensor& part : parts) sizes.push_back(part.dim(-1));
  return record(
      "concat", y, parts,
      [sizes](const Tensor& dy, const Needed&) {
        std::vector<Tensor> slices;
        std::int64_t begin = 0;
        for (const std::int64_t size : sizes) {
          slices.push_back(dy.slice_channels(begin, size));
          begin += size;
        }
        return slices;
      },
      Order::second);
}

Tensor flatten(const Tensor& x) {
  check(x.rank() >= 1, "flatten: a scalar has no batch dimension");
  return x.reshape({x.dim(0), x.shape().with(0, 1).numel()});
}

Tensor permute(const Tensor& x_any, const std::vector<int>& order) {
  check(x_any.defined(), "permute: the operand is undefined");
  const Tensor x = x_any.packed();
  const auto rank = std::size_t(x.rank());
  std::vector<int> sorted = order, inverse(rank);
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < rank; ++i) {
    check(order.size() == rank && sorted[i] == int(i), "permute: the order is no ordering of the ",
          rank, " dimensions of ", x.shape());
  }
  std::vector<std::int64_t> dims(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    dims[i] = x.dim(order[i]);
    inverse[std::size_t(order[i])] = int(i);
  }
  const Tensor y = Tensor::empty(Shape(dims), x.dtype(), x.device());
  ops::run_any(x, [&]<class T>(auto& context) {
    kernels::permute<T>(context, x.rank(), x.shape().dims().data(), order.data(), x.data<T>(),
                        y.data<T>());
  });
  return record(
      "permute", y, {x},
      [inverse](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{permute(dy, inverse)};
      },
      Order::second);
}

}  // namespace shatter
