// Picking, placing and reordering elements.
#include <shatter/core/indexing.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/indexing.h>

namespace shatter {
namespace {

using kernels::GatherGeometry;
using kernels::StridedGeometry;

/// Where a block lies in a tensor: its first element and a step for each dimension.
struct Place {
  std::int64_t offset = 0;
  std::vector<std::int64_t> steps;

  explicit Place(const Shape& packed) : steps(std::size_t(packed.rank())) {
    std::int64_t next = 1;
    for (int i = packed.rank() - 1; i >= 0; --i) {
      steps[std::size_t(i)] = next;
      next *= packed[i];
    }
  }
};

/// Copies the block of `shape` at `from` in x to `to` in y; both packed, of one type and device.
void copy_block(const Shape& shape, const Tensor& x, const Place& from, const Tensor& y,
                const Place& to) {
  StridedGeometry g;
  for (int i = 1; i <= shape.rank(); ++i) {
    const auto at = std::size_t(StridedGeometry::rank - i), mine = std::size_t(shape.rank() - i);
    g.shape[at] = shape[-i];
    g.x_step[at] = from.steps[mine];
    g.y_step[at] = to.steps[mine];
  }
  on(x.device(), [&](auto& context) {
    with_dtype(x.dtype(), [&]<class T>() {
      kernels::copy_strided<T>(context, g, x.data<T>() + from.offset, y.data<T>() + to.offset);
    });
  });
}

/// Places begin, begin + step, ... (`count` of them, step not 0) along an axis of a shape.
struct Slice {
  int axis;
  std::int64_t begin, step, count;

  Place in(const Shape& whole) const {
    Place place(whole);
    place.offset = count ? begin * place.steps[std::size_t(axis)] : 0;
    place.steps[std::size_t(axis)] *= step;
    return place;
  }
};

Tensor sliced(const char* op, const Tensor& x_any, const Slice& part);

/// y at its slice of zeros of shape `whole`: the gradient of sliced.
Tensor spread(const char* op, const Tensor& y_any, const Shape& whole, const Slice& part) {
  const Tensor y = y_any.packed(), x = Tensor::zeros(whole, y.dtype(), y.device());
  copy_block(y.shape(), y, Place(y.shape()), x, part.in(whole));
  return record(
      op, x, {y},
      [op, part](const Tensor& dx, const Needed&) {
        return std::vector<Tensor>{sliced(op, dx, part)};
      },
      Order::second);
}

Tensor sliced(const char* op, const Tensor& x_any, const Slice& part) {
  const Tensor x = x_any.packed();
  const Tensor y = Tensor::empty(x.shape().with(part.axis, part.count), x.dtype(), x.device());
  copy_block(y.shape(), x, part.in(x.shape()), y, Place(y.shape()));
  return record(
      op, y, {x},
      [op, part, whole = x.shape()](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{spread(op, dy, whole, part)};
      },
      Order::second);
}

void check_defined(const char* op, const Tensor& x) {
  check(x.defined(), op, ": the operand is undefined");
}

/// `index` in int64, packed; on the CPU its values are looked at.
Tensor checked_index(const char* op, const Tensor& x, int axis, const Tensor& index) {
  check(index.defined() && (index.dtype() == DType::int32 || index.dtype() == DType::int64), op,
        ": the index is ", index.str(), ", expected int32 or int64");
  check(index.device() == x.device(), op, ": the input is on ", x.device().name(),
        ", the index on ", index.device().name());
  const Tensor whole = index.to(DType::int64).packed();
  if (whole.device().is_cpu()) {
    const std::int64_t* const values = whole.data<std::int64_t>();
    for (std::int64_t i = 0; i < whole.numel(); ++i)
      check(values[i] >= 0 && values[i] < x.dim(axis), op, ": index ", values[i], " at place ", i,
            " lies outside [0, ", x.dim(axis), "), dimension ", axis, " of ", x.shape());
  }
  return whole;
}

GatherGeometry along(const Shape& x, int axis, std::int64_t count, bool each) {
  GatherGeometry g{.extent = x[axis], .count = count, .each = each};
  for (int i = 0; i < axis; ++i) g.outer *= x[i];
  for (int i = axis + 1; i < x.rank(); ++i) g.inner *= x[i];
  return g;
}

Tensor taken(const char* op, const Tensor& x_any, int axis, const Saved& index, bool each);

/// y summed into zeros of shape `whole` at the index: the gradient of taken.
Tensor put(const char* op, const Tensor& y_any, const Shape& whole, int axis, const Saved& index,
           bool each) {
  const Tensor y = y_any.packed(), x = Tensor::empty(whole, y.dtype(), y.device());
  ops::run_mixed(op, y, [&]<class T>(auto& context) {
    kernels::scatter_add<T>(context, along(whole, axis, y.dim(axis), each), y.data<T>(),
                            (*index).data<std::int64_t>(), x.data<T>());
  });
  return record(
      op, x, {y},
      [op, axis, index, each](const Tensor& dx, const Needed&) {
        return std::vector<Tensor>{taken(op, dx, axis, index, each)};
      },
      Order::second);
}

/// The elements of x at the index, which is of int64 and packed.
Tensor taken(const char* op, const Tensor& x_any, int axis, const Saved& index, bool each) {
  const Tensor x = x_any.packed(), places = *index;
  const std::int64_t count = each ? places.dim(axis) : places.numel();
  const Tensor y = Tensor::empty(x.shape().with(axis, count), x.dtype(), x.device());
  on(x.device(), [&](auto& context) {
    with_dtype(x.dtype(), [&]<class T>() {
      kernels::gather<T>(context, along(x.shape(), axis, count, each), x.data<T>(),
                         places.data<std::int64_t>(), y.data<T>());
    });
  });
  return record(
      op, y, {x},
      [op, whole = x.shape(), axis, index, each](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{put(op, dy, whole, axis, index, each)};
      },
      Order::second);
}

Shape inserted(const Shape& shape, int axis, std::int64_t size) {
  std::vector<std::int64_t> dims(shape.dims().begin(), shape.dims().end());
  dims.insert(dims.begin() + axis, size);
  return Shape(dims);
}

}  // namespace

Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  check_defined("slice", x);
  axis = x.shape().axis(axis);
  check(step >= 1, "slice: step ", step, ", expected at least 1 (flip() turns an axis round)");
  const std::int64_t size = x.dim(axis);
  const auto place = [size](std::int64_t i) {
    return std::clamp<std::int64_t>(i < 0 ? i + size : i, 0, size);
  };
  const std::int64_t first = place(begin), last = place(end);
  return sliced("slice", x,
                {axis, first, step, std::max<std::int64_t>(0, (last - first + step - 1) / step)});
}

