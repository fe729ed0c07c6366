// One measurement in its folder: found finished, or computed, or left to go on with.
#pragma once

#include <optional>
#include <string>

#include <shatter/experiments/cli/launch.h>
#include <shatter/experiments/report/measurement_table.h>

namespace shatter::experiments {

/// A row with everything that decides its numbers.
struct PlannedMeasurement {
  const MeasurementRow* row = nullptr;
  std::size_t index = 0;  ///< of the row among those selected
  nlohmann::json config;  ///< FinishedMeasurement::config
  std::string label;      ///< "mnist/pixels seed 2 (quick, synthetic)"
  Device device;
  const DataSource* source = nullptr;  ///< null for rows without data
};

/// "table3-mnist-pixels-1a2b3c4d", with "-seed2" before the hash where it has one.
std::string folder_name(const nlohmann::json& config);

Need need_of(const PlannedMeasurement& planned);
/// "1.2 GB"
std::string bytes_text(double bytes);
/// Bytes this machine, or the GPU, has for a computation.
double available_bytes(Device device);

/// "kept", "done", "begun" or "new"; "afresh" where settings.resume is off.
std::string state_of(const PlannedMeasurement& planned, const RunSettings& settings);

struct MeasurementOutcome {
  enum class Status { done, interrupted, failed };
  Status status = Status::failed;
  std::optional<FinishedMeasurement> finished;
  bool stored = false;                     ///< computed before, found in its folder or kept
  ErrorKind kind = ErrorKind::unexpected;  ///< when failed
  std::string message;
};
/// Waits while another process has the folder. Errors become Status::failed; what does not fit into
/// memory is refused before its folder is made.
MeasurementOutcome run_measurement(const PlannedMeasurement& planned, const RunSettings& settings);

}  // namespace shatter::experiments
