// Which plans a training run's convolutions are computed by on a GPU, kept in its folder: another
// plan sums in another order.
#pragma once

#include <map>
#include <string>

#include <shatter/core/device.h>
#include <nlohmann/json_fwd.hpp>

namespace shatter::experiments {

/// The plans of one run, in the thread's context of its device. On the CPU there are none.
class ConvolutionPlans {
 public:
  /// Sets whether problems met for the first time are autotuned, and takes up plans as all() gave
  /// them (or null). Throws (data), naming `where`, for anything else.
  ConvolutionPlans(Device device, bool autotune, const nlohmann::json& stored,
                   const std::string& where);

  /// {"cudnn": 91900, "plans": {"forward tf32 n128 ...": "eng52 k2=10", ...}}: those taken up and
  /// those met since. Null without any.
  nlohmann::json all() const;

 private:
  Device device_;
  std::map<std::string, std::string> taken_up_;
};

}  // namespace shatter::experiments
