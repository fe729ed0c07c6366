// Figure 1 of Zhang et al. (ICLR 2017): (a) learning curves on true labels, random labels, shuffled
// pixels, random pixels and Gaussian images; (b) the time to overfit and (c) the test error against
// the share of corrupted labels. The claim: every setting is fitted, only a little slower.
#include <limits>

#include <shatter/experiments/cli/training_program.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/paper_runs.h>

namespace {

using namespace shatter::experiments;
using shatter::data::Corruption;
namespace corruption = shatter::data::corruption;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// The models of panels (b) and (c), with the test error at p = 0 that Table 1 fixes, in percent.
struct PaperCurve {
  const char* model;
  double error_at_zero, tolerance;
};
constexpr PaperCurve curves[] = {
    {"inception", 14.25, 1.5}, {"alexnet", 23.93, 2.5}, {"mlp-1x512", 49.49, 2.0}};
constexpr const char* models[] = {"inception", "alexnet", "mlp-3x512", "mlp-1x512"};
constexpr int levels[] = {0, 20, 40, 60, 80, 100};  // p in percent

std::string row_name(const std::string& model, const std::string& setting) {
  return model + "/" + setting;
}

/// p = 0 and p = 1 are the runs on true and on random labels.
std::string row_at(const std::string& model, int p) {
  if (p == 0) return row_name(model, "true-labels");
  if (p == 100) return row_name(model, "random-labels");
  return row_name(model, "p=0." + std::to_string(p / 10));
}

TrainingRow row(const std::string& name, const CellConfig& full) {
  return {.name = name, .title = recipe(full.model).title, .full = full, .quick = quick_run(full)};
}

std::vector<TrainingRow> rows() {
  std::vector<TrainingRow> all;
  for (const char* model : models) {
    for (const Corruption& setting :
         {corruption::none(), corruption::random_labels(), corruption::shuffled_pixels(),
          corruption::random_pixels(), corruption::gaussian()}) {
      all.push_back(row(row_name(model, setting.name), paper_run(model, setting)));
    }
  }
  for (const auto& [model, error, tolerance] : curves) {
    for (const int p : levels) {
      if (p == 0 || p == 100) continue;
      all.push_back(row(row_at(model, p), paper_run(model, corruption::partial_labels(p / 100.0))));
    }
  }
  return all;
}

double train_accuracy(const Result& cell) {
  return cell.number("train_percent");
}

double test_error(const Result& cell) {
  return 100 - cell.number("test_percent");
}

double time_to_overfit(const Result& cell) {
  return first_step(cell, "train_accuracy", 0.99, true);
}

/// (a) One line per setting, and the order in which the settings are learnt: claimed, and judged,
/// for Inception; a network without convolutions cannot tell shuffled pixels from true ones.
void add_learning_curves(std::vector<Reading>& readings, const std::string& model) {
  const std::string title = recipe(model).title;
  const double least = model == "mlp-1x512" ? 99.0 : model == "alexnet" ? 99.5 : 99.9;
  for (const char* setting :
       {"true-labels", "random-labels", "shuffled-pixels", "random-pixels", "gaussian"}) {
    const std::string name = row_name(model, setting);
    readings.push_back({.title = "(a) " + title + ", " + setting,
                        .needs = {name},
                        .quantities = {{.name = "train_accuracy",
                                        .title = "training accuracy, %",
                                        .accepted = Interval{least, 100},
                                        .quick = Interval{99, 100}},
                                       {.name = "steps_to_half",
                                        .title = "steps to a loss of 0.5",
                                        .format = "%.0f"}},
                        .numbers = [name](const SeedRuns& runs) -> std::map<std::string, double> {
                          const Result& cell = *runs.at(name);
                          return {{"train_accuracy", train_accuracy(cell)},
                                  {"steps_to_half", first_step(cell, "loss", 0.5, false)}};
                        }});
  }
  const std::optional<Interval> claimed =
      model == "inception" ? std::optional(Interval{0, infinity}) : std::nullopt;
  const auto later = [&](const char* text, std::vector<std::string> earlier_settings,
                         std::vector<std::string> later_settings) {
    std::vector<std::string> first, second, needs;
    for (const auto& s : earlier_settings) first.push_back(row_name(model, s));
    for (const auto& s : later_settings) second.push_back(row_name(model, s));
    needs = first;
    needs.insert(needs.end(), second.begin(), second.end());
    readings.push_back(
        {.title = "(a) " + title + ", " + text,
         .needs = needs,
         .quantities = {{.name = "delay",
                         .title = "steps later to a loss of 0.5",
                         .format = "%.0f",
                         .accepted = claimed}},
         .numbers = [first, second](const SeedRuns& runs) -> std::map<std::string, double> {
           double latest = 0, earliest = infinity;
           for (const auto& name : first) {
             latest = std::max(latest, first_step(*runs.at(name), "loss", 0.5, false));
           }
           for (const auto& name : second) {
             earliest = std::min(earliest, first_step(*runs.at(name), "loss", 0.5, false));
           }
           return {{"delay", earliest - latest}};
         }});
  };
  later("shuffled pixels after true labels", {"true-labels"}, {"shuffled-pixels"});
  later("random pixels and Gaussian after shuffled pixels", {"shuffled-pixels"},
        {"random-pixels", "gaussian"});
  later("random labels after all others", {"random-pixels", "gaussian"}, {"random-labels"});
}

/// (b) and (c) of one model.
void add_corruption_curves(std::vector<Reading>& readings, const PaperCurve& curve) {
  const std::string model = curve.model, title = recipe(model).title;
  const std::string zero = row_at(model, 0);
  int before = -1;
  for (const int p : levels) {
    const std::string name = row_at(model, p);
    const std::string share = ", p = " + std::to_string(p) + " %";
    const std::string previous = before >= 0 ? row_at(model, before) : "";
    Reading time{.title = "(b) " + title + share,
                 .needs = {name, zero},
                 .quantities = {{.name = "relative_time",
                                 .title = "steps to 99 % training accuracy, relative to p = 0"}},
                 .numbers = [name, zero](const SeedRuns& runs) -> std::map<std::string, double> {
                   return {{"relative_time", relative_time(time_to_overfit(*runs.at(name)),
                                                           time_to_overfit(*runs.at(zero)))}};
                 }};
    if (p == 100) time.quantities[0].accepted = Interval{1.5, 6};
    readings.push_back(time);
    Reading error{.title = "(c) " + title + share,
                  .needs = {name},
                  .quantities = {{.name = "test_error", .title = "test error, %"}},
                  .numbers = [name](const SeedRuns& runs) -> std::map<std::string, double> {
                    return {{"test_error", test_error(*runs.at(name))}};
                  }};
    Quantity& quantity = error.quantities[0];
    if (p == 0) {
      quantity.paper = curve.error_at_zero;
      quantity.accepted =
          Interval{curve.error_at_zero - curve.tolerance, curve.error_at_zero + curve.tolerance};
    }
    if (p == 100) {
      quantity.paper = 90;
      quantity.accepted = Interval{89, 91};
      quantity.quick = Interval{84, 96};
    }
    readings.push_back(error);
    if (before >= 0) {
      readings.push_back(
          {.title = "(b, c) " + title + share + " against " + std::to_string(before) + " %",
           .needs = {name, previous},
           .quantities = {{.name = "more_time",
                           .title = "more steps to 99 %",
                           .format = "%.0f",
                           .accepted = Interval{0, infinity}},
                          {.name = "more_error",
                           .title = "more test error, points",
                           .accepted = Interval{0, infinity}}},
           .numbers = [name, previous](const SeedRuns& runs) -> std::map<std::string, double> {
             const Result &now = *runs.at(name), &then = *runs.at(previous);
             return {{"more_time", time_to_overfit(now) - time_to_overfit(then)},
                     {"more_error", test_error(now) - test_error(then)}};
           }});
    }
    before = p;
  }
}

/// (c) The order of the architectures, kept up to p = 0.8.
void add_order(std::vector<Reading>& readings, const std::string& better,
               const std::string& worse) {
  for (const int p : levels) {
    if (p == 100) continue;
    const std::string low = row_at(better, p), high = row_at(worse, p);
    readings.push_back(
        {.title = "(c) " + recipe(worse).title + " against " + recipe(better).title +
                  ", p = " + std::to_string(p) + " %",
         .needs = {low, high},
         .quantities = {{.name = "more_error",
                         .title = "more test error, points",
                         .accepted = Interval{0, infinity}}},
         .numbers = [low, high](const SeedRuns& runs) -> std::map<std::string, double> {
           return {{"more_error", test_error(*runs.at(high)) - test_error(*runs.at(low))}};
         }});
  }
}

std::vector<Reading> readings() {
  std::vector<Reading> all;
  for (const char* model : models) add_learning_curves(all, model);
  for (const PaperCurve& curve : curves) add_corruption_curves(all, curve);
  add_order(all, "inception", "alexnet");
  add_order(all, "alexnet", "mlp-1x512");
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  return run_training(
      {.info = {.name = "figure1",
                .summary = "Figure 1 of \"Understanding deep learning requires "
                           "rethinking generalization\": learning curves, time to "
                           "overfit and test error against label corruption",
                .examples = {"figure1 --quick", "figure1 --rows 'mlp-1x512/*' --seeds 3",
                             "figure1 --rows 'inception/p=*' --train-size 5000 "
                             "--epochs 40"}},
       .title = "Figure 1: fitting corrupted CIFAR-10",
       .rows = rows(),
       .task = paper_task,
       .readings = readings()},
      argc, argv);
}
