// One struct in a device's memory, typed on both sides.
#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter {

/// A T on a device: kernels work on ptr(), the host reads and writes it whole, and ops see single
/// members as tensors. Copies share it.
template <class T>
requires std::is_trivially_copyable_v<T> &&(sizeof(T) % sizeof(std::int64_t) == 0) &&
    (alignof(T) <= alignof(std::int64_t)) class DeviceValue {
 public:
  explicit DeviceValue(Device device, const T& value = {})
      : words_(Tensor::empty({word_count}, DType::int64, device)) {
    set(value);
  }

  T* ptr() const { return reinterpret_cast<T*>(words_.data<std::int64_t>()); }
  /// Waits for the device.
  T get() const {
    const std::vector<std::int64_t> words = words_.values<std::int64_t>();
    T value;
    std::memcpy(static_cast<void*>(&value), words.data(), sizeof value);
    return value;
  }
  void set(const T& value) const {
    std::vector<std::int64_t> words(word_count);
    std::memcpy(words.data(), &value, sizeof value);
    words_.copy_from(Tensor::from(std::span<const std::int64_t>(words), {word_count}));
  }

  /// A member in place: int32 [1] of a 32-bit integer, else its words, int64 [size / 8].
  template <class Member>
  Tensor tensor(Member T::*member) const {
    static constexpr T sample{};
    const auto begin =
        reinterpret_cast<const char*>(&(sample.*member)) - reinterpret_cast<const char*>(&sample);
    if constexpr (std::is_same_v<Member, std::int32_t>) {
      const Tensor word = words_.slice_items(begin / word_size, 1).reinterpret(DType::int32);
      return word.slice_items(begin % word_size / std::int64_t{sizeof(std::int32_t)}, 1);
    } else {
      static_assert(sizeof(Member) % word_size == 0 && alignof(Member) == alignof(std::int64_t));
      return words_.slice_items(begin / word_size, sizeof(Member) / word_size);
    }
  }

 private:
  static constexpr std::int64_t word_size = sizeof(std::int64_t);
  static constexpr std::int64_t word_count = sizeof(T) / word_size;
  Tensor words_;
};

}  // namespace shatter
