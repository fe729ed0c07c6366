// The real table3, and its rows when they are interrupted.
#include <shatter/experiments/paper/kernel_rows.h>

#include <limits>

#include "tests/experiments/process.h"

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

namespace {

const std::string table3 = SHATTER_PROGRAM_FOLDER "/table3";

MeasurementContext context_of(const json& parameters, const std::filesystem::path& folder) {
  MeasurementContext context;
  context.parameters = parameters;
  context.data = {data::synthetic(data::Split::train, {.size = 120}),
                  data::synthetic(data::Split::test, {.size = 40})};
  context.folder = folder;
  return context;
}

const json solving = {{"jitter", 1e-6}, {"residual", 1e-8}, {"iterations", 40}};

json with(json parameters, const json& more) {
  parameters.update(more);
  return parameters;
}

}  // namespace

TEST_CASE("table3 --quick --synthetic --check passes and prints every row") {
  const TemporaryFolder folder;
  const Finished run = run_program(
      table3, {"--quick", "--synthetic", "--check", "--threads", "1", "--out", folder.path()});
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(run.out.starts_with("**Table 3"));
  for (const char* row : {"| MNIST, pixels |", "| MNIST, Gabor features |", "| CIFAR-10, pixels |",
                          "| CIFAR-10, random conv-net |", "| MNIST, norm against bandwidth |",
                          "| MNIST, pixels, regularised |"})
    CHECK(contains(run.out, row));
  CHECK(contains(run.err, "GFLOP/s, jitter 1e-06, least pivot"));
  CHECK(!contains(run.out, "GFLOP/s"));
}

TEST_CASE("table3 refuses what it cannot do with the exit code that says why") {
  const TemporaryFolder folder;
  const auto tiny = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--quick", "--synthetic", "--train-size", "60", "--test-size", "30",
                             "--out", folder.path().string()});
    return run_program(table3, more);
  };
  const Finished memory = tiny({"--rows", "cifar10/random-convnet", "--set", "patches=100000000000",
                                "--set", "held_out=10"});
  CHECK(memory.status == 4);
  CHECK(contains(memory.err, "of memory"));
  for (const char* bad : {"gamma_d2=-1", "lambda=-1", "features=voices"}) {
    const Finished run = tiny({"--rows", "mnist/pixels", "--set", bad});
    CAPTURE(bad, run.err);
    CHECK(run.status == 2);
  }
  CHECK(tiny({"--rows", "cifar10/pixels", "--set", "held_out=61"}).status == 2);
  CHECK(tiny({"--rows", "mnist/gabor", "--set", "wavelengths=[]"}).status == 2);
  CHECK(tiny({"--rows", "nothing"}).status == 2);
  CHECK(run_program(table3, {"--rows", "mnist/pixels", "--data", folder.path()}).status == 3);
}

TEST_CASE("An interrupted sweep goes on with the points it finished") {
  const json lambdas =
      with(solving, {{"features", "pixels"}, {"gamma", 0.01}, {"lambdas", {0.0, 1e-4, 1e-2, 1.0}}});
  json gammas = with(solving, {{"features", "pixels"}, {"lambda", 0.0}});
  gammas["gammas"] = {0.01, 0.02, 0.04};
  for (const bool over_gamma : {false, true}) {
    const auto compute = over_gamma ? bandwidth_sweep : regularisation_sweep;
    const json& parameters = over_gamma ? gammas : lambdas;
    const TemporaryFolder whole_folder, folder;
    const auto whole = compute(context_of(parameters, whole_folder.path()));
    REQUIRE(whole);
    int most = 0;
    std::optional<Measured> last;
    for (int sessions = 0; !last; ++sessions) {
      REQUIRE(sessions < 100);
      MeasurementContext context = context_of(parameters, folder.path());
      int asked = 0;
      context.stop = [&] { return ++asked > 6; };  // about one point a session
      last = compute(context);
      most = sessions;
    }
    CHECK(most >= 1);
    CHECK(last->numbers == whole->numbers);
    CHECK(last->curves == whole->curves);
    CHECK(whole->curves.begin()->size() == parameters[over_gamma ? "gammas" : "lambdas"].size());
  }
}

TEST_CASE("A regularised solution has a smaller norm and larger training residuals") {
  const TemporaryFolder folder;
  const auto measured = regularisation_sweep(context_of(
      with(solving, {{"features", "pixels"}, {"gamma", 0.002}, {"lambdas", {0.0, 0.01, 1.0}}}),
      folder.path()));
  REQUIRE(measured);
  const auto norms = measured->curves["norm"].get<std::vector<double>>();
  CHECK(norms[0] > norms[1]);
  CHECK(norms[1] > norms[2]);
  CHECK(measured->curves["train_error"][0] == 0);
}

TEST_CASE("The need grows with the square of the images, and the random net's with its filters") {
  const json pixels = {{"train_size", 60000}, {"test_size", 10000}};
  const Need need = gaussian_regression_need(pixels, Device());
  CHECK(need.bytes > 7.2e9);
  CHECK(need.bytes < 8.5e9);
  CHECK(gaussian_regression_need(pixels, Device::cuda(0)).bytes > 4.0 * 60000 * 60000);
  json net = {{"train_size", 10000},
              {"test_size", 10000},
              {"filters", 1000},
              {"patches", 100000},
              {"lambdas", {0.0}}};
  const double few = random_convnet_need(net, Device()).seconds;
  net["filters"] = 4000;
  CHECK(random_convnet_need(net, Device()).seconds > 3 * few - 60);
}
