// A program that trains its rows.
#pragma once

#include <shatter/experiments/report/training.h>

namespace shatter::experiments {

/// Runs the program as its options say; the exit code. Results go to stdout, all else to stderr.
int run_training(const TrainingProgram& program, int argc, const char* const* argv);

}  // namespace shatter::experiments
