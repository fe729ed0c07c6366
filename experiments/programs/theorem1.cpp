// Theorem 1 of Zhang et al. (ICLR 2017): a two-layer ReLU network with 2n + d weights fits any
// labels of n points; Lemma 1 and Corollary 1 behind it, and what floating point makes of them.
#include <shatter/experiments/theory/theorem1.h>

#include <algorithm>
#include <cmath>

#include <shatter/core/random.h>
#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/experiments/theory/lemma1.h>

namespace {

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

struct Errors {
  double largest = 0;  ///< |value - y|
  double correct = 0;  ///< percent that round to y
};

Errors errors(const std::vector<double>& values, const std::vector<double>& y) {
  double largest = 0, correct = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    largest = std::max(largest, std::abs(values[i] - y[i]));
    correct += std::round(values[i]) == y[i];
  }
  return {largest, 100 * correct / static_cast<double>(y.size())};
}

InterpolationOptions options_of(const MeasurementContext& context) {
  return {.epsilon = context.parameters["epsilon"].get<double>(),
          .directions = context.parameters["directions"].get<int>(),
          .seed = derive_seed(context.seed, "directions")};
}

/// Shows progress in [from, to] and tells whether to stop.
std::function<bool(double)> watch(const MeasurementContext& context, const std::string& what,
                                  double from = 0, double to = 1) {
  return [&context, what, from, to](double part) {
    context.show(from + part * (to - from), what);
    return context.stopped();
  };
}

/// Images with random labels, those equal to an earlier one left out.
data::Dataset random_labelled(const MeasurementContext& context) {
  const data::Dataset labelled = data::randomize_labels(
      context.data.train, {.probability = 1, .seed = derive_seed(context.seed, "labels")});
  return data::subset(labelled, distinct_images(labelled));
}

std::optional<Measured> fit_images(const MeasurementContext& context) {
  const data::Dataset images = random_labelled(context);
  const PointSet points = points_of(images);
  const std::vector<double> y = images.labels.values<double>();
  auto fit = interpolate(points, y, options_of(context), watch(context, "projections", 0, 0.1));
  if (!fit) return std::nullopt;
  const Module net(fit->net);
  const std::int64_t weights = parameter_count(net);
  check(weights == 2 * points.n + points.d, "the network has ", weights, " weights");
  const auto values =
      values_at(net, points, DType::float64, 64, watch(context, "the network's values", 0.1, 0.9));
  if (!values) return std::nullopt;
  context.show(0.9, "the smallest singular value");
  const Errors e = errors(*values, y);
  const KinkSystem& system = fit->system;
  const double norm = euclidean_norm(fit->net.w.values<double>());
  const double sigma = system.smallest_singular_value(context.seed);
  const double diagonal = system.smallest_diagonal();
  Measured measured;
  measured.numbers = {
      {"points", points.n},
      {"weights", weights},
      {"largest_error", e.largest},
      {"correct", e.correct},
      {"smallest_gap", fit->smallest_gap},
      {"smallest_eigenvalue", diagonal},
      {"eigenvalue_difference", std::abs(system.smallest_eigenvalue(context.seed) / diagonal - 1)},
      {"norm", norm},
      {"smallest_singular_value", sigma},
      {"bound", euclidean_norm(y) / sigma},
      {"norm_to_bound", norm * sigma / euclidean_norm(y)}};
  return measured;
}

/// Section 4 says fits exist for any labels: random ones of all training images.
MeasurementRow fit_row() {
  return {.name = "fit",
          .title = "CIFAR-10, random labels",
          .dataset = "cifar10",
          .full = {{"train_size", 50000}, {"epsilon", 0.1}, {"directions", 16}},
          .quick = {{"train_size", 1000}, {"epsilon", 0.1}, {"directions", 16}},
          .seeded = true,
          .quantities =
              {{.name = "weights",
                .title = "weights, 2n + d",
                .format = "%.0f",
                .paper = 103072,
                .accepted = exactly(103072)},
               {.name = "largest_error",
                .title = "largest error at a training point",
                .format = "%.1e",
                .accepted = at_most(1e-3),
                .quick = at_most(1e-3)},
               {.name = "correct",
                .title = "labels right after rounding, %",
                .paper = 100,
                .accepted = exactly(100),
                .quick = exactly(100)},
               {.name = "smallest_eigenvalue", .title = "min (x_i - b_i)", .format = "%.2e"},
               {.name = "eigenvalue_difference",
                .title = "least eigenvalue by power iteration, relative difference",
                .format = "%.1e",
                .accepted = at_most(1e-6),
                .quick = at_most(1e-6)},
               {.name = "norm", .title = "norm of w", .format = "%.3e"},
               {.name = "bound", .title = "bound: norm of y / sigma_min(A)", .format = "%.3e"},
               {.name = "norm_to_bound",
                .title = "norm of w / bound",
                .format = "%.4f",
                .accepted = at_most(1),
                .quick = at_most(1)}},
          .need =
              [](const json& p, Device) {
                const double n = p["train_size"];
                return Need{.bytes = n * (2 * 3072 + 8 * (64 + 40)) + 3e8,
                            .seconds = 5 + 1.2e-8 * n * n};
              },
          .compute = fit_images};
}

