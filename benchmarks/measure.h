// What the kernel benchmarks share: flags, arrays of a device, timing, ceilings, and rows as table
// and JSON.
#pragma once

#include <cmath>
#include <fstream>
#include <functional>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <shatter/core/dispatch.h>
#include <shatter/kernels/context.h>
#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/elementwise.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/random.h>
#include <shatter/kernels/types.h>

namespace CLI {
class App;
}

namespace shatter::benchmarks {

using Json = nlohmann::ordered_json;

/// The flags of every kernel benchmark; --help explains them.
struct Options {
  std::vector<std::string> devices, types;
  std::string filter, json;
  int threads = 0;
  double min_time = 0.5, timeout = 15;
  int min_samples = 10;
  std::uint64_t seed = 1;
  std::int64_t peak_extent = 0, copy_mib = 0;
  bool list = false;
};

/// Adds the flags; `types` are the element types the program knows.
void add_options(CLI::App& app, Options& options, const std::vector<std::string>& types);

/// Parses, then runs body(). The exit code of a program: 2 for wrong flags (a message on stderr),
/// 4 for a device that is not there, 1 for other errors, else what body returns.
int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body);

/// Whether --filter (a regular expression, found anywhere) lets a row's name pass.
class Filter {
 public:
  explicit Filter(const std::string& expression);
  bool passes(const std::string& name) const { return std::regex_search(name, expression_); }

 private:
  std::regex expression_;
};

/// Times in seconds.
struct Samples {
  double median = 0, p10 = 0, p90 = 0;
  int runs = 0;
};
Samples summarize(std::vector<double> seconds);

/// How long to measure: at least min_samples samples and min_time seconds, but no new sample once
/// `timeout` seconds have passed and there are three.
struct Sampling {
  double min_time, timeout;
  int min_samples;
};
/// sample() returns the seconds of one; it is called until there are enough.
Samples sample_until(const Sampling& sampling, const std::function<double()>& sample);

/// Times work given to a context. cold: the caches are flushed before each sample, one call is
/// timed. hot: calls back to back (CUDA: many in one graph, so that launching is not timed).
template <class Context>
class Clock;

template <>
class Clock<CpuContext> {
 public:
  Clock(CpuContext& context, const Sampling& sampling);
  Samples cold(const std::function<void()>& work);
  Samples hot(const std::function<void()>& work);

 private:
  CpuContext& context_;
  Sampling sampling_;
  std::vector<char> flush_;
};

