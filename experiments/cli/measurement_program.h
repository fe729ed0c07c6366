// A program of measurements.
#pragma once

#include <shatter/experiments/report/measurement.h>

namespace shatter::experiments {

/// Runs the program as its options say; the exit code. Results go to stdout, all else to stderr.
/// Measurements save as they see fit: --checkpoint-every changes nothing.
int run_measurements(const MeasurementProgram& program, int argc, const char* const* argv);

}  // namespace shatter::experiments
