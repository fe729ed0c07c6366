// Table 3 of Zhang et al. (ICLR 2017), section 5: kernel regression that interpolates its training
// labels, and generalises. Beside the paper's rows, how the norm of the solution follows the
// bandwidth and what a regulariser adds.
#include <limits>

#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/experiments/paper/kernel_rows.h>

namespace {

using namespace shatter::experiments;
using nlohmann::json;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Interval zero{0, 0};

json changed(json parameters, const json& changes) {
  parameters.update(changes);
  return parameters;
}

/// What every row is solved with; `more` adds to it or replaces it.
json parameters(std::int64_t train_size, std::int64_t test_size, const json& more) {
  json all = {{"train_size", train_size},
              {"test_size", test_size},
              {"jitter", 1e-6},
              {"residual", 1e-8},
              {"iterations", 40}};
  all.update(more);
  return all;
}

const json pixels = {{"features", "pixels"}, {"lambda", 0.0}};
const json gabor = {
    {"features", "gabor"}, {"wavelengths", {4.0, 8.0}}, {"orientations", 8}, {"pool", 4},
    {"stride", 4},         {"gamma_d2", 1.5},           {"lambda", 0.0}};

Quantity quantity(const char* name, const char* title, const char* format = "%.2f",
                  std::optional<double> paper = {}, std::optional<Interval> accepted = {},
                  std::optional<Interval> quick = {}) {
  return {.name = name,
          .title = title,
          .format = format,
          .paper = paper,
          .accepted = accepted,
          .quick = quick};
}

const Quantity train_error = quantity("train_error", "train error, %", "%.2f", {}, zero, zero);
const Quantity residual =
    quantity("residual", "residual", "%.1e", {}, Interval{0, 1e-8}, Interval{0, 1e-8});
const Quantity jitter = quantity("jitter", "jitter of the float32 factor", "%g");

/// A row of the paper's: an error, a norm, and how well the system was solved.
std::vector<Quantity> regression(double paper, Interval accepted, double quick_most,
                                 std::optional<double> norm = {}) {
  return {quantity("test_error", "test error, %", "%.2f", paper, accepted, Interval{0, quick_most}),
          train_error,
          quantity("norm", "norm, one-hot", "%.1f", norm),
          quantity("norm_plus_minus", "norm, +-1", "%.1f"),
          quantity("gamma", "gamma", "%.4g"),
          residual,
          quantity("iterations", "products", "%.0f"),
          jitter,
          quantity("min_pivot", "least pivot", "%.1e")};
}

MeasurementRow row(const char* name, const char* title, const char* dataset, const json& full,
                   const json& quick, std::vector<Quantity> quantities,
                   std::function<Need(const json&, shatter::Device)> need,
                   std::function<std::optional<Measured>(const MeasurementContext&)> compute) {
  json small = full;
  small.merge_patch(quick);  // a null removes a parameter
  return {.name = name,
          .title = title,
          .dataset = dataset,
          .full = full,
          .quick = small,
          .gpu = true,
          .precision = "fp32 factor, fp64",
          .quantities = std::move(quantities),
          .need = std::move(need),
          .compute = std::move(compute)};
}

MeasurementRow regularisation(const char* name, const char* title, const json& features) {
  json full = parameters(10000, 10000, features);
  full.erase("lambda");
  full["lambdas"] = {0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0};
  const json quick = {
      {"train_size", 1000}, {"test_size", 1000}, {"lambdas", {0.0, 1e-6, 1e-2, 1.0}}};
  return row(name, title, "mnist", full, quick,
             {quantity("error_unregularised", "test error at lambda 0, %"),
              quantity("least_error", "least test error, %"),
              quantity("gain", "regularisation gains, points", "%.2f", {},
                       Interval{-infinity, 0.05}, Interval{-infinity, 6}),
              residual, jitter},
             sweep_need, regularisation_sweep);
}

std::vector<MeasurementRow> rows() {
  const json small = {{"train_size", 2000}, {"test_size", 2000}};
  // On MNIST the paper row's bandwidth, and one that fits other images too.
  const json relative = changed(small, {{"gamma", nullptr}, {"gamma_d2", 2.0}});
  std::vector<MeasurementRow> all = {
      row("mnist/pixels", "MNIST, pixels", "mnist",
          parameters(60000, 10000, changed(pixels, {{"gamma", 0.02}})), relative,
          regression(1.2, {1.12, 1.32}, 86, 220), gaussian_regression_need, gaussian_regression),
      row("mnist/gabor", "MNIST, Gabor features", "mnist", parameters(60000, 10000, gabor), small,
          regression(0.6, {0, 0.7}, 60, 390), gaussian_regression_need, gaussian_regression),
      row("cifar10/pixels", "CIFAR-10, pixels", "cifar10",
          parameters(50000, 10000,
                     changed(pixels, {{"gammas", {0.005, 0.01, 0.02, 0.04}},
                                      {"selection_size", 10000},
                                      {"held_out", 5000},
                                      {"dimension", 3072}})),
          changed(small, {{"gammas", {0.002, 0.01}}, {"selection_size", 1000}, {"held_out", 500}}),
          regression(46, {44, 48}, 86), gaussian_regression_need, gaussian_regression)};
  MeasurementRow convnet =
      row("cifar10/random-convnet", "CIFAR-10, random conv-net", "cifar10",
          parameters(50000, 10000,
                     {{"filters", 32000},
                      {"patches", 100000},
                      {"patch", 6},
                      {"whitening", 1e-3},
                      {"bias", 1.0},
                      {"pool", 15},
                      {"stride", 6},
                      {"held_out", 5000},
                      {"lambdas", {0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1}}}),
          {{"train_size", 500},
           {"test_size", 500},
           {"filters", 256},
           {"patches", 5000},
           {"held_out", 100},
           {"lambdas", {0.0, 1e-4, 1e-2}}},
          {quantity("test_error", "test error, %", "%.2f", 17, Interval{16, 18}, Interval{0, 80}),
           train_error,
           quantity("test_error_l2", "test error with l2, %", "%.2f", 15, Interval{15, 16.7},
                    Interval{0, 80}),
           quantity("lambda", "lambda / mean diagonal", "%g"), residual, jitter},
          random_convnet_need, random_convnet_regression);
  convnet.seeded = true;
  all.push_back(std::move(convnet));
  all.push_back(row(
      "mnist/bandwidth", "MNIST, norm against bandwidth", "mnist",
      parameters(10000, 10000,
                 changed(pixels, {{"gammas", {0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.03}}})),
      changed(small, {{"gammas", {0.01, 0.02, 0.03}}}),
      {quantity("least_error", "least test error, %"), train_error,
       quantity("norm_growth", "largest norm / least"),
       quantity("monotone", "norm falls with gamma", "%.0f", {}, Interval{1, 1}, Interval{1, 1}),
       residual, jitter},
      sweep_need, bandwidth_sweep));
  all.push_back(regularisation("mnist/regularisation", "MNIST, pixels, regularised",
                               changed(pixels, {{"gamma", 0.02}})));
  all.push_back(
      regularisation("mnist/gabor-regularisation", "MNIST, Gabor features, regularised", gabor));
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  return run_measurements(
      {.info = {.name = "table3",
                .summary = "Table 3 of \"Understanding deep learning requires rethinking "
                           "generalization\": kernels that interpolate and generalise",
                .examples = {"table3 --quick", "table3 --rows mnist/pixels --train-size 10000",
                             "table3 --rows cifar10/random-convnet --train-size 10000 "
                             "--set filters=4000 --seeds 1"}},
       .title = "Table 3: kernel regression without explicit regularisation",
       .rows = rows()},
      argc, argv);
}
