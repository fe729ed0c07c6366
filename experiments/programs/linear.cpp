// Section 5 of Zhang et al. (ICLR 2017) on linear models: SGD stays in the span of the data and
// finds the solution of least norm; curvature does not tell global minima apart; solutions that fit
// perfectly can generalise badly; and the norm does not predict how well.
#include <algorithm>
#include <cmath>

#include <shatter/core/random.h>
#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/experiments/theory/interpolants.h>
#include <shatter/experiments/theory/minimum_norm.h>

namespace {

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

std::function<bool(double)> watch(const MeasurementContext& context, const std::string& what) {
  return [&context, what](double part) {
    context.show(part, what);
    return context.stopped();
  };
}

/// Even digits (classes) +1, odd ones -1.
Vector parities(const data::Dataset& images) {
  Vector y;
  for (const int label : images.labels.values<int>()) y.push_back(label % 2 == 0 ? 1 : -1);
  return y;
}

Vector normal_vector(std::uint64_t seed, std::int64_t n) {
  return random_normal({seed, Stream::user, 0}, Shape{n}, 0, 1, DType::float64).values<double>();
}

std::optional<Measured> stay_in_span(const MeasurementContext& context) {
  const Matrix x = pixel_matrix(context.data.train);
  const Vector start(std::size_t(x.columns), 0.0);
  const json& p = context.parameters;
  const auto run =
      library_sgd(x, parities(context.data.train), start, p["learning_rate"], p["batch"],
                  p["steps"], derive_seed(context.seed, "rows"), watch(context, "SGD"));
  if (!run) return std::nullopt;
  const double size = norm(run->w);
  Measured measured;
  measured.numbers = {{"norm", size}, {"outside", norm(outside_row_space(x, run->w)) / size}};
  return measured;
}

MeasurementRow span_row() {
  return {
      .name = "span",
      .title = "SGD from 0 stays in the span",
      .dataset = "mnist",
      .full = {{"train_size", 500},
               {"test_size", 1},
               {"batch", 10},
               {"steps", 5000},
               {"learning_rate", 0.002}},
      .quick = {{"train_size", 100},
                {"test_size", 1},
                {"batch", 10},
                {"steps", 200},
                {"learning_rate", 0.0005}},
      .seeded = true,
      .quantities = {{.name = "norm", .title = "norm of w", .format = "%.3f", .quick = at_least(0)},
                     {.name = "outside",
                      .title = "share of w outside the images' span",
                      .format = "%.1e",
                      .accepted = at_most(1e-12),
                      .quick = at_most(1e-12)}},
      .need =
          [](const json& p, Device) {
            const double n = p["train_size"];
            return Need{.bytes = 8 * 784 * (6 * n + 1000), .seconds = 2};
          },
      .check =
          [](const json& p) {
            require_positive(p, {"batch", "steps", "learning_rate"});
          },
      .compute = stay_in_span};
}

std::optional<Measured> find_least_norm(const MeasurementContext& context) {
  const Matrix x = pixel_matrix(context.data.train);
  const Vector y = parities(context.data.train), best = minimum_norm_solution(x, y);
  const json& p = context.parameters;
  const auto sgd = [&](const Vector& start, const char* what) {
    return kaczmarz_sgd(x, y, start, p["tolerance"], p["passes"], derive_seed(context.seed, "rows"),
                        watch(context, what));
  };
  const auto from_zero = sgd(Vector(best.size(), 0.0), "SGD from 0");
  if (!from_zero) return std::nullopt;
  Vector start = normal_vector(derive_seed(context.seed, "start"), x.columns);
  for (double& value : start) value *= norm(best) / std::sqrt(double(x.columns));
  const auto from_start = sgd(start, "SGD from w0");
  if (!from_start) return std::nullopt;
  Vector limit = outside_row_space(x, start);
  for (std::size_t i = 0; i < limit.size(); ++i) limit[i] += best[i];
  Measured measured;
  measured.numbers = {{"steps", from_zero->steps},
                      {"least_norm", norm(best)},
                      {"distance", relative_distance(from_zero->w, best)},
                      {"distance_elsewhere", relative_distance(from_start->w, limit)},
                      {"norm_elsewhere", norm(from_start->w) / norm(best)}};
  return measured;
}

MeasurementRow least_norm_row() {
  return {.name = "minimum-norm",
          .title = "SGD's limit",
          .dataset = "mnist",
          .full = {{"train_size", 200}, {"test_size", 1}, {"passes", 200000}, {"tolerance", 1e-8}},
          .quick = {{"train_size", 20}, {"test_size", 1}, {"passes", 40000}, {"tolerance", 1e-8}},
          .seeded = true,
          .quantities = {{.name = "steps", .title = "steps from 0", .format = "%.0f"},
                         {.name = "least_norm", .title = "norm of w*", .format = "%.3f"},
                         {.name = "distance",
                          .title = "from 0: distance to w*, relative",
                          .format = "%.1e",
                          .accepted = at_most(1e-4),
                          .quick = at_most(1e-4)},
                         {.name = "distance_elsewhere",
                          .title = "from w0: distance to w* + P_null w0, relative",
                          .format = "%.1e",
                          .accepted = at_most(1e-4),
                          .quick = at_most(1e-4)},
                         {.name = "norm_elsewhere",
                          .title = "from w0: norm / norm of w*",
                          .format = "%.3f",
                          .accepted = at_least(1.01),
                          .quick = at_least(1.01)}},
          .need =
              [](const json& p, Device) {
                const double n = p["train_size"];
                return Need{.bytes = 8 * 784 * (8 * n + 100), .seconds = 60 * n / 200};
              },
          .check =
              [](const json& p) {
                require_positive(p, {"passes", "tolerance"});
              },
          .compute = find_least_norm};
}

std::optional<Measured> compare_hessians(const MeasurementContext& context) {
  const std::int64_t n = context.parameters["n"], d = context.parameters["d"];
  Matrix x(n, d);
  x.values = normal_vector(derive_seed(context.seed, "points"), n * d);
  const Vector y = normal_vector(derive_seed(context.seed, "targets"), n),
               first = minimum_norm_solution(x, y);
  Vector second = outside_row_space(x, normal_vector(derive_seed(context.seed, "null"), d));
  for (std::size_t i = 0; i < second.size(); ++i) second[i] = first[i] + 3 * second[i];
  Vector elsewhere = first;
  for (double& value : elsewhere) value *= 0.5;
  Measured measured;
  for (const Loss loss : {Loss::squared, Loss::huber, Loss::cubic}) {
    const auto distance = [](const Matrix& a, const Matrix& b) {
      double largest = 0;
      for (std::size_t i = 0; i < a.values.size(); ++i) {
        largest = std::max(largest, std::abs(a.values[i] - b.values[i]));
      }
      return largest;
    };
    const Matrix here = hessian(loss, x, y, first), there = hessian(loss, x, y, second);
    const std::string name = name_of(loss);
    measured.numbers[name + "_difference"] = distance(here, there);
    measured.numbers[name + "_formula"] = distance(here, hessian_at_minimum(loss, x));
    measured.numbers[name + "_elsewhere"] = distance(hessian(loss, x, y, elsewhere), here);
    measured.numbers[name + "_rank"] = rank_of_symmetric(here, 1e-3);
    context.show(0.5, name);
  }
  return measured;
}

MeasurementRow hessian_row() {
  MeasurementRow row{.name = "hessian",
                     .title = "Hessian at two minima, n = {n}, d = {d}",
                     .full = {{"n", 20}, {"d", 60}},
                     .seeded = true,
                     .need = [](const json&, Device) { return Need{.bytes = 1e7, .seconds = 1}; },
                     .check =
                         [](const json& p) {
                           require_positive(p, {"n", "d"});
                           check(p["n"] < p["d"], "n ", p["n"].dump(), ", d ", p["d"].dump(),
                                 ": with fewer points than dimensions there are many minima");
                         },
                     .compute = compare_hessians};
  row.quick = row.full;
  const auto add = [&](const std::string& name, const std::string& title, const char* format,
                       std::optional<Interval> accepted) {
    row.quantities.push_back(
        {.name = name, .title = title, .format = format, .accepted = accepted, .quick = accepted});
  };
  // Differences of the gradient with h = 1e-5: those of |r|^3 are of size h.
  for (const std::string name : {"squared", "huber", "cubic"}) {
    const double bound = name == "cubic" ? 1e-3 : 1e-6;
    add(name + "_difference", name + ": largest difference between the minima", "%.1e",
        at_most(bound));
    add(name + "_formula", name + ": largest difference to X^T diag(beta) X / n", "%.1e",
        at_most(bound));
    add(name + "_rank", name + ": rank", "%.0f", exactly(name == "cubic" ? 0 : 20));
  }
  add("cubic_elsewhere", "cubic: largest difference away from a minimum", "%.2f", at_least(0.1));
  return row;
}

Labelled labelled(const data::Dataset& images) {
  return {pixel_matrix(images), images.labels.values<int>()};
}

Need kernel_need(double n) {
  return {.bytes = 8 * n * n * 4 + 1e8, .seconds = 1e-10 * n * n * n + 1e-7 * n * n};
}

std::optional<Measured> fit_badly(const MeasurementContext& context) {
  const Labelled train = labelled(context.data.train), test = labelled(context.data.test);
  const double gamma = context.parameters["gamma"];
  const std::int64_t classes = context.data.train.classes;
  const auto best =
      least_norm_interpolant(train, test, gamma, classes, watch(context, "least norm"));
  if (!best) return std::nullopt;
  const auto spoilt =
      spoilt_interpolant(train, test, gamma, classes, derive_seed(context.seed, "labels"),
                         watch(context, "random labels on test points"));
  if (!spoilt || context.stopped()) return std::nullopt;
  context.show(0.5, "random centres");
  const Interpolant random =
      interpolant_at(random_points(train.points, derive_seed(context.seed, "centres")), train, test,
                     gamma, classes);
  Measured measured;
  measured.numbers["error"] = best->test_error;
  measured.numbers["norm"] = best->norm;
  for (const auto& [name, fit] : {std::pair("random", random), std::pair("spoilt", *spoilt)}) {
    const std::string prefix = name;
    measured.numbers[prefix + "_train_error"] = fit.train_error;
    measured.numbers[prefix + "_residual"] = fit.residual;
    measured.numbers[prefix + "_error"] = fit.test_error;
    measured.numbers[prefix + "_error_ratio"] = fit.test_error / best->test_error;
    measured.numbers[prefix + "_norm_ratio"] = fit.norm / best->norm;
  }
  return measured;
}

MeasurementRow bad_row() {
  MeasurementRow row{
      .name = "bad-interpolants",
      .title = "Interpolants that generalise badly, MNIST",
      .dataset = "mnist",
      .full = {{"train_size", 2000}, {"test_size", 2000}, {"gamma", 0.02}},
      .quick = {{"train_size", 400}, {"test_size", 400}, {"gamma", 0.004}},
      .seeded = true,
      .quantities = {{.name = "error", .title = "least norm: test error, %"},
                     {.name = "norm", .title = "least norm: norm"}},
      .need =
          [](const json& p, Device) {
            return kernel_need(p["train_size"].get<double>() + p["test_size"].get<double>());
          },
      .check = [](const json& p) { require_positive(p, {"gamma"}); },
      .compute = fit_badly};
  for (const auto& [name, title] : {std::pair<std::string, std::string>("random", "random centres"),
                                    {"spoilt", "random labels on test points"}}) {
    row.quantities.push_back({.name = name + "_train_error",
                              .title = title + ": training error, %",
                              .accepted = exactly(0),
                              .quick = exactly(0)});
    row.quantities.push_back({.name = name + "_error", .title = title + ": test error, %"});
    row.quantities.push_back({.name = name + "_error_ratio",
                              .title = title + ": test error / least norm's",
                              .accepted = at_least(5),
                              .quick = at_least(1)});
    row.quantities.push_back({.name = name + "_norm_ratio",
                              .title = title + ": norm / least norm's",
                              .accepted = at_least(1.5),
                              .quick = at_least(1.2)});
  }
  return row;
}

std::optional<Measured> sweep_norm(const MeasurementContext& context) {
  const Labelled train = labelled(context.data.train), test = labelled(context.data.test);
  const auto gammas = context.parameters["gammas"].get<std::vector<double>>();
  Vector norms, errors;
  for (const double gamma : gammas) {
    const auto fit = least_norm_interpolant(train, test, gamma, context.data.train.classes,
                                            watch(context, "gamma " + std::to_string(gamma)));
    if (!fit) return std::nullopt;
    norms.push_back(fit->norm);
    errors.push_back(fit->test_error);
  }
  const auto [least, most] = std::minmax_element(norms.begin(), norms.end());
  const double at_least_norm = errors[std::size_t(least - norms.begin())];
  const double at_most_norm = errors[std::size_t(most - norms.begin())];
  Measured measured;
  measured.numbers = {{"norm_ratio", *most / *least},
                      {"error_least", at_least_norm},
                      {"error_most", at_most_norm},
                      {"error_difference", at_most_norm - at_least_norm}};
  measured.curves = {{"gamma", gammas}, {"norm", norms}, {"error", errors}};
  return measured;
}

MeasurementRow norm_row() {
  return {.name = "norm",
          .title = "Norm against error over bandwidths, MNIST",
          .dataset = "mnist",
          .full = {{"train_size", 4000},
                   {"test_size", 10000},
                   {"gammas", {0.0075, 0.01, 0.015, 0.02, 0.03}}},
          .quick = {{"train_size", 400}, {"test_size", 400}, {"gammas", {0.002, 0.02}}},
          .quantities = {{.name = "norm_ratio",
                          .title = "largest norm / smallest",
                          .accepted = at_least(2),
                          .quick = at_least(1.2)},
                         {.name = "error_least", .title = "test error at the smallest norm, %"},
                         {.name = "error_most", .title = "test error at the largest norm, %"},
                         {.name = "error_difference",
                          .title = "test error, largest norm - smallest, points",
                          .format = "%+.2f",
                          .accepted = Interval{-0.5, 0.5},
                          .quick = Interval{-10, 10}}},
          .need =
              [](const json& p, Device) {
                const double n = p["train_size"], m = p["test_size"];
                return Need{.bytes = 8 * (3 * n * n + n * m + 3072 * (n + m)) + 1e8,
                            .seconds = 5 * kernel_need(n).seconds + 1e-8 * n * m};
              },
          .check = [](const json& p) { require_positive(p, {"gammas"}); },
          .compute = sweep_norm};
}

}  // namespace

int main(int argc, char** argv) {
  return run_measurements(
      {.info = {.name = "linear",
                .summary = "Section 5 of \"Understanding deep learning requires rethinking "
                           "generalization\": what SGD does to linear models",
                .examples = {"linear --quick", "linear --rows minimum-norm --seeds 3 --check",
                             "linear --rows norm --set 'gammas=[0.01,0.02]' --format csv"}},
       .title = "Linear models: SGD, norms and interpolation",
       .rows = {span_row(), least_norm_row(), hessian_row(), bad_row(), norm_row()}},
      argc, argv);
}
