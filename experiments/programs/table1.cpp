// Table 1 of Zhang et al. (ICLR 2017): training and test accuracy of five networks on CIFAR-10,
// with and without random crops and weight decay, on true and on random labels. The claim: networks
// that generalise fit random labels just as well, with or without regularisers.
#include <shatter/experiments/cli/training_program.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/paper_runs.h>

namespace {

using namespace shatter::experiments;

constexpr bool crop = true, wd = true, no = false;
enum Labels { true_labels, random_labels };

/// A row as the paper prints it: accuracies in percent.
struct PaperRow {
  const char* name;
  const char* model;
  bool random_crop, weight_decay;
  Labels labels;
  double train, test;
  double tolerance;    ///< accepted deviation of the mean test accuracy
  double train_least;  ///< accepted mean training accuracy
};

// clang-format off
constexpr PaperRow paper[] = {
    // name                     model              crop  wd  labels         train  test   +-   train>=
    {"inception/crop+wd",       "inception",       crop, wd, true_labels,   100.0, 89.05, 1.5, 99.9},
    {"inception/crop",          "inception",       crop, no, true_labels,   100.0, 89.31, 1.5, 99.9},
    {"inception/wd",            "inception",       no,   wd, true_labels,   100.0, 86.03, 1.5, 99.9},
    {"inception/none",          "inception",       no,   no, true_labels,   100.0, 85.75, 1.5, 99.9},
    {"inception/random",        "inception",       no,   no, random_labels, 100.0, 9.78,  1.0, 99.9},
    {"inception-no-bn/wd",      "inception-no-bn", no,   wd, true_labels,   100.0, 83.00, 2.5, 99.9},
    {"inception-no-bn/none",    "inception-no-bn", no,   no, true_labels,   100.0, 82.00, 2.5, 99.9},
    {"inception-no-bn/random",  "inception-no-bn", no,   no, random_labels, 100.0, 10.12, 1.0, 99.9},
    {"alexnet/crop+wd",         "alexnet",         crop, wd, true_labels,   99.90, 81.22, 2.5, 99.5},
    {"alexnet/crop",            "alexnet",         crop, no, true_labels,   99.82, 79.66, 2.5, 99.5},
    {"alexnet/wd",              "alexnet",         no,   wd, true_labels,   100.0, 77.36, 2.5, 99.5},
    {"alexnet/none",            "alexnet",         no,   no, true_labels,   100.0, 76.07, 2.5, 99.5},
    {"alexnet/random",          "alexnet",         no,   no, random_labels, 99.82, 9.86,  1.0, 99.5},
    {"mlp-3x512/wd",            "mlp-3x512",       no,   wd, true_labels,   100.0, 53.35, 2.0, 99.9},
    {"mlp-3x512/none",          "mlp-3x512",       no,   no, true_labels,   100.0, 52.39, 2.0, 99.9},
    {"mlp-3x512/random",        "mlp-3x512",       no,   no, random_labels, 100.0, 10.48, 1.0, 99.9},
    {"mlp-1x512/wd",            "mlp-1x512",       no,   wd, true_labels,   99.80, 50.39, 2.0, 99.5},
    {"mlp-1x512/none",          "mlp-1x512",       no,   no, true_labels,   100.0, 50.51, 2.0, 99.9},
    {"mlp-1x512/random",        "mlp-1x512",       no,   no, random_labels, 99.34, 10.61, 1.0, 99.0},
};
// clang-format on

CellConfig full_size(const PaperRow& row) {
  const bool random = row.labels == random_labels;
  using namespace shatter::data::corruption;
  CellConfig config =
      paper_run(row.model, random ? shatter::data::corruption::random_labels() : none());
  config.random_crop = row.random_crop;
  if (row.weight_decay) config.weight_decay = recipe(row.model).weight_decay;
  return config;
}

std::vector<TrainingRow> rows() {
  std::vector<TrainingRow> all;
  for (const PaperRow& row : paper) {
    const double target = row.labels == random_labels ? 10 : row.test;
    all.push_back(
        {.name = row.name,
         .title = recipe(row.model).title,
         .full = full_size(row),
         .quick = quick_run(full_size(row)),
         .quantities = accuracies(row.train, at_least(row.train_least), row.test,
                                  Interval{target - row.tolerance, target + row.tolerance})});
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  return run_training(
      {.info = {.name = "table1",
                .summary = "Table 1 of \"Understanding deep learning requires "
                           "rethinking generalization\": fitting true and random labels",
                .examples = {"table1 --quick", "table1 --rows 'mlp-*' --seeds 3 --check",
                             "table1 --rows inception/random --train-size 5000 "
                             "--epochs 60 --format csv"}},
       .title = "Table 1: accuracy on CIFAR-10 in percent",
       .rows = rows(),
       .task = paper_task},
      argc, argv);
}
