// What every program does around its work: options in, errors and exit codes out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <shatter/experiments/cli/options.h>
#include <shatter/experiments/report/table.h>
#include <shatter/experiments/runs/data_source.h>
#include <shatter/experiments/runs/job.h>

namespace shatter::experiments {

/// Parses the options, prints --help and --version, and calls `body` with them and the command line
/// as typed; its exit code, or that of what it threw, said on stderr. With --profile the profile of
/// a body that returned goes there too.
int launch(const ProgramInfo& program, int argc, const char* const* argv,
           const std::function<int(const Options&, const std::string& command)>& body);

/// Where and how the options ask for runs.
RunSettings run_settings(const Options& options);

/// Data sets by the names rows give them.
using DataSources = std::map<std::string, std::shared_ptr<const DataSource>>;
/// The most training and test images asked of each data set.
using DataSizes = std::map<std::string, std::pair<std::int64_t, std::int64_t>>;
/// Each data set from the options' folder. Drawn images (so many) where --synthetic asks for them,
/// or where it is absent from the usual folder and --quick asks for little, which is said.
DataSources open_data(const DataSizes& sizes, const Options& options, Progress& progress);

/// Throws (data), before anything is computed, where nothing can be written below --out or
/// to --keep.
void check_writable(const Options& options, const std::string& program);
/// reports/<program>/table.{md,csv,tex} below --out.
void write_reports(const Options& options, const std::string& program,
                   const std::function<std::string(Format)>& render);

/// Printed tables one after the other; of JSON an array, of CSV one table with one header.
std::string in_one(const std::vector<std::string>& tables, Format format);

/// Prints the tables of kept results, or puts them into --into: those of full size alone where that
/// page marks a section "<program>-full-size", else all. In Markdown all of them are followed by
/// which of the program's rows have no full-size result.
int put_report(const ProgramInfo& program, const Options& options,
               const std::vector<Table>& tables);

/// 128 plus the signal that came, having said how the saved runs go on; else 0.
int interrupted_status(const Options& options, Progress& progress);

}  // namespace shatter::experiments