/// n normal points of the line.
Tensor normal_points(const MeasurementContext& context) {
  const std::int64_t n = context.parameters["n"];
  return random_normal({derive_seed(context.seed, "points"), Stream::user, 0}, Shape{n, 1}, 0, 1,
                       DType::float64);
}

KinkSystem normal_system(const MeasurementContext& context) {
  std::vector<double> x = normal_points(context).values<double>();
  std::sort(x.begin(), x.end());
  return {std::move(x), context.parameters["epsilon"].get<double>()};
}

Need dense_need(const json& p, Device) {
  const double n = p["n"];
  return {.bytes = 64 * n * n, .seconds = 1e-8 * n * n * n + 0.1};
}

MeasurementRow spectrum_row() {
  return {.name = "lemma/spectrum",
          .title = "Lemma 1, spectrum, n = {n}",
          .full = {{"n", 10}, {"epsilon", 0.5}},
          .quick = {{"n", 10}, {"epsilon", 0.5}},
          .seeded = true,
          .quantities = {{.name = "difference",
                          .title = "eigenvalues of a dense solver to x_i - b_i, largest relative "
                                   "difference",
                          .format = "%.1e"},
                         {.name = "to_bound",
                          .title = "the same to what rounding can do",
                          .format = "%.3f",
                          .accepted = at_most(1),
                          .quick = at_most(1)}},
          .need = dense_need,
          .compute = [](const MeasurementContext& context) {
            const SpectrumCheck check = spectrum_check(normal_system(context));
            Measured measured;
            measured.numbers = {{"difference", check.relative}, {"to_bound", check.to_bound}};
            return std::optional(measured);
          }};
}

MeasurementRow rank_row() {
  return {
      .name = "lemma/rank",
      .title = "Lemma 1, n = {n}",
      .full = {{"n", 500}, {"epsilon", 0.1}},
      .quick = {{"n", 100}, {"epsilon", 0.1}},
      .seeded = true,
      .quantities = {{.name = "eigenvalue_difference",
                      .title = "least eigenvalue by power iteration to min (x_i - b_i), relative",
                      .format = "%.1e",
                      .accepted = at_most(1e-6),
                      .quick = at_most(1e-6)},
                     {.name = "determinant_difference",
                      .title = "log determinant by LU to the sum of log (x_i - b_i)",
                      .format = "%.1e",
                      .accepted = at_most(1e-6),
                      .quick = at_most(1e-6)},
                     {.name = "rank",
                      .title = "singular values above rounding, share of n, %",
                      .format = "%.1f",
                      .accepted = exactly(100),
                      .quick = exactly(100)},
                     {.name = "singular_difference",
                      .title = "least singular value, dense to power iteration, relative",
                      .format = "%.1e",
                      .accepted = at_most(1e-6),
                      .quick = at_most(1e-6)}},
      .need = dense_need,
      .compute = [](const MeasurementContext& context) {
        const DenseChecks checks = dense_checks(normal_system(context), context.seed);
        Measured measured;
        measured.numbers = {{"eigenvalue_difference", checks.eigenvalue},
                            {"determinant_difference", checks.determinant},
                            {"rank", checks.rank},
                            {"singular_difference", checks.singular}};
        return std::optional(measured);
      }};
}

std::optional<Measured> compare_depths(const MeasurementContext& context) {
  const data::Dataset images = random_labelled(context);
  const PointSet points = points_of(images);
  const auto fit = interpolate(points, images.labels.values<double>(), options_of(context),
                               watch(context, "projections", 0, 0.1));
  if (!fit) return std::nullopt;
  const auto shallow =
      values_at(fit->net, points, DType::float64, 64, watch(context, "depth 2", 0.1, 0.3));
  if (!shallow) return std::nullopt;
  double largest = 0;
  Measured measured;
  json &depths = measured.curves["depth"], &widths = measured.curves["width"],
       &weights = measured.curves["weights"], &differences = measured.curves["difference"];
  for (const int blocks : context.parameters["blocks"].get<std::vector<int>>()) {
    DeepNet net(fit->net, blocks);
    const auto deep = values_at(net, points, DType::float64, 64,
                                watch(context, "depth " + std::to_string(net.depth()), 0.3, 1));
    if (!deep) return std::nullopt;
    const double difference = errors(*deep, *shallow).largest;
    largest = std::max(largest, difference);
    const std::string at = "_depth" + std::to_string(net.depth());
    measured.numbers["width" + at] = net.width();
    measured.numbers["weights" + at] = parameter_count(net);
    check(parameter_count(net) == 2 * points.n + points.d, "depth ", net.depth(), ": ",
          parameter_count(net), " weights");
    depths.push_back(net.depth());
    widths.push_back(net.width());
    weights.push_back(parameter_count(net));
    differences.push_back(difference);
  }
  measured.numbers["difference"] = largest;
  return measured;
}

