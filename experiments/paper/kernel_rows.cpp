// From a row's parameters to its numbers.
#include <shatter/experiments/paper/kernel_rows.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <shatter/core/file.h>
#include <shatter/experiments/theory/gabor.h>
#include <shatter/experiments/theory/kernel_regression.h>
#include <shatter/experiments/theory/random_convnet.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

// Operations per second of two cores of a server and of its GPU, for estimates.
struct Rates {
  double float_rate, double_rate;
};
constexpr Rates cpu_rates{1.2e11, 8e10}, gpu_rates{2e13, 2e13};

struct Problem {
  Features train, test;
  std::vector<int> train_labels, test_labels;
  std::int64_t classes = 0;
};

SolveOptions solve_options(const MeasurementContext& context, const std::string& part) {
  SolveOptions options;
  options.lambda = context.parameters.value("lambda", 0.0);
  options.jitter = context.parameters.at("jitter");
  options.residual = context.parameters.at("residual");
  options.iterations = context.parameters.at("iterations");
  options.stop = [&context] { return context.stopped(); };
  options.say = [&context, part](const std::string& line) {
    if (context.progress)
      context.progress->say(context.label + ": " + (part.empty() ? "" : part + ": ") + line);
  };
  return options;
}

GaborBank bank_of(const json& parameters) {
  return {.wavelengths = parameters.at("wavelengths").get<std::vector<double>>(),
          .orientations = parameters.at("orientations"),
          .pool = parameters.at("pool"),
          .stride = parameters.at("stride")};
}

Problem problem_of(const MeasurementContext& context) {
  const std::string features = context.parameters.at("features");
  check(features == "pixels" || features == "gabor", "features ", features,
        ": expected pixels or gabor");
  const auto rows = [&](const data::Dataset& images) {
    if (features == "pixels") return pixels(images);
    return gabor_features(cpu_context(), images, bank_of(context.parameters));
  };
  return {rows(context.data.train), rows(context.data.test), labels(context.data.train),
          labels(context.data.test), context.data.train.classes};
}

/// What one bandwidth and regulariser give; empty when stopped.
std::optional<json> fit(const MeasurementContext& context, const Problem& problem, double gamma,
                        const SolveOptions& options) {
  const auto system = gaussian_system(context.device, problem.train, gamma);
  const auto solution =
      solve(*system, problem.classes, one_hot(problem.train_labels, problem.classes), options);
  if (!solution) return std::nullopt;
  context.show(0.9, "predictions");
  const std::vector<double> scores =
      system->predict(problem.test, problem.classes, solution->alpha, options.stop);
  if (scores.empty()) return std::nullopt;
  return json{
      {"test_error", error_percent(scores, problem.test_labels, problem.classes)},
      {"train_error", error_percent(solution->fitted, problem.train_labels, problem.classes)},
      {"norm", rkhs_norm(*solution)},
      {"norm_plus_minus", rkhs_norm_plus_minus(*solution)},
      {"gamma", gamma},
      {"lambda", options.lambda},
      {"residual", solution->residual},
      {"iterations", solution->iterations},
      {"jitter", solution->jitter},
      {"min_pivot", solution->min_pivot}};
}

/// Computations that an interrupted row need not repeat: results by name in one file.
class Parts {
 public:
  explicit Parts(const std::filesystem::path& folder)
      : path_(folder.empty() ? folder : folder / "parts.json") {
    if (!path_.empty() && std::filesystem::exists(path_)) done_ = json::parse(read_file(path_));
  }
  /// The result of `name`: kept, or from compute() and then kept. Empty when that is.
  template <class Compute>
  std::optional<json> get(const std::string& name, const Compute& compute) {
    if (done_.contains(name)) return done_[name];
    const std::optional<json> result = compute();
    if (!result) return std::nullopt;
    done_[name] = *result;
    if (!path_.empty()) write_file_atomically(path_, done_.dump() + "\n");
    return result;
  }

 private:
  std::filesystem::path path_;
  json done_ = json::object();
};

std::string named(const char* what, double value) {
  return text(what, " ", value);
}