/// Defined in builds with CUDA.
template <>
class Clock<CudaContext> {
 public:
  Clock(CudaContext& context, const Sampling& sampling);
  ~Clock();
  Samples cold(const std::function<void()>& work);
  Samples hot(const std::function<void()>& work);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// n elements in a context's memory.
template <class T, class Context>
class Array {
 public:
  Array(Context& context, std::int64_t n) : context_(context), n_(static_cast<std::size_t>(n)) {
    if constexpr (is_cpu)
      data_ = static_cast<T*>(cpu_allocate(bytes()));
    else
      data_ = static_cast<T*>(context.allocate(bytes()));
  }
  Array(Context& context, const std::vector<T>& values)
      : Array(context, static_cast<std::int64_t>(values.size())) {
    set(values);
  }
  ~Array() {
    if constexpr (is_cpu)
      cpu_free(data_, bytes());
    else
      context_.free(data_, bytes());
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  Context& context() const { return context_; }
  T* data() const { return data_; }
  std::int64_t size() const { return static_cast<std::int64_t>(n_); }
  std::size_t bytes() const { return n_ * sizeof(T); }
  void set(const std::vector<T>& values) {
    if constexpr (is_cpu)
      std::copy(values.begin(), values.end(), data_);
    else
      context_.copy_from_host(data_, values.data(), bytes());
  }
  std::vector<T> values() const {
    std::vector<T> result(n_);
    if constexpr (is_cpu)
      std::copy_n(data_, n_, result.begin());
    else
      context_.copy_to_host(result.data(), data_, bytes());
    return result;
  }

 private:
  static constexpr bool is_cpu = std::is_same_v<Context, CpuContext>;
  Context& context_;
  std::size_t n_;
  T* data_ = nullptr;
};

/// n values uniform in [-1, 1), rounded to T, the same for the same seed.
template <class T>
std::vector<T> random_values(std::int64_t n, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(n));
  kernels::fill_uniform(cpu_context(), {seed, Stream::user, 0}, n, -1, 1, values.data());
  if constexpr (std::is_same_v<T, float>)
    return values;
  else {
    std::vector<T> rounded;
    rounded.reserve(values.size());
    for (const float value : values) rounded.push_back(T(value));
    return rounded;
  }
}

/// Overwrites an array with values uniform in [-1, 1), the same for the same seed, without the host
/// where the array lies on a GPU.
template <class T, class Context>
void draw(const Array<T, Context>& array, std::uint64_t seed) {
  const auto uniform = [&](float* values) {
    kernels::fill_uniform(array.context(), {seed, Stream::user, 0}, array.size(), -1, 1, values);
  };
  if constexpr (std::is_same_v<T, float>) {
    uniform(array.data());
  } else {
    const Array<float, Context> floats(array.context(), array.size());
    uniform(floats.data());
    kernels::convert(array.context(), array.size(), DType::float32, floats.data(), dtype_of<T>,
                     array.data());
  }
}

/// Bytes per second, read and written, of a copy of `mib` MiB (0: 256, CUDA 1024).
template <class Context>
double copy_bandwidth(Context& context, Clock<Context>& clock, std::int64_t mib) {
  constexpr bool is_cpu = std::is_same_v<Context, CpuContext>;
  const std::int64_t n = (mib ? mib : is_cpu ? 256 : 1024) << 18;
  const Array<float, Context> x(context, n), y(context, n);
  draw(x, 1);
  const Samples samples = clock.hot([&] {
    if constexpr (is_cpu)
      kernels::copy_rows(context, n >> 14, std::int64_t{1} << 14, x.data(), std::int64_t{1} << 14,
                         y.data(), std::int64_t{1} << 14);
    else
      context.copy(y.data(), x.data(), y.bytes());
  });
  return 2 * static_cast<double>(x.bytes()) / samples.median;
}

/// Operations per second of a matrix product of `extent` (0: 2048, CUDA 8192) in T.
template <class T, class Context>
double peak_flops(Context& context, Clock<Context>& clock, std::int64_t extent) {
  const std::int64_t m = extent ? extent : std::is_same_v<Context, CpuContext> ? 2048 : 8192;
  const Array<T, Context> a(context, m * m), b(context, m * m), c(context, m * m);
  draw(a, 1);
  draw(b, 2);
  const Samples samples = clock.hot([&] {
    kernels::matmul<T>(context, {.m = m, .n = m, .k = m}, 1, a.data(), b.data(), 0, c.data());
  });
  return 2 * std::pow(static_cast<double>(m), 3) / samples.median;
}

/// The columns "device", "driver", "cuda", "cudnn", "sm_mhz" and "git" of a row.
Json machine(CpuContext& context);
Json machine(CudaContext& context);  ///< defined in builds with CUDA

/// Calls visit(context, name) for each device of --device ("cpu", "cuda", "cuda:1"); without the
/// flag the CPU and every GPU. Throws Error (device) for one that is not there.
template <class Visit>
void each_device(const Options& options, Visit visit) {
  std::vector<std::string> names = options.devices;
  if (names.empty()) {
    names.push_back("cpu");
    for (int i = 0; i < cuda_device_count(); ++i) names.push_back("cuda:" + std::to_string(i));
  }
  std::vector<Device> devices;
  for (const std::string& name : names) devices.push_back(Device::parse(name));
  set_cpu_threads(options.threads);
  for (const Device device : devices)
    on(device, [&](auto& context) { visit(context, device.name()); });
}

struct Column {
  std::string key, header;
  int width = 8, digits = 2;
};

/// Rows as lines of a table on stdout and, with --json FILE, as lines of JSON added to it.
class Report {
 public:
  Report(std::vector<Column> columns, const std::string& json_path);
  void add(const Json& row);
  const std::vector<Json>& rows() const { return rows_; }

 private:
  std::vector<Column> columns_;
  std::ofstream json_;
  std::vector<Json> rows_;
};

/// Adds "cold_us", "hot_us", "p10", "p90" (of the cold samples, in microseconds) and "runs".
void add_times(Json& row, const Samples& cold, const Samples& hot);

}  // namespace shatter::benchmarks
