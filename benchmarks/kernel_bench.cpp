// The kernels that move memory rather than multiply, at the sizes of the paper's models with 128
// images and, one of each family, at a large size, against the bandwidth of a copy. Columns and
// flags: docs/benchmarks.md. That the results are right is the tests' affair; here they must be
// finite. Arrays are filled and judged where they lie: through the host it would take minutes.
#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>

#include <shatter/kernels/augment.h>
#include <shatter/kernels/batch_norm.h>
#include <shatter/kernels/dropout.h>
#include <shatter/kernels/lrn.h>
#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/pool2d.h>
#include <shatter/kernels/reduce.h>
#include <shatter/kernels/softmax_cross_entropy.h>

#include "benchmarks/measure.h"

using namespace shatter;
using namespace shatter::benchmarks;

namespace {

/// Work on arrays of its own, and whether what it wrote is finite.
struct Work {
  std::function<void()> run;
  std::function<bool()> finite;
};

/// By the sum, which no infinity and no NaN leaves finite.
template <class T, class Context>
bool finite(const Array<T, Context>& array) {
  const Array<float, Context> floats(array.context(), array.size()), sum(array.context(), 1);
  kernels::convert(array.context(), array.size(), dtype_of<T>, array.data(), DType::float32,
                   floats.data());
  kernels::reduce<float>(array.context(), kernels::ReduceOp::sum, {.reduced = array.size()},
                         floats.data(), sum.data());
  return std::isfinite(sum.values().front());
}

/// The rows of one device.
template <class Context>
class Rows {
 public:
  Rows(Context& c, std::string name, const Options& options, Report& report)
      : context(c),
        name_(std::move(name)),
        options_(options),
        filter_(options.filter),
        report_(report) {}

  /// One row, unless a flag leaves it out: make() prepares the work, which must read and write
  /// `bytes` at least.
  void add(const std::string& kernel, const std::string& size, const std::string& type,
           double bytes, const std::function<Work()>& make) {
    const std::string name = kernel + "/" + size + "/" + type + "/" + name_;
    const auto& types = options_.types;
    if (!types.empty() && std::find(types.begin(), types.end(), type) == types.end()) return;
    if (!filter_.passes(name)) return;
    if (options_.list) {
      std::printf("%s\n", name.c_str());
      return;
    }
    if (!clock_) {
      clock_.emplace(context, Sampling{options_.min_time, options_.timeout, options_.min_samples});
      bandwidth_ = copy_bandwidth(context, *clock_, options_.copy_mib);
      std::fprintf(stderr, "%s: copy %.1f GB/s\n", name_.c_str(), bandwidth_ * 1e-9);
    }
    const Work work = make();
    const Samples cold = clock_->cold(work.run), hot = clock_->hot(work.run);
    Json row{{"kernel", kernel}, {"size", size}, {"on", name_}, {"in", type}};
    add_times(row, cold, hot);
    row["bytes_min"] = bytes;
    row["gbps"] = bytes / cold.median * 1e-9;
    row["pct_copy"] = 100 * bytes / cold.median / bandwidth_;
    row["pct_copy_hot"] = 100 * bytes / hot.median / bandwidth_;
    row["copy_gbps"] = bandwidth_ * 1e-9;
    const bool finite = work.finite();
    row["finite"] = finite;
    row.update(machine(context));
    report_.add(row);
    if (!finite) {
      ++wrong;
      std::fprintf(stderr, "kernel_bench: %s: the result is not finite\n", name.c_str());
    }
  }

  template <class T>
  std::shared_ptr<Array<T, Context>> random(std::int64_t n) {
    auto array = std::make_shared<Array<T, Context>>(context, n);
    draw(*array, options_.seed);
    return array;
  }
  template <class T>
  std::shared_ptr<Array<T, Context>> filled(std::int64_t n, T value) {
    auto array = std::make_shared<Array<T, Context>>(context, n);
    kernels::fill<T>(context, n, value, array->data());
    return array;
  }
  /// n elements that are NaN.
  template <class T>
  std::shared_ptr<Array<T, Context>> output(std::int64_t n) {
    return filled<T>(n, T(std::numeric_limits<float>::quiet_NaN()));
  }
  template <class T>
  std::shared_ptr<Array<T, Context>> put(const std::vector<T>& values) {
    return std::make_shared<Array<T, Context>>(context, values);
  }