/// The bandwidth that errs least on held-out training images; empty when stopped.
std::optional<double> select_gamma(const MeasurementContext& context, const Problem& problem,
                                   Parts& parts) {
  const std::int64_t n = problem.train.n, held_out = context.parameters.at("held_out");
  const std::int64_t size = context.parameters.at("selection_size");
  check(size >= 1 && held_out >= 1 && size + held_out <= n, "selection_size ", size, ", held_out ",
        held_out, ": together at most the ", n, " training images");
  const auto& all = problem.train_labels;
  const Problem selection{rows(problem.train, 0, size),
                          rows(problem.train, n - held_out, n),
                          {all.begin(), all.begin() + size},
                          {all.end() - held_out, all.end()},
                          problem.classes};
  double best = 0, least = std::numeric_limits<double>::infinity();
  for (const double gamma : context.parameters.at("gammas").get<std::vector<double>>()) {
    const std::string name = named("choice gamma", gamma);
    SolveOptions options = solve_options(context, name);
    options.residual = std::max(options.residual, 1e-4);  // enough to choose by
    const auto result = parts.get(name, [&] { return fit(context, selection, gamma, options); });
    if (!result) return std::nullopt;
    const double error = result->at("test_error");
    options.say(text(error, " % of ", held_out, " held-out images wrong"));
    if (error < least) least = error, best = gamma;
  }
  return best;
}

std::optional<double> gamma_of(const MeasurementContext& context, const Problem& problem,
                               Parts& parts) {
  const json& parameters = context.parameters;
  if (parameters.contains("gammas")) return select_gamma(context, problem, parts);
  if (!parameters.contains("gamma_d2")) return parameters.at("gamma").get<double>();
  return parameters.at("gamma_d2").get<double>() / mean_squared_distance(problem.train);
}

std::vector<double> column(const std::vector<json>& points, const char* name) {
  std::vector<double> values;
  values.reserve(points.size());
  for (const json& point : points) values.push_back(point.at(name));
  return values;
}

json curves_of(const std::vector<json>& points, std::initializer_list<const char*> names) {
  json curves = json::object();
  for (const char* const name : names) curves[name] = column(points, name);
  return curves;
}

double least(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}
double largest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

}  // namespace

std::optional<Measured> gaussian_regression(const MeasurementContext& context) {
  context.show(0, "features");
  const Problem problem = problem_of(context);
  Parts parts(context.folder);
  const std::optional<double> gamma = gamma_of(context, problem, parts);
  if (!gamma) return std::nullopt;
  const auto numbers = fit(context, problem, *gamma, solve_options(context, ""));
  if (!numbers) return std::nullopt;
  return Measured{.numbers = *numbers};
}

namespace {

/// Features of a row's images; an estimate where the images' size is not known.
double dimension(const json& parameters) {
  return parameters.value("dimension", 784.0);
}

double solve_seconds(const Rates& rates, double n, double m, double d, double products) {
  return n * n * n / 3 / rates.float_rate +
         (products * n * n * d + 2 * m * n * d) / rates.double_rate;
}

/// A sweep solves for each of its list.
Need repeated(Need need, const json& parameters) {
  need.seconds *=
      double(parameters.at(parameters.contains("gammas") ? "gammas" : "lambdas").size());
  return need;
}

double panel_bytes(double n) {
  return 3 * 8 * 1024 * n + 1e9;
}

}  // namespace

Need gaussian_regression_need(const json& parameters, Device device) {
  const double n = parameters.at("train_size"), m = parameters.at("test_size");
  const double d = dimension(parameters);
  if (device.is_cuda()) {
    return {4 * n * n + 12 * (n + m) * d + panel_bytes(n),
            10 + solve_seconds(gpu_rates, n, m, d, 5)};
  }
  return {PackedLower::bytes(std::int64_t(n)) + 5 * (n + m) * d + 10 * 8 * (7 * n + 2 * m) + 2e8,
          5 + solve_seconds(cpu_rates, n, m, d, 5)};
}

