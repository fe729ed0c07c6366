// Flags, samples, the CPU's clock, and reports.
#include "benchmarks/measure.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include <CLI/CLI.hpp>

#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/runs/version.h>

namespace shatter::benchmarks {
namespace {

double now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

// More than the last-level cache holds.
std::size_t flush_bytes() {
  const long cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return std::clamp<std::size_t>(2 * static_cast<std::size_t>(std::max(cache, 0L)),
                                 std::size_t{64} << 20, std::size_t{512} << 20);
}

}  // namespace

void add_options(CLI::App& app, Options& options, const std::vector<std::string>& types) {
  std::string names;
  for (const std::string& type : types) names += (names.empty() ? "" : ", ") + type;
  app.add_option("--device", options.devices, "cpu, cuda or cuda:N (default: all there are)");
  app.add_option("--threads", options.threads, "CPU threads, 0: all cores")
      ->check(CLI::Range(0, 4096).description(""))
      ->capture_default_str();
  app.add_option("--type", options.types,
                 "of " + names + " (default: all the device has, without float64)")
      ->check(CLI::IsMember(types));
  app.add_option("--filter", options.filter,
                 "only rows whose name (as --list prints it) holds this regular expression");
  app.add_flag("--list", options.list, "print the names of the rows and stop");
  app.add_option("--min-time", options.min_time, "seconds to measure each time, at least")
      ->check(CLI::Range(0., 86400.).description(""))
      ->capture_default_str();
  app.add_option("--min-samples", options.min_samples, "samples of each time, at least")
      ->check(CLI::Range(1, 1000000).description(""))
      ->capture_default_str();
  app.add_option("--timeout", options.timeout,
                 "seconds after which three samples are enough for one time")
      ->check(CLI::Range(0., 86400.).description(""))
      ->capture_default_str();
  app.add_option("--peak-extent", options.peak_extent,
                 "extent of the square matrix product taken as the ceiling of arithmetic "
                 "(0: 2048, on CUDA 8192)")
      ->check(CLI::Range(0., 86400.).description(""));
  app.add_option("--copy-mib", options.copy_mib,
                 "MiB of the copy taken as the ceiling of memory (0: 256, on CUDA 1024)")
      ->check(CLI::Range(0., 86400.).description(""));
  app.add_option("--seed", options.seed, "of the random values")->capture_default_str();
  app.add_option("--json", options.json, "also add one JSON object a line to this file");
}

int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? experiments::exit_done : experiments::exit_usage;
  }
  try {
    return body();
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
    return experiments::exit_code(error.kind());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
    return experiments::exit_unexpected;
  }
}

Filter::Filter(const std::string& expression) {
  try {
    expression_ = std::regex(expression);
  } catch (const std::regex_error& error) {
    fail(ErrorKind::usage, "--filter ", expression, ": ", error.what());
  }
}

Samples summarize(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  return {seconds[n / 2], seconds[n / 10], seconds[n * 9 / 10], static_cast<int>(n)};
}

Samples sample_until(const Sampling& sampling, const std::function<double()>& sample) {
  std::vector<double> seconds;
  const double start = now();
  for (;;) {
    seconds.push_back(sample());
    const double passed = now() - start;
    const int n = static_cast<int>(seconds.size());
    if (n >= sampling.min_samples && passed >= sampling.min_time) break;
    if (n >= 3 && passed >= sampling.timeout) break;
  }
  return summarize(std::move(seconds));
}

Clock<CpuContext>::Clock(CpuContext& context, const Sampling& sampling)
    : context_(context), sampling_(sampling), flush_(flush_bytes()) {}

Samples Clock<CpuContext>::cold(const std::function<void()>& work) {
  work();
  char value = 0;
  return sample_until(sampling_, [&] {
    ++value;
    context_.parallel_for(static_cast<std::int64_t>(flush_.size()), std::int64_t{1} << 20,
                          [&](std::int64_t begin, std::int64_t end) {
                            std::fill(flush_.begin() + begin, flush_.begin() + end, value);
                          });
    const double begin = now();
    work();
    return now() - begin;
  });
}

Samples Clock<CpuContext>::hot(const std::function<void()>& work) {
  work();
  return sample_until(sampling_, [&] {
    const double begin = now();
    work();
    return now() - begin;
  });
}

Json machine(CpuContext& context) {
  return {{"threads", context.threads()},
          {"sm_mhz", nullptr},
          {"device", experiments::hardware_name({})},
          {"driver", nullptr},
          {"cuda", nullptr},
          {"cudnn", nullptr},
          {"git", experiments::build_info().commit}};
}

Report::Report(std::vector<Column> columns, const std::string& json_path)
    : columns_(std::move(columns)) {
  if (!json_path.empty()) {
    json_.open(json_path, std::ios::app);
    check(json_.good(), "--json ", json_path, ": cannot be written");
  }
}

void Report::add(const Json& row) {
  if (rows_.empty()) {
    for (const Column& column : columns_)
      std::printf(column.digits < 0 ? "%-*s " : "%*s ", column.width, column.header.c_str());
    std::printf("\n");
  }
  for (const Column& column : columns_) {
    const Json& value = row.at(column.key);
    if (value.is_string())
      std::printf("%-*s ", column.width, value.get<std::string>().c_str());
    else if (value.is_boolean())
      std::printf("%*s ", column.width, value.get<bool>() ? "yes" : "no");
    else if (value.is_null())
      std::printf("%*s ", column.width, "-");
    else if (column.digits == 0)
      std::printf("%*.0f ", column.width, value.get<double>());
    else if (value.get<double>() != 0 && std::abs(value.get<double>()) < 1e-3)
      std::printf("%*.1e ", column.width, value.get<double>());
    else
      std::printf("%*.*f ", column.width, column.digits, value.get<double>());
  }
  std::printf("\n");
  std::fflush(stdout);
  if (json_.is_open()) json_ << row.dump() << std::endl;
  rows_.push_back(row);
}

void add_times(Json& row, const Samples& cold, const Samples& hot) {
  row["cold_us"] = cold.median * 1e6;
  row["hot_us"] = hot.median * 1e6;
  row["p10"] = cold.p10 * 1e6;
  row["p90"] = cold.p90 * 1e6;
  row["runs"] = cold.runs;
}

}  // namespace shatter::benchmarks
