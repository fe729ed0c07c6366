// Devices: where a tensor's memory lies and its kernels run.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <shatter/kernels/error.h>

namespace shatter {

class Device {
 public:
  enum class Type { cpu, cuda };

  constexpr Device() = default;
  static constexpr Device cpu() { return Device(Type::cpu, 0); }
  static constexpr Device cuda(int index = 0) { return Device(Type::cuda, index); }
  /// A CUDA device if this build and machine have one, else the CPU.
  static Device best();
  /// "auto", "cpu", "cuda" or "cuda:1". Throws (usage) for another word, (device) for a device
  /// this build or machine does not have.
  static Device parse(std::string_view name);

  constexpr Type type() const { return type_; }
  constexpr int index() const { return index_; }
  constexpr bool is_cpu() const { return type_ == Type::cpu; }
  constexpr bool is_cuda() const { return type_ == Type::cuda; }
  std::string name() const;

  friend constexpr bool operator==(Device, Device) = default;

 private:
  constexpr Device(Type type, int index) : type_(type), index_(index) {}
  Type type_ = Type::cpu;
  int index_ = 0;
};

/// How many CUDA devices this build can use here; 0 with the reason in *why (may be null) where
/// the build has no CUDA, or the machine no driver or GPU.
int cuda_device_count(std::string* why = nullptr);
inline bool cuda_available() {
  return cuda_device_count() > 0;
}

/// While it lives, the calling thread works on `device` in a context of its own: on a CUDA device
/// with its own stream, memory, recorded graphs and plans. On the CPU it changes nothing. What ran
/// in it must be destroyed before it, tensors excepted.
class OwnContext {
 public:
  explicit OwnContext(Device device);
  OwnContext(const OwnContext&) = delete;
  OwnContext& operator=(const OwnContext&) = delete;

 private:
  std::shared_ptr<void> held_;
};

}  // namespace shatter
