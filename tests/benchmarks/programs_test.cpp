// The real benchmarks: exit codes, messages, rows. Sizes and times are tiny.
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include <shatter/kernels/cpu/multiversion.h>

#include "tests/experiments/process.h"

namespace {

const std::string conv_bench = SHATTER_CONV_BENCH, kernel_bench = SHATTER_KERNEL_BENCH,
                  train_bench = SHATTER_TRAIN_BENCH;

/// The program on the CPU with the least to do.
Finished quick(const std::string& program, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--device",      "cpu", "--threads",     "1",
                                        "--min-time",    "0",   "--min-samples", "2",
                                        "--peak-extent", "64",  "--copy-mib",    "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(program, arguments);
}

std::vector<nlohmann::json> rows_of(const std::filesystem::path& path) {
  std::vector<nlohmann::json> rows;
  std::istringstream in(get(path));
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

}  // namespace

TEST_CASE("conv_bench prints a table, a summary, and rows of JSON with every column") {
  const TemporaryFolder folder;
  const std::string path = (folder / "rows.json").string();
  const Finished run =
      quick(conv_bench, {"--shape", "2,8,7,3,5,3,3,2,same", "--type", "float32", "--json", path});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(contains(run.out, "provider"));
  CHECK(contains(run.out, "| cpu | float32 | shape | onednn | 3 |"));
  const std::vector<nlohmann::json> rows = rows_of(path);
  REQUIRE(rows.size() == 6);
  std::set<std::string> places;
  for (const nlohmann::json& row : rows) {
    for (const char* const key : {"set",
                                  "layer",
                                  "dir",
                                  "n",
                                  "c",
                                  "h",
                                  "w",
                                  "k",
                                  "r",
                                  "s",
                                  "stride",
                                  "pad",
                                  "layout",
                                  "in",
                                  "acc",
                                  "out",
                                  "provider",
                                  "plan",
                                  "deterministic",
                                  "tensor_core",
                                  "workspace_bytes",
                                  "cold_us",
                                  "hot_us",
                                  "p10",
                                  "p90",
                                  "runs",
                                  "gflop",
                                  "tflops",
                                  "pct_peak",
                                  "bytes_min",
                                  "gbps",
                                  "pct_copy",
                                  "bound_us",
                                  "pct_bound",
                                  "rel_err",
                                  "bitwise_repeat",
                                  "sm_mhz",
                                  "device",
                                  "driver",
                                  "cuda",
                                  "cudnn",
                                  "git"}) {
      CAPTURE(key);
      CHECK(row.contains(key));
    }
    CHECK(row["correct"] == true);
    CHECK(row["bitwise_repeat"] == true);
    CHECK(row["rel_err"] < 1e-5);
    CHECK(row["cold_us"] > 0);
    CHECK(row["runs"] >= 2);
    CHECK(row["pad"] == nlohmann::json({0, 1, 1, 1}));
    // 2 x 4 x 4 outputs of 5 filters over 3 x 3 x 3 values.
    CHECK(row["gflop"] == Approx(2e-9 * 2 * 4 * 4 * 5 * 27));
    places.insert(row["dir"].get<std::string>() + " " + row["provider"].get<std::string>());
  }
  CHECK(places == std::set<std::string>{"fwd onednn", "fwd im2col", "bwd-data onednn",
                                        "bwd-data im2col", "bwd-filter onednn",
                                        "bwd-filter im2col"});
}

TEST_CASE("conv_bench leaves no data gradient of the images, and takes its filters") {
  const Finished list = quick(conv_bench, {"--set", "alexnet-small", "--list"});
  CHECK(list.status == 0);
  CHECK(contains(list.out, "alexnet-small/conv2/bwd-data/float32/cpu/onednn\n"));
  CHECK(!contains(list.out, "conv1/bwd-data"));
  CHECK(!contains(list.out, "float64"));
  const Finished some =
      quick(conv_bench, {"--set", "edge", "--batch", "1", "--filter", "1x7/fwd/.*/im2col", "--type",
                         "float64", "--type", "float32", "--list"});
  CHECK(some.out == "edge/1x7/fwd/float32/cpu/im2col\nedge/1x7/fwd/float64/cpu/im2col\n");
}

TEST_CASE("conv_bench measures every algorithm that the processor has for a layer") {
  const TemporaryFolder folder;
  const std::string path = (folder / "rows.json").string();
  const Finished run = quick(conv_bench, {"--shape", "2,8,7,16,16,3,3,1,same", "--json", path});
  INFO(run.err);
  REQUIRE(run.status == 0);
  std::map<std::string, std::set<std::string>> providers;
  for (const nlohmann::json& row : rows_of(path)) providers[row["in"]].insert(row["provider"]);
  CHECK(providers["float32"] == std::set<std::string>{"im2col", "onednn", "winograd"});
  CHECK(providers["bfloat16"] == (shatter::kernels::has_bfloat16_products()
                                      ? std::set<std::string>{"im2col", "onednn"}
                                      : std::set<std::string>{"im2col"}));
}

TEST_CASE("conv_bench fails on a wrong result") {
  const Finished run = quick(conv_bench, {"--shape", "1,4,4,2,2,3,3,1,1", "--dir", "fwd",
                                          "--falsify", "--filter", "float32/cpu/im2col"});
  CHECK(run.status == 1);
  CHECK(contains(run.err, "WRONG"));
  CHECK(contains(run.err, "1 wrong results"));
}

TEST_CASE("kernel_bench times every kernel and writes rows") {
  const TemporaryFolder folder;
  const std::string path = (folder / "rows.json").string();
  // The smallest size of each kernel; the large ones would take seconds.
  const Finished run =
      quick(kernel_bench, {"--json", path, "--filter",
                           "128x7x7|/65536/|/1209866/|128x10/|/128x28x28x3/|128x14x14x144"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  std::set<std::string> kernels;
  for (const nlohmann::json& row : rows_of(path)) {
    for (const char* const key :
         {"kernel", "size", "on", "in", "cold_us", "hot_us", "p10", "p90", "runs", "bytes_min",
          "gbps", "pct_copy", "copy_gbps", "finite", "device", "driver", "cuda", "cudnn", "git"}) {
      CAPTURE(key);
      CHECK(row.contains(key));
    }
    CHECK(row["finite"] == true);
    CHECK(row["cold_us"] > 0);
    kernels.insert(row["kernel"]);
  }
  CHECK(kernels == std::set<std::string>{"batch_norm_statistics",
                                         "batch_norm_relu_forward",
                                         "batch_norm_relu_backward",
                                         "max_pool_3x3_s2_forward",
                                         "max_pool_3x3_s2_backward",
                                         "global_avg_pool_forward",
                                         "global_avg_pool_backward",
                                         "lrn_forward",
                                         "lrn_backward",
                                         "dropout",
                                         "relu_forward",
                                         "copy_rows",
                                         "copy_rows_to_slice",
                                         "add_rows",
                                         "fill",
                                         "reduce_rows_64",
                                         "philox_uniform",
                                         "philox_normal",
                                         "reduce_sum",
                                         "softmax_cross_entropy",
                                         "sgd_momentum",
                                         "augment_center_crop_whiten",
                                         "augment_crop_flip_whiten"});
}

TEST_CASE("Wrong flags end with code 2 and say what was expected, a missing device with 4") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{"--no-such-flag"}, "--no-such-flag"},
      {{"--type", "int8"}, "float32"},
      {{"--min-time", "-1"}, "--min-time"},
      {{"--min-samples", "0"}, "--min-samples"},
      {{"--filter", "("}, "--filter ("},
      {{"--filter", "nothing has this name"}, "--list"},
      {{"--device", "tpu"}, "tpu"},
      {{"--json", "/no/such/folder/rows.json", "--filter", "nothing"}, "/no/such/folder"}};
  for (const std::string& program : {conv_bench, kernel_bench})
    for (const auto& [arguments, said] : wrong) {
      const Finished run = run_program(program, arguments);
      CAPTURE(program, arguments, run.err);
      CHECK(run.status == 2);
      CHECK(contains(run.err, said));
    }
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--set", "vgg"}, {"--shape", "1,2,3"}, {"--dir", "up"}, {"--batch", "0"}}) {
    const Finished run = run_program(conv_bench, arguments);
    CAPTURE(arguments, run.err);
    CHECK(run.status == 2);
    CHECK(contains(run.err, arguments[0]));
  }
  for (const std::string& program : {conv_bench, kernel_bench}) {
    CHECK(run_program(program, {"--device", "cuda:77"}).status == 4);
    const Finished help = run_program(program, {"--help"});
    CHECK(help.status == 0);
    CHECK(contains(help.out, "--filter"));
  }
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--no-such-flag"},
                                                                     {"--model", "mlp"},
                                                                     {"--batch", "0"},
                                                                     {"--precision", "fp8"},
                                                                     {"--hash-steps", "0"}}) {
    const Finished run = run_program(train_bench, arguments);
    CAPTURE(arguments, run.err);
    CHECK(run.status == 2);
    CHECK(contains(run.err, arguments[0]));
  }
  CHECK(run_program(train_bench, {"--device", "cuda:77"}).status == 4);
  CHECK(run_program(train_bench, {"--device", "cpu", "--precision", "tf32"}).status == 4);
}

