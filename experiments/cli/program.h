// A program that trains its rows, from its command line to its exit code.
#pragma once

#include <shatter/experiments/report/table_program.h>

namespace shatter::experiments {

/// Runs the program as its options say; the exit code. Results go to stdout, all else to stderr.
int run_table(const TableProgram& program, int argc, const char* const* argv);

}  // namespace shatter::experiments
