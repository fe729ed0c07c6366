// Tensors: memory, views, conversions between types and devices.
#include <shatter/core/tensor.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <shatter/core/autograd.h>
#include <shatter/core/dispatch.h>
#include <shatter/kernels/caching_allocator.h>
#include <shatter/kernels/elementwise.h>

namespace shatter {

void Storage::allocate() {
  if (allocated_) return;
  on(device_, [&]<class Context>(Context& context) {
    if constexpr (std::is_same_v<Context, CpuContext>) {
      data_ = static_cast<std::byte*>(cpu_allocate(bytes_));
    } else {
      allocator_ = context.allocator();
      data_ = static_cast<std::byte*>(context.allocate(bytes_));
    }
  });
  allocated_ = true;
}

Storage::~Storage() {
  if (!allocated_) return;
  if (allocator_)
    allocator_->free(data_, bytes_);
  else
    cpu_free(data_, bytes_);
}

void Storage::fail_unset() {
  fail(ErrorKind::usage,
       "use of a tensor that has no elements yet; a model's parameters get theirs from "
       "initialize(model) or load_model()");
}

namespace {

/// Rows and columns of a tensor whose last-but-one dimension may be pitched.
struct Rows {
  std::int64_t rows, columns;
  explicit Rows(const Shape& shape) : columns(shape.rank() ? shape[-1] : 1) {
    rows = columns ? shape.numel() / columns : 0;
  }
};

/// Copies between equal shapes and types on one device.
void copy_elements(const Tensor& from, const Tensor& to) {
  const Rows extent(from.shape());
  on(from.device(), [&](auto& context) {
    with_dtype(from.dtype(), [&]<class T>() {
      kernels::copy_rows<T>(context, extent.rows, extent.columns, from.data<T>(), from.pitch(),
                            to.data<T>(), to.pitch());
    });
  });
}

/// A packed copy without gradient history.
Tensor copied(const Tensor& x) {
  const Tensor copy = Tensor::empty(x.shape(), x.dtype(), x.device());
  copy_elements(x, copy);
  return copy;
}

/// dy in its place within zeros of `shape`: the gradient of slice(zeros), whose own gradient is a
/// slice again.
template <class Slice>
Tensor placed(const Tensor& dy, const Shape& shape, Slice slice) {
  const Tensor dx = Tensor::zeros(shape, dy.dtype(), dy.device());
  copy_elements(dy, slice(dx));
  return record(
      "placed", dx, {dy},
      [slice](const Tensor& g, const Needed&) { return std::vector<Tensor>{slice(g)}; },
      Order::second);
}

/// Copies between equal packed tensors of which one lies on a CUDA device, the other on the CPU.
void copy_across(const Tensor& from, const Tensor& to) {
  if constexpr (built_with_cuda) {
    const std::size_t bytes = std::size_t(from.numel()) * size_of(from.dtype());
    if (from.device().is_cuda())
      cuda_context(from.device().index()).copy_to_host(to.raw(), from.raw(), bytes);
    else
      cuda_context(to.device().index()).copy_from_host(to.raw(), from.raw(), bytes);
  }
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  const Tensor x = unset(shape, dtype, device);
  x.impl_->storage->allocate();
  return x;
}

Tensor Tensor::unset(const Shape& shape, DType dtype, Device device) {
  auto impl = std::make_shared<Impl>();
  impl->storage = std::make_shared<Storage>(device, std::size_t(shape.numel()) * size_of(dtype));
  impl->shape = shape;
  impl->dtype = dtype;
  impl->device = device;
  impl->pitch = Rows(shape).columns;
  return Tensor(std::move(impl));
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor x = empty(shape, dtype, device);
  x.fill(value);
  return x;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0, dtype, device);
}

Tensor Tensor::ones(const Shape& shape, DType dtype, Device device) {
  return full(shape, 1, dtype, device);
}

Tensor Tensor::arange(double begin, double end, double step, DType dtype, Device device) {
  const double steps = std::ceil((end - begin) / step);
  check(step != 0 && steps < 0x1p53, "arange: from ", begin, " to ", end, " by ", step);
  std::vector<double> values(std::size_t(std::max(0.0, steps)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = begin + double(i) * step;
  return from(values, {std::int64_t(values.size())}).to(dtype).to(device);
}

Tensor Tensor::linspace(double first, double last, std::int64_t count, DType dtype, Device device) {
  check(count >= 0, "linspace: ", count, " numbers");
  std::vector<double> values(static_cast<std::size_t>(count));
  const double step = (last - first) / double(std::max<std::int64_t>(count - 1, 1));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = first + double(i) * step;
  if (count > 1) values.back() = last;
  return from(values, {count}).to(dtype).to(device);
}

Tensor Tensor::eye(std::int64_t n, DType dtype, Device device) {
  std::vector<double> values(std::size_t(Shape{n, n}.numel()));
  for (std::int64_t i = 0; i < n; ++i) values[std::size_t(i * n + i)] = 1;
  return from(values, {n, n}).to(dtype).to(device);
}

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape, Device device) {
  check(std::int64_t(values.size()) == shape.numel(), "Tensor::from: ", values.size(),
        " values for shape ", shape);
  Tensor x = empty(shape, dtype_of<T>);
  std::copy(values.begin(), values.end(), x.data<T>());
  return x.to(device);
}

template <class T>
std::vector<T> Tensor::values() const {
  const Tensor host = detach().to(Device::cpu()).to(dtype_of<T>).packed();
  return std::vector<T>(host.data<T>(), host.data<T>() + host.numel());
}

template Tensor Tensor::from(std::span<const float>, const Shape&, Device);
template Tensor Tensor::from(std::span<const double>, const Shape&, Device);
template Tensor Tensor::from(std::span<const bfloat16>, const Shape&, Device);
template Tensor Tensor::from(std::span<const std::uint8_t>, const Shape&, Device);
template Tensor Tensor::from(std::span<const std::int32_t>, const Shape&, Device);
template Tensor Tensor::from(std::span<const std::int64_t>, const Shape&, Device);
template std::vector<float> Tensor::values() const;
template std::vector<double> Tensor::values() const;
template std::vector<bfloat16> Tensor::values() const;
template std::vector<std::uint8_t> Tensor::values() const;
template std::vector<std::int32_t> Tensor::values() const;
template std::vector<std::int64_t> Tensor::values() const;

bool Tensor::is_packed() const {
  const Rows extent(shape());
  return extent.rows <= 1 || pitch() == extent.columns;
}

double Tensor::item() const {
  check(numel() == 1, "item: tensor ", str(), " has ", numel(), " elements, expected one");
  return values<double>()[0];
}

void Tensor::check_dtype(DType wanted) const {
  check(dtype() == wanted, "data<", name_of(wanted), "> of a tensor of ", name_of(dtype()));
}

Tensor Tensor::view(const Shape& shape, std::int64_t pitch, std::int64_t offset) const {
  auto impl = std::make_shared<Impl>(this->impl());
  impl->shape = shape;
  impl->pitch = pitch;
  impl->offset = offset;
  impl->node = nullptr;
  return Tensor(std::move(impl));
}

Tensor Tensor::detach() const {
  return view(shape(), pitch(), offset());
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) return *this;
  if (!is_set()) return unset(shape(), dtype(), device);
  Tensor moved = empty(shape(), dtype(), device);
  moved.copy_from(*this);
  return record(
      "to", moved, {*this},
      [from = this->device()](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{dy.to(from)};
      },
      Order::second);
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == this->dtype()) return *this;
  Tensor converted = empty(shape(), dtype, device());
  converted.copy_from(*this);
  if (!is_floating(dtype)) return converted;
  return record(
      "to", converted, {*this},
      [from = this->dtype()](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{dy.to(from)};
      },
      Order::second);
}