TEST_CASE("train_bench's hash depends on the steps and not on how they are run") {
  const TemporaryFolder folder;
  const std::string path = (folder / "rows.json").string();
  const auto hash = [&](const std::string& model, const char* steps, const char* threads) {
    const Finished run = run_program(
        train_bench, {"--model", model, "--device", "cpu", "--threads", threads, "--batch", "8",
                      "--images", "24", "--hash-steps", steps, "--json", path});
    INFO(run.err);
    REQUIRE(run.status == 0);
    const nlohmann::json row = rows_of(path).back();
    CHECK(row["hash_steps"] == std::stoi(steps));
    const std::string value = row["hash"];
    CHECK(value.size() == 16);
    CHECK(run.out == model + " fp32, batch 8, " + steps + " steps: " + value + "\n");
    return value;
  };
  for (const std::string model : {"mlp-1x512", "inception"}) {
    // Four steps go beyond an epoch of three.
    const std::string one = hash(model, "4", "1");
    CHECK(hash(model, "4", "1") == one);
    CHECK(hash(model, "4", "2") == one);
    CHECK(hash(model, "4", "3") == one);
    CHECK(hash(model, "5", "1") != one);
    CHECK(hash(model, "3", "1") != one);
  }
}

TEST_CASE("Rows of JSON are added to a file") {
  const TemporaryFolder folder;
  const std::string path = (folder / "rows.json").string();
  const std::vector<std::string> one = {
      "--shape", "1,4,4,2,3,1,1,1,0", "--type", "float32", "--dir",
      "fwd",     "--filter",          "im2col", "--json",  path};
  REQUIRE(quick(conv_bench, one).status == 0);
  REQUIRE(quick(conv_bench, one).status == 0);
  CHECK(rows_of(path).size() == 2);
}

