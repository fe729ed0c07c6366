// The paper's randomization test for any model and data set here: training and test accuracy and
// the time to fit under true, partially corrupted and random labels and the three pixel settings.
// docs/randomization_test.md explains it; a model of your own goes into the call it is made of.
#include <shatter/data/known_datasets.h>
#include <shatter/experiments/cli/training_program.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/paper_runs.h>
#include <shatter/experiments/paper/randomization.h>

namespace {

using namespace shatter::experiments;
using shatter::data::KnownDataset;

constexpr const char* models[] = {"lenet",   "mlp-1x512", "mlp-3x512",
                                  "alexnet", "inception", "inception-no-bn"};

CellConfig training(const char* model, const KnownDataset& images) {
  CellConfig config = paper_run(model);
  config.dataset.name = images.name;
  config.dataset.train_size = images.train_size;
  config.dataset.test_size = images.test_size;
  return config;
}

TrainingProgram program() {
  TrainingProgram program{
      .info =
          {.name = "randomization_test",
           .summary = "the randomization test of \"Understanding deep learning requires "
                      "rethinking generalization\" for a model and a data set",
           .examples = {"randomization_test --rows 'mnist/lenet/*' --quick",
                        "randomization_test --rows 'mnist/lenet/true*,mnist/lenet/random-labels'",
                        "randomization_test --rows 'cifar10/mlp-1x512/*' --seeds 3"},
           .rows = "mnist/lenet/true-labels,mnist/lenet/p=*,mnist/lenet/random-labels,"
                   "mnist/lenet/shuffled-pixels,mnist/lenet/random-pixels,mnist/lenet/gaussian"},
      .title = "Randomization test",
      .rows = {},
      .task = paper_task,
      .readings = {}};
  namespace corruption = shatter::data::corruption;
  std::vector<shatter::data::Corruption> settings =
      randomization_settings({0.2, 0.4, 0.6, 0.8}, true);
  for (const shatter::data::Corruption& further :
       {corruption::permuted_labels(), corruption::wrong_labels(1), corruption::wrong_labels(0.4),
        corruption::pair_flips(0.4), corruption::shuffled_values(), corruption::random_values(),
        corruption::replaced_images(0.4)})
    settings.push_back(further);
  for (const KnownDataset& images : shatter::data::known_datasets()) {
    for (const char* model : models) {
      std::vector<TrainingRow> rows =
          randomization_rows(images.name + "/" + model, recipe(model).title + " on " + images.name,
                             training(model, images), settings);
      for (TrainingRow& row : rows) row.quick = quick_run(row.full);
      const std::vector<Reading> readings = randomization_readings(rows, 0.99);
      program.rows.insert(program.rows.end(), rows.begin(), rows.end());
      program.readings.insert(program.readings.end(), readings.begin(), readings.end());
    }
  }
  return program;
}

}  // namespace

int main(int argc, char** argv) {
  return run_training(program(), argc, argv);
}