Need sweep_need(const json& parameters, Device device) {
  return repeated(gaussian_regression_need(parameters, device), parameters);
}

std::optional<Measured> bandwidth_sweep(const MeasurementContext& context) {
  auto gammas = context.parameters.at("gammas").get<std::vector<double>>();
  check(gammas.size() >= 2, "gammas: a sweep needs at least two");
  std::sort(gammas.begin(), gammas.end());
  const Problem problem = problem_of(context);
  Parts parts(context.folder);
  std::vector<json> points;
  for (const double gamma : gammas) {
    const std::string name = named("gamma", gamma);
    context.show(double(points.size()) / double(gammas.size()), name);
    const auto point =
        parts.get(name, [&] { return fit(context, problem, gamma, solve_options(context, name)); });
    if (!point) return std::nullopt;
    points.push_back(*point);
  }
  const std::vector<double> norms = column(points, "norm");
  return Measured{.numbers = {{"least_error", least(column(points, "test_error"))},
                              {"train_error", largest(column(points, "train_error"))},
                              {"norm_growth", largest(norms) / least(norms)},
                              {"monotone", std::is_sorted(norms.rbegin(), norms.rend()) ? 1 : 0},
                              {"residual", largest(column(points, "residual"))},
                              {"jitter", largest(column(points, "jitter"))}},
                  .curves = curves_of(points, {"gamma", "test_error", "norm", "norm_plus_minus",
                                               "min_pivot", "jitter", "residual"})};
}

std::optional<Measured> regularisation_sweep(const MeasurementContext& context) {
  auto lambdas = context.parameters.at("lambdas").get<std::vector<double>>();
  std::sort(lambdas.begin(), lambdas.end());
  check(lambdas.size() >= 2 && lambdas.front() == 0, "lambdas: a sweep begins with 0");
  const Problem problem = problem_of(context);
  Parts parts(context.folder);
  const std::optional<double> gamma = gamma_of(context, problem, parts);
  if (!gamma) return std::nullopt;
  std::vector<json> points;
  for (const double lambda : lambdas) {
    const std::string name = named("lambda", lambda);
    context.show(double(points.size()) / double(lambdas.size()), name);
    SolveOptions options = solve_options(context, name);
    options.lambda = lambda;
    const auto point = parts.get(name, [&] { return fit(context, problem, *gamma, options); });
    if (!point) return std::nullopt;
    points.push_back(*point);
  }
  const std::vector<double> errors = column(points, "test_error");
  return Measured{.numbers = {{"error_unregularised", errors.front()},
                              {"least_error", least(errors)},
                              {"gain", errors.front() - least(errors)},
                              {"gamma", *gamma},
                              {"residual", largest(column(points, "residual"))},
                              {"jitter", largest(column(points, "jitter"))}},
                  .curves = curves_of(points, {"lambda", "test_error", "train_error", "norm",
                                               "norm_plus_minus", "residual"})};
}

namespace {

RandomConvnet net_of(const MeasurementContext& context) {
  const json& p = context.parameters;
  return {.filters = p.at("filters"),
          .patches = p.at("patches"),
          .patch = p.at("patch"),
          .whitening = p.at("whitening"),
          .bias = p.at("bias"),
          .pool = p.at("pool"),
          .stride = p.at("stride"),
          .seed = context.seed};
}

struct ConvnetProblem {
  ConvnetSystem& system;
  std::vector<int> train_labels, test_labels;
  std::int64_t classes, n;
};

/// Fitted to the first n - held_out images; what is wrong among the others, in percent.
std::optional<json> held_out_error(const MeasurementContext& context, const ConvnetProblem& problem,
                                   std::int64_t held_out, const SolveOptions& options) {
  const std::int64_t n = problem.n - held_out;
  const auto& all = problem.train_labels;
  const auto solution = solve(*problem.system.first(n), problem.classes,
                              one_hot({all.begin(), all.begin() + n}, problem.classes), options);
  if (!solution || context.stopped()) return std::nullopt;
  const auto scores = problem.system.predict_rest(n, problem.classes, solution->alpha);
  return json(error_percent(scores, {all.end() - held_out, all.end()}, problem.classes));
}

std::optional<json> convnet_fit(const ConvnetProblem& problem, const SolveOptions& options) {
  const auto solution = solve(*problem.system.first(problem.n), problem.classes,
                              one_hot(problem.train_labels, problem.classes), options);
  if (!solution) return std::nullopt;
  const auto scores = problem.system.predict_test(problem.classes, solution->alpha);
  return json{
      {"lambda", options.lambda},
      {"test_error", error_percent(scores, problem.test_labels, problem.classes)},
      {"train_error", error_percent(solution->fitted, problem.train_labels, problem.classes)},
      {"residual", solution->residual},
      {"jitter", solution->jitter}};
}

}  // namespace

