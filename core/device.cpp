// Device names and what this build and machine have.
#include <shatter/core/device.h>

#include <charconv>

#include <shatter/core/dispatch.h>

namespace shatter {

int cuda_device_count(std::string* why) {
  if constexpr (built_with_cuda) return cuda_devices(why);
  if (why) *why = "this build of shatter has no CUDA backend";
  return 0;
}

OwnContext::OwnContext(Device device) {
  if constexpr (built_with_cuda) {
    struct Held {
      explicit Held(int index) : context(index), guard(context) {}
      CudaContext context;
      CudaContextGuard guard;
    };
    if (device.is_cuda()) held_ = std::make_shared<Held>(device.index());
  }
}

Device Device::best() {
  return cuda_available() ? cuda(0) : cpu();
}

Device Device::parse(std::string_view name) {
  if (name == "auto") return best();
  if (name == "cpu") return cpu();
  int index = 0;
  if (name != "cuda") {
    check(name.starts_with("cuda:"), "device \"", name, "\": expected auto, cpu, cuda or cuda:k");
    const std::string_view digits = name.substr(5);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    check(error == std::errc() && end == digits.data() + digits.size() && index >= 0, "device \"",
          name, "\": expected a number behind the colon");
  }
  std::string why;
  const int count = cuda_device_count(&why);
  if (count == 0) fail(ErrorKind::device, "device ", name, ": ", why, "; use --device cpu");
  if (index >= count) fail(ErrorKind::device, "device ", name, ": ", count, " CUDA devices found");
  return cuda(index);
}

std::string Device::name() const {
  return is_cpu() ? "cpu" : text("cuda:", index_);
}

}  // namespace shatter
