// Empirical Rademacher complexity (section 2.2 of Zhang et al., ICLR 2017) of the networks of
// Table 1 on CIFAR-10, and of two classes whose complexity is known, to check the estimator.
#include <shatter/core/random.h>
#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/paper_runs.h>
#include <shatter/experiments/paper/train_to_end.h>
#include <shatter/experiments/theory/rademacher.h>

namespace {

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

/// The means over the row's draws of what a class finds, and of the supremum.
std::optional<Measured> known_class(
    const MeasurementContext& context, double bound,
    const std::function<Supremum(const std::vector<int>& signs)>& maximise) {
  const int draws = context.parameters["draws"];
  double found = 0, exact = 0;
  for (int draw = 0; draw < draws; ++draw) {
    context.show(double(draw) / draws, "draws of the signs");
    if (context.stopped()) return std::nullopt;
    const std::uint64_t seed = derive_seed(context.seed, "draw " + std::to_string(draw));
    const Supremum supremum = maximise(random_signs(seed, context.data.train.size()));
    found += supremum.found / draws;
    exact += supremum.exact / draws;
  }
  Measured measured;
  measured.numbers = {{"estimate", found},
                      {"exact", exact},
                      {"difference", 100 * (found / exact - 1)},
                      {"bound", bound},
                      {"exact_to_bound", exact / bound}};
  return measured;
}

std::optional<Measured> measure_linear(const MeasurementContext& context) {
  const Matrix x = pixel_matrix(context.data.train);
  const double radius = context.parameters["radius"];
  const int steps = context.parameters["steps"];
  return known_class(context, linear_ball_bound(x, radius), [&](const std::vector<int>& signs) {
    return linear_ball(x, signs, radius, steps);
  });
}

std::optional<Measured> measure_kernel(const MeasurementContext& context) {
  const Matrix x = pixel_matrix(context.data.train);
  const Matrix k = gaussian_matrix(x, x, context.parameters["gamma"]);
  const double radius = context.parameters["radius"];
  const int steps = context.parameters["steps"];
  return known_class(context, kernel_ball_bound(k, radius), [&](const std::vector<int>& signs) {
    return kernel_ball(k, signs, radius, steps);
  });
}

std::vector<Quantity> known_quantities() {
  return {{.name = "estimate", .title = "estimate, gradient ascent", .format = "%.5f"},
          {.name = "exact", .title = "closed form", .format = "%.5f"},
          {.name = "difference",
           .title = "estimate - closed form, %",
           .format = "%+.3f",
           .accepted = Interval{-2, 2},
           .quick = Interval{-2, 2}},
          {.name = "exact_to_bound",
           .title = "closed form / bound",
           .format = "%.3f",
           .accepted = at_most(1),
           .quick = at_most(1.05)}};  // few draws: their mean may lie above the expectation
}

std::vector<MeasurementRow> known_rows() {
  const MeasurementRow linear{
      .name = "linear-ball",
      .title = "Linear functions, norm of w <= 1",
      .dataset = "cifar10",
      .full =
          {{"train_size", 5000}, {"test_size", 1}, {"draws", 200}, {"steps", 100}, {"radius", 1.0}},
      .quick =
          {{"train_size", 300}, {"test_size", 1}, {"draws", 10}, {"steps", 100}, {"radius", 1.0}},
      .seeded = true,
      .quantities = known_quantities(),
      .need =
          [](const json& p, Device) {
            const double n = p["train_size"];
            return Need{.bytes = 8 * 3072 * 3 * n,
                        .seconds = 4e-9 * 3072 * n * p["draws"].get<double>()};
          },
      .check =
          [](const json& p) {
            require_positive(p, {"draws", "steps", "radius"});
          },
      .compute = measure_linear};
  MeasurementRow kernel = linear;
  kernel.name = "kernel-ball";
  kernel.title = "Gaussian kernel's functions, norm <= 1";
  kernel.full["gamma"] = kernel.quick["gamma"] = 0.002;
  kernel.full["train_size"] = 4000;
  kernel.need = [](const json& p, Device) {
    const double n = p["train_size"];
    return Need{.bytes = 8 * (3072 * n + 2 * n * n),
                .seconds = 1e-9 * n * n * (500 + 2 * p["draws"].get<double>())};
  };
  kernel.check = [](const json& p) { require_positive(p, {"draws", "steps", "radius", "gamma"}); };
  kernel.compute = measure_kernel;
  return {linear, kernel};
}

MeasurementRow network_row(const ModelRecipe& recipe) {
  CellConfig full = paper_run(recipe.name);
  full.dataset.test_size = 1;
  MeasurementRow row{
      .name = recipe.name,
      .title = recipe.title,
      .dataset = "cifar10",
      .full = training_parameters(full),
      .seeded = true,
      .gpu = true,
      .precision = "fp32",
      .quantities = {{.name = "complexity",
                      .title = "complexity, lower bound: 2 x training accuracy - 1",
                      .format = "%.4f",
                      .accepted = at_least(0.98),
                      .quick = at_least(0.98)},
                     {.name = "loss_class",
                      .title = "complexity of its 0-1 loss, lower bound (at most 1/2)",
                      .format = "%.4f"},
                     {.name = "epochs", .title = "epochs", .format = "%.0f"}}};
  if (recipe.name.starts_with("mlp")) {
    row.quick = row.full;
    row.quick.update({{"train_size", 400},
                      {"epochs", 40},
                      {"batch", 32},
                      {"learning_rate_decay", 0.97},
                      {"stop_loss", 0.01},
                      {"stop_epochs", 1}});
  }
  row.need = [name = recipe.name](const json& p, Device) {
    const Summary summary = summarize(make_model(name, 2), {1, 28, 28, 3});
    const double n = p["train_size"], multiply_adds = double(summary.multiply_adds);
    return Need{
        .bytes = n * 3072 + 16.0 * double(summary.parameters) + p["batch"].get<double>() * 8e6,
        .seconds = 3 * n * p["epochs"].get<double>() * multiply_adds / 5e10};
  };
  row.compute = [name = recipe.name](const MeasurementContext& context) -> std::optional<Measured> {
    const std::vector<int> signs =
        random_signs(derive_seed(context.seed, "signs"), context.data.train.size());
    const data::Dataset train = signed_images(context.data.train, signs);
    // Nothing is to be learnt for other images: the test set is there because a run has one.
    const TrainingTask task{.model = make_model(name, 2),
                            .decayed = {},
                            .data = {train, data::first(train, context.data.test.size())},
                            .metrics = {}};
    const auto result = train_to_end(training_cell(name, context), task, context);
    if (!result) return std::nullopt;
    const double complexity = 2 * result->train.accuracy() - 1;
    Measured measured;
    measured.numbers = {{"complexity", complexity},
                        {"loss_class", complexity / 2},
                        {"training_accuracy", 100 * result->train.accuracy()},
                        {"epochs", result->epochs}};
    return measured;
  };
  return row;
}

std::vector<MeasurementRow> rows() {
  std::vector<MeasurementRow> all = known_rows();
  for (const ModelRecipe& recipe : recipes()) all.push_back(network_row(recipe));
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  return run_measurements(
      {.info = {.name = "rademacher",
                .summary = "Rademacher complexity of the networks of \"Understanding deep learning "
                           "requires rethinking generalization\" on CIFAR-10; a draw for each seed",
                .examples = {"rademacher --quick", "rademacher --rows 'mlp-*' --seeds 5 --check",
                             "rademacher --rows mlp-1x512 --train-size 10000 --format csv"}},
       .title = "Empirical Rademacher complexity on CIFAR-10",
       .rows = rows()},
      argc, argv);
}