std::optional<Measured> random_convnet_regression(const MeasurementContext& context) {
  auto lambdas = context.parameters.at("lambdas").get<std::vector<double>>();
  std::sort(lambdas.begin(), lambdas.end());
  check(!lambdas.empty() && lambdas.front() == 0, "lambdas: they begin with 0");
  const std::int64_t held_out = context.parameters.at("held_out");
  check(held_out >= 1 && held_out < context.data.train.size(), "held_out ", held_out, ": of ",
        context.data.train.size(), " training images");
  const auto system = convnet_system(context.device, context.data.train, context.data.test,
                                     net_of(context), [&](double part) {
                                       context.show(0.9 * part, "Gram matrix");
                                       return context.stopped();
                                     });
  if (!system) return std::nullopt;
  const ConvnetProblem problem{*system, labels(context.data.train), labels(context.data.test),
                               context.data.train.classes, context.data.train.size()};
  std::vector<json> points;
  for (const double lambda : lambdas) {
    SolveOptions options = solve_options(context, named("lambda", lambda));
    options.lambda = lambda;
    const auto held = held_out_error(context, problem, held_out, options);
    if (!held) return std::nullopt;
    auto point = convnet_fit(problem, options);
    if (!point) return std::nullopt;
    point->emplace("held_out_error", *held);
    options.say(text(held->get<double>(), " % of the held-out images wrong, ",
                     point->at("test_error").get<double>(), " % of the test images"));
    points.push_back(*point);
  }
  const auto best = std::min_element(
      points.begin(), points.end(),
      [](const json& a, const json& b) { return a.at("held_out_error") < b.at("held_out_error"); });
  return Measured{.numbers = {{"test_error", points.front().at("test_error")},
                              {"train_error", points.front().at("train_error")},
                              {"test_error_l2", best->at("test_error")},
                              {"lambda", best->at("lambda")},
                              {"residual", largest(column(points, "residual"))},
                              {"jitter", largest(column(points, "jitter"))}},
                  .curves = curves_of(
                      points, {"lambda", "held_out_error", "test_error", "train_error", "jitter"})};
}

namespace {

double convnet_seconds(const Rates& rates, const json& parameters) {
  const double n = parameters.at("train_size"), m = parameters.at("test_size");
  const double filters = parameters.at("filters"), features = 18 * filters;
  const double pixels = 729, patch = 108;
  const double products = 2 * (n + m) * pixels * patch * filters + (n * n + 2 * n * m) * features;
  const double fits = 2 * double(parameters.at("lambdas").size());
  return products / rates.float_rate + fits * solve_seconds(rates, n, 0, 40, 10);
}

}  // namespace

Need random_convnet_need(const json& parameters, Device device) {
  const double n = parameters.at("train_size"), m = parameters.at("test_size");
  if (device.is_cuda()) {
    return {4 * (2 * n * n + m * n + (n + m) * (2304 + 3072)) + panel_bytes(n),
            60 + convnet_seconds(gpu_rates, parameters)};
  }
  const double patch = 108;
  return {2 * PackedLower::bytes(std::int64_t(n)) + 4 * n * m + (n + m) * 4 * (2304 + 3072) +
              8 * double(parameters.at("patches")) * patch + 3e8,
          convnet_seconds(cpu_rates, parameters)};
}

}  // namespace shatter::experiments