Tensor Tensor::clone() const {
  return record(
      "clone", copied(*this), {*this},
      [](const Tensor& dy, const Needed&) { return std::vector<Tensor>{dy}; }, Order::second);
}

Tensor Tensor::packed() const {
  return is_packed() ? *this : clone();
}

Tensor Tensor::reshape(std::initializer_list<std::int64_t> dims) const {
  std::vector<std::int64_t> sizes(dims);
  const auto unknown = std::find(sizes.begin(), sizes.end(), -1);
  if (unknown != sizes.end()) {
    check(std::count(sizes.begin(), sizes.end(), -1) == 1,
          "reshape: more than one dimension is -1");
    *unknown = 1;
    const std::int64_t known = Shape(sizes).numel();
    check(known > 0 && numel() % known == 0, "reshape: ", shape(), " does not fit a multiple of ",
          known, " elements");
    *unknown = numel() / known;
  }
  return reshape(Shape(sizes));
}

Tensor Tensor::reshape(const Shape& shape) const {
  check(shape.numel() == numel(), "reshape: ", this->shape(), " has ", numel(), " elements, ",
        shape, " has ", shape.numel());
  if (shape == this->shape()) return *this;
  const Tensor whole = packed();
  return record(
      "reshape", whole.view(shape, Rows(shape).columns, whole.offset()), {whole},
      [from = this->shape()](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{dy.reshape(from)};
      },
      Order::second);
}