Tensor flip(const Tensor& x, int axis) {
  check_defined("flip", x);
  axis = x.shape().axis(axis);
  return sliced("flip", x, {axis, x.dim(axis) - 1, -1, x.dim(axis)});
}

Tensor index_select(const Tensor& x, int axis, const Tensor& index) {
  check_defined("index_select", x);
  axis = x.shape().axis(axis);
  check(index.defined() && index.rank() == 1, "index_select: the index is ", index.str(),
        ", expected one dimension");
  return taken("index_select", x, axis, checked_index("index_select", x, axis, index), false);
}

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  check_defined("gather", x);
  axis = x.shape().axis(axis);
  check(index.defined() && index.rank() == x.rank() &&
            index.shape().with(axis, 1) == x.shape().with(axis, 1),
        "gather: the index is ", index.str(), ", expected the shape of ", x.shape(),
        " but along dimension ", axis);
  return taken("gather", x, axis, checked_index("gather", x, axis, index), true);
}

Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& src) {
  ops::check_operands("scatter_add", {x, src});
  axis = x.shape().axis(axis);
  check(index.defined() && index.shape() == src.shape() && src.rank() == x.rank() &&
            src.shape().with(axis, 1) == x.shape().with(axis, 1),
        "scatter_add: index ", index.str(), " and source ", src.str(),
        ", expected one shape, that of ", x.shape(), " but along dimension ", axis);
  return add(x, put("scatter_add", src, x.shape(), axis,
                    checked_index("scatter_add", x, axis, index), true));
}

Tensor concat(const std::vector<Tensor>& parts, int axis) {
  check(!parts.empty(), "concat: nothing to join");
  const Tensor& first = parts.front();
  check_defined("concat", first);
  axis = first.shape().axis(axis);
  if (axis == first.rank() - 1 && is_floating(first.dtype())) return concat(parts);
  std::vector<Tensor> packed;
  std::vector<std::int64_t> sizes;
  for (const Tensor& part : parts) {
    check(part.defined() && part.dtype() == first.dtype() && part.device() == first.device() &&
              part.rank() == first.rank() &&
              part.shape().with(axis, 0) == first.shape().with(axis, 0),
          "concat: ", first.str(), " and ", part.str(), " differ elsewhere than in dimension ",
          axis);
    packed.push_back(part.packed());
    sizes.push_back(part.dim(axis));
  }
  const std::int64_t total = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  const Tensor y = Tensor::empty(first.shape().with(axis, total), first.dtype(), first.device());
  std::int64_t begin = 0;
  for (const Tensor& part : packed) {
    copy_block(part.shape(), part, Place(part.shape()), y,
               Slice{axis, begin, 1, part.dim(axis)}.in(y.shape()));
    begin += part.dim(axis);
  }
  return record(
      "concat", y, packed,
      [axis, sizes](const Tensor& dy, const Needed&) {
        std::vector<Tensor> slices;
        std::int64_t at = 0;
        for (const std::int64_t size : sizes) {
          slices.push_back(sliced("concat", dy, {axis, at, 1, size}));
          at += size;
        }
        return slices;
      },
      Order::second);
}

