// Parameters of measurements, checked.
#include <shatter/experiments/report/measurement.h>

#include <algorithm>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

using nlohmann::json;

void require_positive(const json& parameters, std::initializer_list<const char*> keys) {
  for (const char* const key : keys) {
    const json& value = parameters.at(key);
    const json list = value.is_array() ? value : json{value};
    const bool positive = std::all_of(list.begin(), list.end(), [](const json& entry) {
      return entry.is_number() && entry.get<double>() > 0;
    });
    shatter::check(positive && !list.empty(), key, " ", value.dump(), ": must be positive");
  }
}

}  // namespace shatter::experiments
