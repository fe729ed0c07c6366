// The tensor: a shaped view of reference-counted memory on a device, with gradient bookkeeping that
// is a null pointer until it is needed. Images are NHWC [n, h, w, c].
#pragma once

#include <atomic>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <vector>

#include <shatter/core/device.h>
#include <shatter/core/shape.h>
#include <shatter/kernels/types.h>

namespace shatter {

struct Node;
class CachingAllocator;

/// Reference-counted memory of one device, from its caching allocator; on a CUDA device from that
/// of the thread's context, which it may outlive.
class Storage {
 public:
  /// Without memory until allocate().
  Storage(Device device, std::size_t bytes) : device_(device), bytes_(bytes) {}
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// Does nothing the second time.
  void allocate();
  bool is_allocated() const { return allocated_; }
  /// Throws before allocate().
  std::byte* data() const {
    if (!allocated_) fail_unset();
    return data_;
  }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  /// How often the elements were overwritten: by fill(), copy_from() and the optimizers. What is
  /// written through data() or as an op's `into` does not count.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void note_overwritten() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  [[noreturn]] static void fail_unset();
  Device device_;
  std::size_t bytes_;
  bool allocated_ = false;
  std::atomic<std::uint64_t> version_{0};
  std::shared_ptr<CachingAllocator> allocator_{};  // of the CUDA context that was asked
  std::byte* data_ = nullptr;
};

/// A handle: copies share elements and gradient. Row-major and dense, but for one freedom: the
/// channel pitch (distance in elements between neighbours along the last dimension but one) may
/// exceed the last dimension, as in a channel slice of a wider image.
class Tensor {
 public:
  /// The undefined tensor: every accessor but defined() throws.
  Tensor() = default;

