// A program of measurements, from its command line to its exit code.
#pragma once

#include <shatter/experiments/report/measurement.h>

namespace shatter::experiments {

/// Runs the program as its options say; the exit code. Results go to stdout, all else to stderr.
/// Measurements run one after the other: --jobs and --checkpoint-every change nothing.
int run_measurements(const MeasurementProgram& program, int argc, const char* const* argv);

}  // namespace shatter::experiments
