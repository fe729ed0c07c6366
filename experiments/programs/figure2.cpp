// Figure 2 (b) of Zhang et al. (ICLR 2017): the small Inception with and without batch norm on
// CIFAR-10, nothing else regularised. The claims: batch norm steadies the curve and is worth 3 to 4
// points; early stopping gains nothing. A variant holds images out to choose the stopping point
// honestly.
#include <limits>

#include <shatter/experiments/cli/training_program.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/paper_runs.h>

namespace {

using namespace shatter::experiments;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr const char* with = "inception";
constexpr const char* without = "inception-no-bn";

std::vector<TrainingRow> rows() {
  std::vector<TrainingRow> all;
  for (const char* model : {with, without}) {
    const CellConfig full = paper_run(model);
    CellConfig held_out = full;
    held_out.dataset.train_size = 45000;
    held_out.dataset.held_out = 5000;
    const auto add = [&](const char* name, const CellConfig& config) {
      TrainingRow row{.name = std::string(model) + "/" + name,
                      .title = recipe(model).title,
                      .full = config,
                      .quick = quick_run(config)};
      row.quick.evaluate_every = 1;
      all.push_back(row);
    };
    add("none", full);
    add("held-out", held_out);
  }
  return all;
}

double final_test(const Result& cell) {
  return cell.number("test_percent");
}

Reading of_model(const std::string& model) {
  const std::string name = model + "/none";
  const bool batch_norm = model == with;
  return {.title = recipe(model).title,
          .needs = {name},
          .quantities = {{.name = "test_accuracy",
                          .title = "test accuracy, %",
                          .paper = batch_norm ? 85.75 : 82.00,
                          .accepted = batch_norm ? Interval{84.25, 87.25} : Interval{79.5, 84.5},
                          .quick = Interval{15, 100}},
                         {.name = "early_stopping",
                          .title = "best so far less final test accuracy, points",
                          .paper = 0,
                          .accepted = Interval{-infinity, 0.7}},
                         {.name = "unsteadiness",
                          .title = "deviation of the test accuracy's changes, points"}},
          .numbers = [name](const SeedRuns& runs) -> std::map<std::string, double> {
            const Result& cell = *runs.at(name);
            return {{"test_accuracy", final_test(cell)},
                    {"early_stopping",
                     100 * early_stopping_gain(cell, "test_accuracy", "test_accuracy")},
                    {"unsteadiness", 100 * unsteadiness(cell, "test_accuracy")}};
          }};
}

Reading held_out(const std::string& model) {
  const std::string name = model + "/held-out";
  return {.title = recipe(model).title + ", held-out images",
          .needs = {name},
          .quantities = {{.name = "honest_gain",
                          .title = "early stopping on held-out images, points of test accuracy",
                          .accepted = Interval{-infinity, 0.7}}},
          .numbers = [name](const SeedRuns& runs) -> std::map<std::string, double> {
            return {{"honest_gain", 100 * early_stopping_gain(*runs.at(name), "test_accuracy",
                                                              "held_out_accuracy")}};
          }};
}

Reading compared() {
  const std::string bn = std::string(with) + "/none", plain = std::string(without) + "/none";
  return {.title = "with less without batch norm",
          .needs = {bn, plain},
          .quantities = {{.name = "gap",
                          .title = "test accuracy, points",
                          .paper = 3.75,
                          .accepted = Interval{2, 5}},
                         {.name = "delay",
                          .title = "steps to 99 % training accuracy",
                          .format = "%.0f",
                          .accepted = Interval{-infinity, 0}}},
          .numbers = [bn, plain](const SeedRuns& runs) -> std::map<std::string, double> {
            const auto steps = [&](const std::string& name) {
              return first_step(*runs.at(name), "train_accuracy", 0.99, true);
            };
            return {{"gap", final_test(*runs.at(bn)) - final_test(*runs.at(plain))},
                    {"delay", steps(bn) - steps(plain)}};
          }};
}

}  // namespace

int main(int argc, char** argv) {
  return run_training({.info = {.name = "figure2",
                                .summary = "Figure 2 (b) of \"Understanding deep learning requires "
                                           "rethinking generalization\": batch norm and early "
                                           "stopping on CIFAR-10",
                                .examples = {"figure2 --quick", "figure2 --rows '*/none' --seeds 3",
                                             "figure2 --train-size 5000 --epochs 40 --seeds 1"}},
                       .title = "Figure 2 (b): batch norm and early stopping on CIFAR-10",
                       .rows = rows(),
                       .task = paper_task,
                       .readings = {of_model(with), of_model(without), compared(), held_out(with),
                                    held_out(without)}},
                      argc, argv);
}