TEST_CASE("train_bench profiles a step: its kernels, their work, and all of its time") {
  const TemporaryFolder folder;
  const std::string path = (folder / "rows.json").string();
  const Finished run = run_program(
      train_bench, {"--model", "mlp-1x512", "--device", "cpu", "--threads", "1", "--batch", "8",
                    "--images", "64", "--seconds", "0", "--profile", "--json", path});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(contains(run.out, "ms/step"));
  CHECK(contains(run.out, "outside kernels"));
  const nlohmann::json profile = rows_of(path).at(0)["profile"];
  double ms = profile["outside_kernels_ms"];
  CHECK(ms > 0);
  std::map<std::string, nlohmann::json> kernels;
  for (const nlohmann::json& row : profile["kernels"]) {
    ms += row["ms"].get<double>();
    kernels[row["kernel"]] = row;
  }
  CHECK(std::abs(ms - profile["ms"].get<double>()) <= 1e-9 * ms);
  CHECK(kernels["linear_forward"]["calls"] == 2);
  CHECK(kernels["linear_forward"]["flop"] == 2. * 8 * 512 * (28 * 28 * 3 + 10));
  // The gradients of both weights, and of the second layer's input.
  CHECK(kernels["matmul"]["calls"] == 3);
  CHECK(kernels["matmul"]["flop"] == 2. * 8 * 512 * (28 * 28 * 3 + 2 * 10));
}
