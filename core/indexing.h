// Ops that pick, place and reorder elements. Differentiable twice in their tensors; indices are
// int32 or int64 tensors on the same device. An index outside its range throws on the CPU; on a
// CUDA device, where looking would wait, it gives NaN (in integers 0). Axes count from the end
// where negative.
#pragma once

#include <limits>
#include <utility>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter {

inline constexpr std::int64_t to_the_end = std::numeric_limits<std::int64_t>::max();

/// x[begin:end:step] along one axis, by Python's rules: negative places count from the end, places
/// outside are cut off. step is at least 1.
Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end = to_the_end,
             std::int64_t step = 1);
/// x with one axis in reverse order.
Tensor flip(const Tensor& x, int axis);
/// The places index [n] along one axis: that dimension becomes n.
Tensor index_select(const Tensor& x, int axis, const Tensor& index);
/// y[.., j, ..] = x[.., index[.., j, ..], ..]: index has y's shape, equal to x's but along the
/// axis.
Tensor gather(const Tensor& x, int axis, const Tensor& index);
/// x with src[.., j, ..] added at index[.., j, ..] along the axis, in the order of j; src and index
/// have one shape, equal to x's but along the axis.
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& src);

/// Tensors of one shape side by side along a new axis.
Tensor stack(const std::vector<Tensor>& parts, int axis = 0);
/// Joined along any axis; along the last one it is concat(parts) (core/ops.h).
Tensor concat(const std::vector<Tensor>& parts, int axis);
/// Pieces of `size` along one axis; the last may be smaller.
std::vector<Tensor> split(const Tensor& x, std::int64_t size, int axis = 0);

/// Two dimensions exchanged.
Tensor transpose(const Tensor& x, int a, int b);
/// With a dimension of size 1 put in front of dimension `axis`; -1: at the end.
Tensor unsqueeze(const Tensor& x, int axis);
/// Without dimension `axis`, whose size is 1.
Tensor squeeze(const Tensor& x, int axis);
/// x repeated along dimensions of size 1 and new leading ones.
Tensor broadcast_to(const Tensor& x, const Shape& shape);

// Not differentiable. Order is found on the host: on a CUDA device these wait for it.
/// int64: the places of the elements in order along one axis, equal ones as they stood; NaN last.
Tensor argsort(const Tensor& x, int axis = -1, bool descending = false);
/// 1 at each label, else 0: labels int32 or int64 [...] -> dtype [..., classes]. A label outside
/// throws.
Tensor one_hot(const Tensor& labels, std::int64_t classes, DType dtype = DType::float32);

struct Sorted {
  Tensor values;   ///< differentiable
  Tensor indices;  ///< int64
};
/// The elements in order along one axis.
Sorted sort(const Tensor& x, int axis = -1, bool descending = false);
/// The k largest along one axis, the largest first; with `largest` false the k smallest.
Sorted topk(const Tensor& x, std::int64_t k, int axis = -1, bool largest = true);

}  // namespace shatter