  static Tensor empty(const Shape& shape, DType dtype = DType::float32, Device device = {});
  /// Elements still to come, by fill(), copy_from() or rebind(): using them before throws. What a
  /// parameter is before initialize() or load_model().
  static Tensor unset(const Shape& shape, DType dtype = DType::float32, Device device = {});
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32,
                     Device device = {});
  static Tensor ones(const Shape& shape, DType dtype = DType::float32, Device device = {});
  /// begin, begin + step, ... short of end.
  static Tensor arange(double begin, double end, double step = 1, DType dtype = DType::float32,
                       Device device = {});
  /// 0, 1, ... end - 1.
  static Tensor arange(double end) { return arange(0, end); }
  /// `count` numbers evenly from first to last, both included.
  static Tensor linspace(double first, double last, std::int64_t count,
                         DType dtype = DType::float32, Device device = {});
  /// [n, n]: 1 on the diagonal, else 0.
  static Tensor eye(std::int64_t n, DType dtype = DType::float32, Device device = {});
  /// A copy of values; values.size() must be shape.numel().
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = {});
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
    return from(std::span<const T>(values), shape, device);
  }
  /// from({1.f, 2.f}, {2}); the type is that of the numbers: {1.0, 2.0} is float64.
  template <class T>
  static Tensor from(std::initializer_list<T> values, const Shape& shape, Device device = {}) {
    return from(std::span<const T>(values.begin(), values.size()), shape, device);
  }

  bool defined() const { return impl_ != nullptr; }
  /// Whether there are elements: see unset().
  bool is_set() const { return impl().storage->is_allocated(); }
  explicit operator bool() const { return defined(); }
  const Shape& shape() const { return impl().shape; }
  std::int64_t dim(int i) const { return shape()[i]; }
  int rank() const { return shape().rank(); }
  std::int64_t numel() const { return shape().numel(); }
  DType dtype() const { return impl().dtype; }
  Device device() const { return impl().device; }
  /// Distance in elements between neighbours along the last dimension but one; the size of the last
  /// dimension when packed.
  std::int64_t pitch() const { return impl().pitch; }
  bool is_packed() const;
  std::size_t bytes() const { return std::size_t(numel()) * size_of(dtype()); }

  /// The first element, in the memory of device(). Throws unless T is the tensor's element type.
  template <class T>
  T* data() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const {
    return impl().storage->data() + std::size_t(impl().offset) * size_of(dtype());
  }
  /// The only element of a one-element tensor, whatever its type and device.
  double item() const;
  /// The elements in row-major order, copied to the host and converted.
  template <class T>
  std::vector<T> values() const;

  /// This tensor on another device, of another type; itself where nothing changes. Differentiable
  /// between floating types.
  Tensor to(Device device) const;
  Tensor to(DType dtype) const;
  /// A packed copy. Differentiable.
  Tensor clone() const;
  /// Itself when packed, else a packed copy. Differentiable.
  Tensor packed() const;
  /// The same elements under another shape with as many (one dimension may be -1); packs first
  /// where it must. Differentiable.
  Tensor reshape(const Shape& shape) const;
  Tensor reshape(std::initializer_list<std::int64_t> dims) const;
  /// Elements begin .. begin + count of the last dimension, sharing memory. Differentiable.
  Tensor slice_channels(std::int64_t begin, std::int64_t count) const;
  /// The packed tensor, pitch() wide, whose first channels are this slice's; shares memory. Not
  /// differentiable.
  Tensor whole_pixels() const { return view(shape().with(-1, pitch()), pitch(), offset()); }
  /// Items begin .. begin + count of the first dimension, sharing memory. Differentiable.
  Tensor slice_items(std::int64_t begin, std::int64_t count) const;

  /// Item i of the first dimension (negative i counts from the end), without that dimension;
  /// shares memory. Differentiable.
  Tensor operator[](std::int64_t i) const;

  /// The bytes of this packed tensor of rank 1 as elements of another type; shares memory. Throws
  /// unless they divide into such elements. Not differentiable.
  Tensor reinterpret(DType dtype) const;

  /// Overwrites the elements with those of a tensor of equal shape, converting the type and
  /// crossing devices; the gradient history of this tensor is left alone. backward() throws where
  /// a gradient needs elements that were overwritten (see Saved).
  void copy_from(const Tensor& source) const;
  void fill(double value) const;  ///< integers drop its fraction; throws for what they cannot hold
  /// Makes every handle of this tensor refer to the elements (shape, type, device) of `source`; the
  /// gradient history of this tensor is left alone.
  void rebind(const Tensor& source) const;

  bool requires_grad() const { return defined() && impl_->node != nullptr; }
  /// Marks a leaf: backward() accumulates into grad(). Throws for integer types and non-leaves.
  const Tensor& set_requires_grad(bool value = true) const;
  /// What backward() has accumulated here; undefined before. Throws for non-leaves.
  Tensor grad() const;
  /// Of this tensor's shape, type and device, or undefined; else throws.
  void set_grad(const Tensor& gradient) const;
  /// A handle to the same elements without gradient history.
  Tensor detach() const;
  /// The tape's entry that produced this tensor, or its leaf entry; null without gradient.
  const std::shared_ptr<Node>& node() const { return impl().node; }
  void set_node(std::shared_ptr<Node> node) const { impl().node = std::move(node); }

  /// Of the memory block, which views share: see Storage.
  std::uint64_t version() const { return impl().storage->version(); }
  void note_overwritten() const { impl().storage->note_overwritten(); }
  /// Whether both are views of the same memory block.
  bool shares_storage(const Tensor& other) const { return impl().storage == other.impl().storage; }
  /// Whether this handle is the only user of its memory.
  bool is_unique() const { return impl_.use_count() == 1 && impl_->storage.use_count() == 1; }
  /// Position of the first element in its memory block, in elements.
  std::int64_t offset() const { return impl().offset; }
  /// "float32 [2, 3]" or "undefined".
  std::string str() const;

 private:
  struct Impl {
    std::shared_ptr<Storage> storage;
    Shape shape;
    DType dtype = DType::float32;
    Device device;
    std::int64_t pitch = 0;
    std::int64_t offset = 0;
    std::shared_ptr<Node> node;
  };
  explicit Tensor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  Impl& impl() const {
    if (!impl_) fail(ErrorKind::usage, "use of an undefined tensor");
    return *impl_;
  }
  void check_dtype(DType dtype) const;
  /// Notes that all elements are about to be overwritten, which sets an unset tensor.
  void overwrite() const;
  /// The same memory seen otherwise, without gradient history.
  Tensor view(const Shape& shape, std::int64_t pitch, std::int64_t offset) const;

  std::shared_ptr<Impl> impl_;
};

/// The values as NumPy prints them, the shape and type behind unless the type is float32 and the
/// values show the shape. Of more than 1000 elements the first and last three of each dimension.
std::ostream& operator<<(std::ostream& out, const Tensor& x);

// Of x's shape, type and device.
inline Tensor empty_like(const Tensor& x) {
  return Tensor::empty(x.shape(), x.dtype(), x.device());
}
inline Tensor full_like(const Tensor& x, double value) {
  return Tensor::full(x.shape(), value, x.dtype(), x.device());
}
inline Tensor zeros_like(const Tensor& x) {
  return full_like(x, 0);
}
inline Tensor ones_like(const Tensor& x) {
  return full_like(x, 1);
}

}  // namespace shatter