MeasurementRow depth_row() {
  MeasurementRow row{.name = "corollary/depth",
                     .title = "Corollary 1",
                     .dataset = "cifar10",
                     .full = {{"train_size", 2000},
                              {"epsilon", 0.1},
                              {"directions", 16},
                              {"blocks", {1, 3, 7, 15}}},
                     .quick = {},
                     .seeded = true,
                     .quantities = {{.name = "difference",
                                     .title = "largest difference to depth 2",
                                     .format = "%.1e",
                                     .accepted = at_most(1e-6),
                                     .quick = at_most(1e-6)}},
                     .need =
                         [](const json& p, Device) {
                           const double n = p["train_size"];
                           return Need{.bytes = n * 2 * 3072 + 3e8, .seconds = 1 + 6e-8 * n * n};
                         },
                     .compute = compare_depths};
  row.quick = row.full;
  row.quick["train_size"] = 500;
  for (const int depth : {2, 4, 8, 16}) {
    const std::string at = std::to_string(depth);
    row.quantities.push_back(
        {.name = "width_depth" + at, .title = "width at depth " + at, .format = "%.0f"});
    row.quantities.push_back(
        {.name = "weights_depth" + at, .title = "weights at depth " + at, .format = "%.0f"});
  }
  return row;
}

std::optional<Measured> round_off(const MeasurementContext& context) {
  const Tensor z = normal_points(context);
  const PointSet points = points_of(z);
  std::vector<double> x = z.values<double>(), y;
  std::sort(x.begin(), x.end());
  for (std::uint32_t i = 0; i < x.size(); ++i) {
    const Words4 words = random_words({derive_seed(context.seed, "labels"), Stream::user, 0}, i);
    y.push_back(below(10, words[0], words[1]));
  }
  const KinkSystem system(x, context.parameters["epsilon"].get<double>());
  const std::vector<double> w = system.solve(y);
  const Shape n{points.n};
  const PointSet sorted = points_of(Tensor::from(x, Shape{points.n, 1}));
  Measured measured;
  for (const DType type : {DType::float64, DType::float32}) {
    const bool wide = type == DType::float64;
    const TwoLayerNet net(Tensor::full(Shape{1}, 1, type), Tensor::from(system.b(), n).to(type),
                          Tensor::from(w, n).to(type));
    const auto values =
        values_at(net, sorted, type, 64,
                  watch(context, wide ? "float64" : "float32", wide ? 0 : 0.6, wide ? 0.6 : 1));
    if (!values) return std::nullopt;
    const Errors e = errors(*values, y);
    measured.numbers[wide ? "error64" : "error32"] = e.largest;
    measured.numbers[wide ? "correct64" : "correct32"] = e.correct;
  }
  double largest = 0;
  for (const double value : w) largest = std::max(largest, std::abs(value));
  measured.numbers["largest_weight"] = largest;
  return measured;
}

/// What rounding leaves of the fit, where b_i lies just above x_{i-1} and half way to x_i.
MeasurementRow numerics_row(std::int64_t n, double epsilon) {
  const std::string e = epsilon == 0.5 ? "0.5" : "0.1";
  const bool stable = epsilon < 0.5;
  MeasurementRow row{
      .name = "numerics/" + std::to_string(n / 1000) + "k/eps" + e,
      .title = "n = {n}, eps " + e,
      .full = {{"n", n}, {"epsilon", epsilon}},
      .quick = {{"n", n / 50}, {"epsilon", epsilon}},
      .seeded = true,
      .quantities = {{.name = "largest_weight", .title = "largest weight", .format = "%.1e"},
                     {.name = "error64", .title = "largest error, float64", .format = "%.1e"},
                     {.name = "correct64", .title = "right after rounding, float64, %"},
                     {.name = "correct32", .title = "right after rounding, float32, %"}},
      .need =
          [](const json& p, Device) {
            const double points = p["n"];
            return Need{.bytes = 2e3 * points + 1e8, .seconds = 0.1 + 1e-8 * points * points};
          },
      .compute = round_off};
  if (stable) {
    row.quantities[1].accepted = row.quantities[1].quick = at_most(1e-3);
    row.quantities[2].accepted = row.quantities[2].quick = exactly(100);
  }
  return row;
}

std::vector<MeasurementRow> rows() {
  std::vector<MeasurementRow> all = {fit_row(), spectrum_row(), rank_row(), depth_row()};
  for (const std::int64_t n : {1000, 10000, 30000}) {
    for (const double epsilon : {0.5, 0.1}) all.push_back(numerics_row(n, epsilon));
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  return run_measurements(
      {.info = {.name = "theorem1",
                .summary = "Theorem 1 of \"Understanding deep learning requires rethinking "
                           "generalization\": 2n + d weights fit any labels",
                .examples = {"theorem1 --quick", "theorem1 --rows fit --seeds 3 --check",
                             "theorem1 --rows 'numerics/*' --format csv"}},
       .title = "Theorem 1: a two-layer ReLU network with 2n + d weights",
       .rows = rows()},
      argc, argv);
}