Tensor Tensor::slice_channels(std::int64_t begin, std::int64_t count) const {
  check(rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= dim(-1),
        "slice_channels: ", begin, " .. ", begin + count, " of ", shape());
  return record(
      "slice_channels", view(shape().with(-1, count), pitch(), offset() + begin), {*this},
      [shape = shape(), begin, count](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{
            placed(dy, shape, [=](const Tensor& x) { return x.slice_channels(begin, count); })};
      },
      Order::second);
}

Tensor Tensor::slice_items(std::int64_t begin, std::int64_t count) const {
  check(rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= dim(0), "slice_items: ", begin,
        " .. ", begin + count, " of ", shape());
  const std::int64_t item = rank() == 1    ? 1
                            : dim(-1) == 0 ? 0
                                           : shape().with(0, 1).numel() / dim(-1) * pitch();
  return record(
      "slice_items",
      view(shape().with(0, count), rank() == 1 ? count : pitch(), offset() + begin * item), {*this},
      [shape = shape(), begin, count](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{
            placed(dy, shape, [=](const Tensor& x) { return x.slice_items(begin, count); })};
      },
      Order::second);
}

Tensor Tensor::operator[](std::int64_t i) const {
  check(rank() >= 1, "operator[]: a tensor ", str(), " has no items");
  const std::int64_t item = i < 0 ? i + dim(0) : i;
  check(item >= 0 && item < dim(0), "operator[]: item ", i, " of ", shape());
  const Tensor one = detach().slice_items(item, 1);
  const Shape rest(shape().dims().subspan(1));
  return record(
      "operator[]", one.view(rest, rank() > 2 ? pitch() : Rows(rest).columns, one.offset()),
      {*this},
      [shape = shape(), item](const Tensor& dy, const Needed&) {
        return std::vector<Tensor>{placed(dy, shape, [=](const Tensor& x) { return x[item]; })};
      },
      Order::second);
}

Tensor Tensor::reinterpret(DType dtype) const {
  const auto old_size = std::int64_t(size_of(this->dtype())), size = std::int64_t(size_of(dtype));
  check(rank() == 1 && numel() * old_size % size == 0 && offset() * old_size % size == 0,
        "reinterpret: ", str(), " at element ", offset(), " as ", name_of(dtype));
  const std::int64_t count = numel() * old_size / size;
  Tensor y = view({count}, count, offset() * old_size / size);
  y.impl_->dtype = dtype;
  return y;
}