Tensor stack(const std::vector<Tensor>& parts, int axis) {
  check(!parts.empty(), "stack: nothing to stack");
  std::vector<Tensor> rows;
  for (const Tensor& part : parts) {
    check(part.defined() && part.shape() == parts.front().shape(), "stack: ", parts.front().str(),
          " and ", part.str(), " differ");
    rows.push_back(unsqueeze(part, axis));
  }
  return concat(rows, axis);
}

std::vector<Tensor> split(const Tensor& x, std::int64_t size, int axis) {
  check_defined("split", x);
  check(size >= 1, "split: pieces of ", size);
  std::vector<Tensor> pieces;
  for (std::int64_t begin = 0; begin < x.dim(axis); begin += size)
    pieces.push_back(slice(x, axis, begin, begin + size));
  return pieces;
}

Tensor transpose(const Tensor& x, int a, int b) {
  check_defined("transpose", x);
  std::vector<int> order(std::size_t(x.rank()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[std::size_t(x.shape().axis(a))], order[std::size_t(x.shape().axis(b))]);
  return permute(x, order);
}

Tensor unsqueeze(const Tensor& x, int axis) {
  check_defined("unsqueeze", x);
  const int place = axis < 0 ? axis + x.rank() + 1 : axis;
  check(place >= 0 && place <= x.rank(), "unsqueeze: no place ", axis, " among the dimensions of ",
        x.shape());
  return x.reshape(inserted(x.shape(), place, 1));
}

Tensor squeeze(const Tensor& x, int axis) {
  check_defined("squeeze", x);
  axis = x.shape().axis(axis);
  check(x.dim(axis) == 1, "squeeze: dimension ", axis, " of ", x.shape(), " is not 1");
  std::vector<std::int64_t> dims(x.shape().dims().begin(), x.shape().dims().end());
  dims.erase(dims.begin() + axis);
  return x.reshape(Shape(dims));
}

Tensor argsort(const Tensor& x, int axis, bool descending) {
  check_defined("argsort", x);
  axis = x.shape().axis(axis);
  const NoGrad guard;
  const Tensor rows = transpose(x.detach(), axis, -1).to(Device::cpu());
  const std::int64_t count = rows.dim(-1);
  const Tensor order = Tensor::empty(rows.shape(), DType::int64);
  with_dtype(x.dtype(), [&]<class T>() {
    const T* row = rows.data<T>();
    std::int64_t* places = order.data<std::int64_t>();
    for (std::int64_t i = 0; i < ops::rows(rows); ++i, row += count, places += count) {
      std::iota(places, places + count, std::int64_t{0});
      std::stable_sort(places, places + count, [&](std::int64_t a, std::int64_t b) {
        const T x_a = row[a], x_b = row[b];
        if constexpr (!std::is_integral_v<T>) {
          const bool nan_a = std::isnan(wide_t<T>(x_a)), nan_b = std::isnan(wide_t<T>(x_b));
          if (nan_a || nan_b) return nan_b && !nan_a;
        }
        return descending ? x_b < x_a : x_a < x_b;
      });
    }
  });
  return transpose(order.to(x.device()), axis, -1);
}

Tensor one_hot(const Tensor& labels, std::int64_t classes, DType dtype) {
  check(labels.defined() && (labels.dtype() == DType::int32 || labels.dtype() == DType::int64),
        "one_hot: labels are ", labels.str(), ", expected int32 or int64");
  check(classes >= 1, "one_hot: ", classes, " classes");
  const std::vector<std::int64_t> values = labels.values<std::int64_t>();
  std::vector<std::uint8_t> ones(values.size() * std::size_t(classes));
  for (std::size_t i = 0; i < values.size(); ++i) {
    check(values[i] >= 0 && values[i] < classes, "one_hot: label ", values[i], " at place ", i,
          " lies outside [0, ", classes, ")");
    ones[i * std::size_t(classes) + std::size_t(values[i])] = 1;
  }
  const Shape shape = inserted(labels.shape(), labels.rank(), classes);
  return Tensor::from(ones, shape).to(dtype).to(labels.device());
}

Sorted sort(const Tensor& x, int axis, bool descending) {
  const Tensor places = argsort(x, axis, descending);
  return {gather(x, axis, places), places};
}

Sorted topk(const Tensor& x, std::int64_t k, int axis, bool largest) {
  check_defined("topk", x);
  axis = x.shape().axis(axis);
  check(k >= 0 && k <= x.dim(axis), "topk: ", k, " of ", x.dim(axis), " elements");
  const Tensor places = slice(argsort(x, axis, largest), axis, 0, k);
  return {gather(x, axis, places), places};
}

}  // namespace shatter