  static constexpr bool is_cpu = std::is_same_v<Context, CpuContext>;
  /// Bytes of an array of the large size.
  static constexpr std::int64_t large = std::int64_t{is_cpu ? 64 : 512} << 20;
  Context& context;
  int wrong = 0;

 private:
  std::string name_;
  const Options& options_;
  Filter filter_;
  Report& report_;
  std::optional<Clock<Context>> clock_;
  double bandwidth_ = 0;
};

template <class T>
const char* type_name() {
  return name_of(dtype_of<T>);
}

struct Images {
  std::int64_t n, h, w, c;
  bool large = false;
  std::string text() const { return shatter::text(n, "x", h, "x", w, "x", c); }
  std::int64_t pixels() const { return n * h * w; }
  std::int64_t elements() const { return pixels() * c; }
};

/// The named sizes, and one of about `large` bytes with the channels of the first, which a family's
/// first kernel alone is run at.
template <class T, class Context>
std::vector<Images> with_large(const Rows<Context>&, std::vector<Images> sizes) {
  Images large = sizes.front();
  large.n =
      Rows<Context>::large / static_cast<std::int64_t>(sizeof(T)) / (large.h * large.w * large.c);
  large.large = true;
  sizes.push_back(large);
  return sizes;
}

template <class T, class Context>
void batch_norm(Rows<Context>& rows) {
  using namespace kernels;
  Context& context = rows.context;
  for (const Images& size : with_large<T>(
           rows, {{128, 28, 28, 96}, {128, 28, 28, 32}, {128, 14, 14, 80}, {128, 7, 7, 160}})) {
    const BatchNormGeometry g{.rows = size.pixels(), .channels = size.c, .relu = true};
    const auto n = size.elements();
    const double bytes = static_cast<double>(n) * sizeof(T);
    using Wide = wide_t<T>;
    const auto ones = [&] { return rows.template filled<Wide>(size.c, Wide(1)); };
    rows.add("batch_norm_relu_forward", size.text(), type_name<T>(), 2 * bytes, [&] {
      auto x = rows.template random<T>(n), y = rows.template output<T>(n);
      auto mean = ones(), variance = ones(), beta = ones();
      return Work{[=, &context] {
                    batch_norm_forward<T>(context, g, 1e-3, x->data(), mean->data(),
                                          variance->data(), nullptr, beta->data(), y->data());
                  },
                  [=] { return finite(*y); }};
    });
    if (size.large) continue;
    rows.add("batch_norm_statistics", size.text(), type_name<T>(), bytes, [&] {
      auto x = rows.template random<T>(n);
      auto mean = rows.template output<Wide>(size.c), variance = rows.template output<Wide>(size.c);
      return Work{[=, &context] {
                    batch_norm_statistics<T>(context, g, x->data(), mean->data(), variance->data());
                  },
                  [=] { return finite(*mean) && finite(*variance); }};
    });
    rows.add("batch_norm_relu_backward", size.text(), type_name<T>(), 3 * bytes, [&] {
      auto x = rows.template random<T>(n), dy = rows.template random<T>(n);
      auto dx = rows.template output<T>(n);
      auto mean = ones(), variance = ones(), beta = ones();
      auto dbeta = rows.template output<Wide>(size.c);
      return Work{[=, &context] {
                    batch_norm_backward<T>(context, g, 1e-3, x->data(), dy->data(), mean->data(),
                                           variance->data(), nullptr, beta->data(), dx->data(),
                                           nullptr, dbeta->data());
                  },
                  [=] { return finite(*dx) && finite(*dbeta); }};
    });
  }
}

template <class T, class Context>
void pooling(Rows<Context>& rows) {
  using namespace kernels;
  Context& context = rows.context;
  for (const Images& size :
       with_large<T>(rows, {{128, 28, 28, 80}, {128, 28, 28, 64}, {128, 14, 14, 144}})) {
    const Pool2dGeometry g{.windows = {.n = size.n,
                                       .h = size.h,
                                       .w = size.w,
                                       .r = 3,
                                       .s = 3,
                                       .stride_h = 2,
                                       .stride_w = 2,
                                       .padding = same_padding(size.h, size.w, 3, 3, 2, 2)},
                           .c = size.c};
    const auto in = size.elements(), out = size.n * g.windows.out_h() * g.windows.out_w() * size.c;
    const double bytes = static_cast<double>(in + out) * sizeof(T) + static_cast<double>(out);
    rows.add("max_pool_3x3_s2_forward", size.text(), type_name<T>(), bytes, [&] {
      auto x = rows.template random<T>(in), y = rows.template output<T>(out);
      auto index = std::make_shared<Array<std::uint8_t, Context>>(context, out);
      return Work{
          [=, &context] { max_pool2d_forward<T>(context, g, x->data(), y->data(), index->data()); },
          [=] { return finite(*y); }};
    });
    if (size.large) continue;
    rows.add("max_pool_3x3_s2_backward", size.text(), type_name<T>(), bytes, [&] {
      auto dy = rows.template random<T>(out), dx = rows.template output<T>(in);
      std::vector<std::uint8_t> places(static_cast<std::size_t>(out));
      for (std::size_t i = 0; i < places.size(); ++i)
        places[i] = static_cast<std::uint8_t>(i / 2 % 2 * 3 + i % 2);
      auto index = rows.put(places);
      return Work{[=, &context] {
                    max_pool2d_backward<T>(context, g, dy->data(), index->data(), dx->data());
                  },
                  [=] { return finite(*dx); }};
    });
  }
  for (const Images& size : with_large<T>(rows, {{128, 7, 7, 336}})) {
    const Pool2dGeometry g{
        .windows = {.n = size.n, .h = size.h, .w = size.w, .r = size.h, .s = size.w}, .c = size.c};
    const auto in = size.elements(), out = size.n * size.c;
    const double bytes = static_cast<double>(in + out) * sizeof(T);
    rows.add("global_avg_pool_forward", size.text(), type_name<T>(), bytes, [&] {
      auto x = rows.template random<T>(in), y = rows.template output<T>(out);
      return Work{[=, &context] { avg_pool2d_forward<T>(context, g, x->data(), y->data()); },
                  [=] { return finite(*y); }};
    });
    if (size.large) continue;
    rows.add("global_avg_pool_backward", size.text(), type_name<T>(), bytes, [&] {
      auto dy = rows.template random<T>(out), dx = rows.template output<T>(in);
      return Work{[=, &context] { avg_pool2d_backward<T>(context, g, dy->data(), dx->data()); },
                  [=] { return finite(*dx); }};
    });
  }
}

template <class T, class Context>
void normalisation(Rows<Context>& rows) {
  using namespace kernels;
  Context& context = rows.context;
  for (const Images& size : with_large<T>(rows, {{128, 14, 14, 64}, {128, 7, 7, 64}})) {
    const LrnGeometry g{.rows = size.pixels(), .channels = size.c};
    const auto n = size.elements();
    const double bytes = static_cast<double>(n) * sizeof(T);
    rows.add("lrn_forward", size.text(), type_name<T>(), 2 * bytes, [&] {
      auto x = rows.template random<T>(n), y = rows.template output<T>(n);
      return Work{[=, &context] { lrn_forward<T>(context, g, x->data(), y->data()); },
                  [=] { return finite(*y); }};
    });
    if (size.large) continue;
    rows.add("lrn_backward", size.text(), type_name<T>(), 3 * bytes, [&] {
      auto x = rows.template random<T>(n), dy = rows.template random<T>(n);
      auto dx = rows.template output<T>(n);
      return Work{[=, &context] { lrn_backward<T>(context, g, x->data(), dy->data(), dx->data()); },
                  [=] { return finite(*dx); }};
    });
  }
}

template <class T, class Context>
void flat(Rows<Context>& rows) {
  using namespace kernels;
  Context& context = rows.context;
  const RandomKey key{.seed = 1, .stream = Stream::user};
  const std::int64_t large = Rows<Context>::large / static_cast<std::int64_t>(sizeof(T));
  for (const std::int64_t n : {std::int64_t{128 * 512}, std::int64_t{128 * 28 * 28 * 64}, large}) {
    const double bytes = static_cast<double>(n) * sizeof(T);
    const std::string size = std::to_string(n);
    rows.add("copy_rows", size, type_name<T>(), 2 * bytes, [&] {
      auto x = rows.template random<T>(n), y = rows.template output<T>(n);
      return Work{
          [=, &context] { copy_rows<T>(context, n / 64, 64, x->data(), 64, y->data(), 64); },
          [=] { return finite(*y); }};
    });
    if (n == large) continue;
    rows.add("dropout", size, type_name<T>(), 2 * bytes, [&] {
      auto x = rows.template random<T>(n), y = rows.template output<T>(n);
      auto step = rows.put(std::vector<std::int64_t>{3});
      return Work{
          [=, &context] { dropout<T>(context, n, 0.5, key, step->data(), x->data(), y->data()); },
          [=] { return finite(*y); }};
    });
    rows.add("relu_forward", size, type_name<T>(), 2 * bytes, [&] {
      auto x = rows.template random<T>(n), y = rows.template output<T>(n);
      return Work{
          [=, &context] { unary_forward<T>(context, UnaryOp::relu, n, x->data(), y->data()); },
          [=] { return finite(*y); }};
    });
    rows.add("copy_rows_to_slice", size, type_name<T>(), 2 * bytes, [&] {
      auto x = rows.template random<T>(n), y = rows.template random<T>(2 * n);
      return Work{
          [=, &context] { copy_rows<T>(context, n / 64, 64, x->data(), 64, y->data() + 64, 128); },
          [=] { return finite(*y); }};
    });
    rows.add("add_rows", size, type_name<T>(), 3 * bytes, [&] {
      auto x = rows.template filled<T>(n, T(0));
      auto y = rows.template random<T>(n);
      return Work{[=, &context] { add_rows<T>(context, n / 64, 64, x->data(), 64, y->data(), 64); },
                  [=] { return finite(*y); }};
    });
    rows.add("fill", size, type_name<T>(), bytes, [&] {
      auto y = rows.template output<T>(n);
      return Work{[=, &context] { fill<T>(context, n, T(1), y->data()); },
                  [=] { return finite(*y); }};
    });
    rows.add("reduce_rows_64", size, type_name<T>(), bytes, [&] {
      auto x = rows.template random<T>(n);
      auto y = rows.template output<wide_t<T>>(64);
      return Work{[=, &context] { reduce_rows<T>(context, n / 64, 64, x->data(), 64, y->data()); },
                  [=] { return finite(*y); }};
    });
  }
}

// Kernels of float alone: updates of parameters, the loss, input, and random numbers.
template <class Context>
void float_only(Rows<Context>& rows) {
  using namespace kernels;
  Context& context = rows.context;
  const RandomKey key{.seed = 1, .stream = Stream::user};
  const std::int64_t large = Rows<Context>::large / 4;
  // Parameters of the MLP 1x512, the small AlexNet and the small Inception.
  for (const std::int64_t n :
       {std::int64_t{1209866}, std::int64_t{1387786}, std::int64_t{1649402}, large / 4}) {
    rows.add("sgd_momentum", std::to_string(n), "float32", 20 * static_cast<double>(n), [&] {
      auto w = rows.template random<float>(n), dw = rows.template random<float>(n);
      auto velocity = rows.template filled<float>(n, 0);
      auto rate = rows.put(std::vector<double>{1e-6});
      const UpdateTensor<float> tensor{
          .w = w->data(), .dw = dw->data(), .buffers = {velocity->data()}, .n = n};
      return Work{[=, &context] {
                    update<float>(context, MomentumRule{0.9}, std::span(&tensor, 1),
                                  {.rate = rate->data()});
                  },
                  [=, keep = dw] { return finite(*w); }};
    });
  }
  for (const auto& [batch, classes] : {std::pair<std::int64_t, std::int64_t>{128, 10},
                                       std::pair<std::int64_t, std::int64_t>{128, 1000},
                                       std::pair<std::int64_t, std::int64_t>{large / 1000, 1000}}) {
    const std::int64_t n = batch * classes;
    const CrossEntropyGeometry g{.rows = batch, .classes = classes};
    rows.add("softmax_cross_entropy", text(batch, "x", classes), "float32",
             8 * static_cast<double>(n) + 8 * static_cast<double>(batch), [&, batch = batch] {
               auto x = rows.template random<float>(n), dx = rows.template output<float>(n);
               auto loss = rows.template output<float>(batch);
               auto labels =
                   rows.put(std::vector<std::int32_t>(static_cast<std::size_t>(batch), 7));
               return Work{[=, &context] {
                             softmax_cross_entropy<float>(context, g, x->data(), labels->data(),
                                                          loss->data(), dx->data());
                           },
                           [=] { return finite(*loss) && finite(*dx); }};
             });
  }
  for (const std::int64_t batch : {128, 4096}) {
    const std::int64_t images = 8192, pixels = 28 * 28 * 3;
    for (const bool random : {false, true}) {
      AugmentGeometry g{.h = 32,
                        .w = 32,
                        .c = 3,
                        .crop_h = 28,
                        .crop_w = 28,
                        .scale = 1 / 255.0,
                        .random_crop = random,
                        .flip = random,
                        .whiten = true};
      rows.add(random ? "augment_crop_flip_whiten" : "augment_center_crop_whiten",
               text(batch, "x28x28x3"), "float32", 5 * static_cast<double>(batch * pixels), [&] {
                 std::vector<std::uint8_t> bytes(static_cast<std::size_t>(images * 32 * 32 * 3));
                 for (std::size_t i = 0; i < bytes.size(); ++i)
                   bytes[i] = static_cast<std::uint8_t>(i * 2654435761u >> 16);
                 std::vector<std::int64_t> order;
                 for (std::int64_t i = 0; i < images; ++i) order.push_back(i * 4001 % images);
                 auto x = rows.put(bytes);
                 auto index = rows.put(order);
                 auto position = rows.put(std::vector<BatchPosition>{{.first = 512, .epoch = 1}});
                 auto y = rows.template output<float>(batch * pixels);
                 return Work{[=, &context] {
                               augment<std::uint8_t>(context, g, 1, position->data(), batch,
                                                     index->data(), x->data(), y->data());
                             },
                             [=] { return finite(*y); }};
               });
    }
  }
  for (const std::int64_t n : {std::int64_t{128 * 512}, large}) {
    const double bytes = 4 * static_cast<double>(n);
    rows.add("philox_uniform", std::to_string(n), "float32", bytes, [&] {
      auto y = rows.template output<float>(n);
      return Work{[=, &context] { fill_uniform(context, key, n, -1, 1, y->data()); },
                  [=] { return finite(*y); }};
    });
    if (n == large) continue;
    rows.add("philox_normal", std::to_string(n), "float32", bytes, [&] {
      auto y = rows.template output<float>(n);
      return Work{[=, &context] { fill_normal(context, key, n, 0, 1, y->data()); },
                  [=] { return finite(*y); }};
    });
    rows.add("reduce_sum", std::to_string(n), "float32", bytes, [&] {
      auto x = rows.template random<float>(n), y = rows.template output<float>(1);
      return Work{[=, &context] {
                    reduce<float>(context, ReduceOp::sum, {.reduced = n}, x->data(), y->data());
                  },
                  [=] { return finite(*y); }};
    });
  }
}

template <class T, class Context>
void typed(Rows<Context>& rows) {
  batch_norm<T>(rows);
  pooling<T>(rows);
  normalisation<T>(rows);
  flat<T>(rows);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Times the kernels that move memory: batch norm, pooling, LRN, dropout, loss, optimizer, "
      "reductions, augmentation, copies, random numbers, at the sizes of the paper's models and, "
      "one of each family, at a large one, against the bandwidth of a copy.",
      "kernel_bench");
  add_options(app, options, {"float32", "bfloat16"});
  return run_program(app, argc, argv, [&] {
    Report report({{"on", "on", 6, -1},
                   {"kernel", "kernel", 26, -1},
                   {"size", "size", 14, -1},
                   {"in", "type", 8, -1},
                   {"cold_us", "cold us", 10, 1},
                   {"hot_us", "hot us", 10, 1},
                   {"p10", "p10", 10, 1},
                   {"p90", "p90", 10, 1},
                   {"gbps", "GB/s", 8, 1},
                   {"pct_copy", "%copy", 6, 1},
                   {"pct_copy_hot", "hot", 6, 1}},
                  options.json);
    int wrong = 0;
    each_device(options, [&](auto& context, const std::string& name) {
      Rows rows(context, name, options, report);
      float_only(rows);  // first what no other program tells of
      typed<bfloat16>(rows);
      typed<float>(rows);
      wrong += rows.wrong;
    });
    if (options.list) return 0;
    check(!report.rows().empty(), "no row passes --filter ", options.filter,
          " and the other flags; --list prints their names");
    return wrong > 0 ? 1 : 0;
  });
}
