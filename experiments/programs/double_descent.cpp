// Double descent of random Fourier features on MNIST (Belkin et al., PNAS 2019), which the 2021
// article of Zhang et al. cites: the test error of the least-norm least-squares fit peaks where
// there are as many features as points, and falls again beyond.
#include <algorithm>
#include <cmath>

#include <shatter/core/random.h>
#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/experiments/theory/random_features.h>

namespace {

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

/// Numbers of features: the row's ratios times n.
std::vector<std::int64_t> counts_of(const json& parameters) {
  const double n = parameters["train_size"];
  std::vector<std::int64_t> counts;
  for (const double ratio : parameters["ratios"].get<std::vector<double>>()) {
    counts.push_back(std::max<std::int64_t>(1, std::llround(ratio * n)));
  }
  return counts;
}

/// The points whose number of features lies in [low, high] times n.
std::vector<DescentPoint> between(const std::vector<DescentPoint>& curve, double n, double low,
                                  double high) {
  std::vector<DescentPoint> part;
  std::copy_if(curve.begin(), curve.end(), std::back_inserter(part), [&](const DescentPoint& p) {
    return double(p.features) >= low * n && double(p.features) <= high * n;
  });
  return part;
}

double least_error(const std::vector<DescentPoint>& points) {
  double least = 100;
  for (const DescentPoint& point : points) least = std::min(least, point.test_error);
  return least;
}

Measured summary(const std::vector<DescentPoint>& curve, double n) {
  const auto by_loss = [](const DescentPoint& a, const DescentPoint& b) {
    return a.test_loss < b.test_loss;
  };
  // Very few features predict badly too: the peak is looked for above n / 2.
  const std::vector<DescentPoint> upper = between(curve, n, 0.5, 1e9);
  const DescentPoint peak = *std::max_element(upper.begin(), upper.end(), by_loss);
  const DescentPoint largest = curve.back();
  const double below = least_error(between(curve, n, 0, 0.95));
  Measured measured;
  measured.numbers = {{"peak", double(peak.features) / n},
                      {"peak_error", peak.test_error},
                      {"below_error", below},
                      {"beyond_error", largest.test_error},
                      {"peak_to_below", peak.test_error / below},
                      {"peak_to_beyond", peak.test_error / largest.test_error},
                      {"loss_ratio", peak.test_loss / largest.test_loss},
                      {"norm_ratio", peak.norm / largest.norm}};
  for (const DescentPoint& point : curve) {
    measured.curves["features"].push_back(point.features);
    measured.curves["test_error"].push_back(point.test_error);
    measured.curves["test_loss"].push_back(point.test_loss);
    measured.curves["train_loss"].push_back(point.train_loss);
    measured.curves["norm"].push_back(point.norm);
  }
  return measured;
}

std::optional<Measured> trace(const MeasurementContext& context) {
  const DescentData data{pixel_matrix(context.data.train), pixel_matrix(context.data.test),
                         context.data.train.labels.values<int>(),
                         context.data.test.labels.values<int>(), context.data.train.classes};
  const FourierFeatures features(data.train.columns, context.parameters["bandwidth"],
                                 derive_seed(context.seed, "features"));
  const auto curve =
      double_descent(data, features, counts_of(context.parameters), [&](double part) {
        context.show(part, "random features");
        return context.stopped();
      });
  if (!curve) return std::nullopt;
  return summary(*curve, double(data.train.rows));
}

MeasurementRow fourier_row() {
  const json ratios = {0.05, 0.1,  0.2, 0.3,  0.5, 0.7, 0.8, 0.9, 0.95,
                       1,    1.05, 1.1, 1.25, 1.5, 2,   3,   4};
  return {
      .name = "fourier",
      .title = "Random Fourier features, MNIST",
      .dataset = "mnist",
      .full = {{"train_size", 10000}, {"test_size", 10000}, {"bandwidth", 5.0}, {"ratios", ratios}},
      .quick = {{"train_size", 400}, {"test_size", 500}, {"bandwidth", 5.0}, {"ratios", ratios}},
      .seeded = true,
      .quantities = {{.name = "peak",
                      .title = "features per point at the peak of the test loss",
                      .paper = 1,
                      .accepted = Interval{0.9, 1.1},
                      .quick = Interval{0.9, 1.1}},
                     {.name = "below_error", .title = "least test error below the peak, %"},
                     {.name = "peak_error", .title = "test error at the peak, %"},
                     {.name = "beyond_error", .title = "test error with most features, %"},
                     {.name = "peak_to_below",
                      .title = "peak / least error below",
                      .accepted = at_least(1.5)},
                     {.name = "peak_to_beyond",
                      .title = "peak / error with most features",
                      .accepted = at_least(1.5)},
                     {.name = "loss_ratio",
                      .title = "test loss at the peak / with most features",
                      .accepted = at_least(2),
                      .quick = at_least(2)},
                     {.name = "norm_ratio",
                      .title = "norm at the peak / with most features",
                      .accepted = at_least(1.5),
                      .quick = at_least(1.5)}},
      .need =
          [](const json& p, Device) {
            const double n = p["train_size"];
            const std::vector<std::int64_t> counts = counts_of(p);
            const double most = double(counts.back());
            const double flops = 2 * n * n * (most + n) + double(counts.size()) * n * n * n / 3 +
                                 n * n * n / 1.5 * 5;
            return Need{.bytes = 8 * n * n * 3.2 + 8 * 784 * (n + p["test_size"].get<double>()),
                        .seconds = 1 + flops / 3e10};
          },
      .check =
          [](const json& p) {
            require_positive(p, {"bandwidth", "ratios"});
            const std::vector<double> given = p["ratios"];
            check(std::is_sorted(given.begin(), given.end()) && given.front() <= 0.95 &&
                      given.back() >= 0.5,
                  "ratios ", p["ratios"].dump(),
                  ": in rising order, from at most 0.95 to at least 0.5");
          },
      .compute = trace};
}

}  // namespace

int main(int argc, char** argv) {
  return run_measurements(
      {.info = {.name = "double_descent",
                .summary = "Test error of least-norm fits by random Fourier features on MNIST, "
                           "through the interpolation threshold",
                .examples = {"double_descent --quick",
                             "double_descent --train-size 2000 --seeds 3 --check",
                             "double_descent --set bandwidth=3 --format csv"}},
       .title = "Double descent: random features on MNIST",
       .rows = {fourier_row()}},
      argc, argv);
}