void Tensor::overwrite() const {
  // Part of a tensor without elements stays without: the rest of it would be anything.
  if (bytes() == impl().storage->bytes()) impl().storage->allocate();
  note_overwritten();
}

void Tensor::copy_from(const Tensor& source) const {
  check(source.shape() == shape(), "copy_from: source ", source.shape(), ", destination ", shape());
  overwrite();
  if (source.device() != device()) {
    // Through the CPU between two CUDA devices; types are converted where the source is.
    if (source.device().is_cuda() && device().is_cuda())
      return copy_from(source.detach().to(Device::cpu()));
    const Tensor whole = source.detach().to(dtype()).packed();
    const Tensor arrived = is_packed() ? *this : empty(shape(), dtype(), device());
    copy_across(whole, arrived);
    if (!is_packed()) copy_elements(arrived, *this);
    return;
  }
  if (source.dtype() == dtype()) {
    copy_elements(source, *this);
    return;
  }
  const Tensor whole = source.detach().packed();
  const Tensor converted = is_packed() ? *this : empty(shape(), dtype(), device());
  on(device(), [&](auto& context) {
    kernels::convert(context, numel(), whole.dtype(), whole.raw(), dtype(), converted.raw());
  });
  if (!is_packed()) copy_elements(converted, *this);
}

void Tensor::fill(double value) const {
  with_dtype(dtype(), [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      // 2^digits is exact in double, the largest value need not be.
      constexpr double low = double(std::numeric_limits<T>::min());
      const double end = std::ldexp(1.0, std::numeric_limits<T>::digits);
      const double whole = std::trunc(value);
      check(whole >= low && whole < end, "fill: ", value, " is no ", name_of(dtype()));
    }
  });
  overwrite();
  if (!is_packed()) {
    copy_elements(full(shape(), value, dtype(), device()), *this);
    return;
  }
  on(device(), [&](auto& context) {
    with_dtype(dtype(), [&]<class T>() {
      if constexpr (std::is_same_v<T, bfloat16>) {
        kernels::fill<T>(context, numel(), bfloat16(static_cast<float>(value)), data<T>());
      } else {
        kernels::fill<T>(context, numel(), static_cast<T>(value), data<T>());
      }
    });
  });
}

void Tensor::rebind(const Tensor& source) const {
  const std::shared_ptr<Node> kept = node();
  impl() = source.impl();
  set_node(kept);
  if (!kept) return;
  kept->device = device();
  if (kept->gradient) kept->gradient = kept->gradient.to(device());
}

const Tensor& Tensor::set_requires_grad(bool value) const {
  if (!value) {
    impl().node = nullptr;
    return *this;
  }
  check(is_floating(dtype()), "set_requires_grad: a tensor of ", name_of(dtype()),
        " has no gradient");
  check(!requires_grad() || node()->leaf, "set_requires_grad: this tensor was computed by ",
        requires_grad() ? node()->op : "", "; only leaves can be marked");
  if (!requires_grad()) set_node(make_leaf(*this));
  return *this;
}

Tensor Tensor::grad() const {
  check(requires_grad() && node()->leaf, "grad: the tensor ", str(),
        " is not a leaf marked by set_requires_grad()");
  return node()->gradient;
}

void Tensor::set_grad(const Tensor& gradient) const {
  check(requires_grad() && node()->leaf, "set_grad: the tensor ", str(),
        " is not a leaf marked by set_requires_grad()");
  check(!gradient || (gradient.shape() == shape() && gradient.dtype() == dtype() &&
                      gradient.device() == device()),
        "set_grad: gradient ", gradient.str(), gradient ? " on " + gradient.device().name() : "",
        " for a tensor ", str(), " on ", device().name());
  node()->gradient = gradient ? gradient.detach() : gradient;
}

std::string Tensor::str() const {
  return defined() ? text(name_of(dtype()), " ", shape()) : "undefined";
}

}  // namespace shatter
