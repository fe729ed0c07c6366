// Uniform stability (section 2.2 of Zhang et al., ICLR 2017; argued there, measured here): how much
// any example's loss changes when one training example is replaced and everything else, the random
// numbers included, stays. It is a property of the algorithm: it does not see whether the labels
// are true or random, and so cannot explain why only one of the two generalises.
#include <cmath>

#include <shatter/core/autograd.h>
#include <shatter/core/random.h>
#include <shatter/data/batches.h>
#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/paper_runs.h>
#include <shatter/experiments/paper/train_to_end.h>

namespace {

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

/// Cross-entropy and whether the prediction is right, example by example.
struct Losses {
  std::vector<double> loss;
  std::vector<std::uint8_t> right;
};

Losses losses_of(Module model, const data::Dataset& images, std::int64_t crop) {
  const NoGrad guard;
  set_training(model, false);
  Losses result;
  for (const auto& [x, y, index] : data::batches(
           images, {.size = 256, .shuffle = false, .input = {.crop = crop, .whiten = true}})) {
    const Tensor logits = model(x);
    const std::vector<float> each = cross_entropy_each(logits, y).values<float>();
    const std::vector<float> score = logits.values<float>();
    const std::vector<std::int32_t> label = y.values<std::int32_t>();
    const std::size_t classes = score.size() / label.size();
    for (std::size_t i = 0; i < label.size(); ++i) {
      const auto row = score.begin() + std::ptrdiff_t(i * classes);
      const auto best = std::max_element(row, row + std::ptrdiff_t(classes)) - row;
      result.loss.push_back(each[i]);
      result.right.push_back(best == label[i]);
    }
  }
  return result;
}

/// The first n - 1 images, or the same with the last one in the first one's place.
data::Dataset without_last(const data::Dataset& images, bool replaced) {
  std::vector<std::int64_t> places(static_cast<std::size_t>(images.size() - 1));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = std::int64_t(i);
  if (replaced) places[0] = images.size() - 1;
  return data::subset(images, places);
}

/// The trained model's losses on the test images and on the replaced one; empty when stopped.
std::optional<std::pair<Losses, Losses>> trained(const std::string& model,
                                                 const MeasurementContext& context,
                                                 const data::Dataset& images, bool replaced) {
  CellConfig config = training_cell(model, context);
  --config.dataset.train_size;
  MeasurementContext own = context;
  own.folder = context.folder / (replaced ? "replaced" : "as it was");
  std::filesystem::create_directories(own.folder);
  const ImageSize image{config.crop, config.crop, images.images.dim(3)};
  const TrainingTask task{.model = make_model(model, images.classes, image),
                          .decayed = {},
                          .data = {without_last(images, replaced), context.data.test}};
  if (!train_to_end(config, task, own)) return std::nullopt;
  return std::pair{losses_of(task.model, context.data.test, config.crop),
                   losses_of(task.model, data::first(images, 1), config.crop)};
}

std::optional<Measured> measure(const std::string& model, bool random_labels,
                                const MeasurementContext& context) {
  check(context.data.train.size() >= 3, "stability: ", context.data.train.size(),
        " training images, at least 3 are needed");
  data::Dataset images = context.data.train;
  if (random_labels) {
    images = data::randomize_labels(images, {.seed = derive_seed(context.seed, "corrupt")});
    images.true_labels = {};
  }
  const auto before = trained(model, context, images, false);
  if (!before) return std::nullopt;
  const auto after = trained(model, context, images, true);
  if (!after) return std::nullopt;
  double largest = 0, sum = 0, flipped = 0;
  const std::size_t n = before->first.loss.size();
  for (std::size_t i = 0; i < n; ++i) {
    const double change = std::abs(after->first.loss[i] - before->first.loss[i]);
    largest = std::max(largest, change);
    sum += change;
    flipped += before->first.right[i] != after->first.right[i];
  }
  const double own = after->second.loss[0] - before->second.loss[0];
  Measured measured;
  measured.numbers = {{"largest", std::max(largest, std::abs(own))},
                      {"mean", sum / double(n)},
                      {"flipped", 100 * flipped / double(n)},
                      {"own", own}};
  return measured;
}

MeasurementRow row_of(const std::string& model, bool random_labels) {
  const CellConfig full = paper_run(model), quick = quick_run(full);
  const std::string labels = random_labels ? "random labels" : "true labels";
  return {
      .name = model + (random_labels ? "/random-labels" : "/true-labels"),
      .title = recipe(model).title + ", " + labels,
      .dataset = "cifar10",
      .full = training_parameters(full),
      .quick = training_parameters(quick),
      .seeded = true,
      .precision = "fp32",
      .quantities = {{.name = "largest",
                      .title = "largest change of an example's loss",
                      .format = "%.3f",
                      .accepted = at_least(1),
                      .quick = at_least(0.1)},
                     {.name = "mean", .title = "mean change over test images", .format = "%.4f"},
                     {.name = "flipped", .title = "test predictions turned right or wrong, %"},
                     {.name = "own",
                      .title = "the replaced example's loss, once it is left out: more by",
                      .format = "%.3f"}},
      .need =
          [model](const json& p, Device) {
            const Summary summary = summarize(make_model(model), {1, 28, 28, 3});
            const double n = p["train_size"], steps = 6 * n * p["epochs"].get<double>();
            return Need{.bytes = n * 3072 * 3 + 16.0 * double(summary.parameters) +
                                 p["batch"].get<double>() * 8e6,
                        .seconds = steps * double(summary.multiply_adds) / 5e10};
          },
      .compute =
          [=](const MeasurementContext& context) {
            return measure(model, random_labels, context);
          }};
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<MeasurementRow> rows;
  for (const char* model : {"mlp-1x512", "mlp-3x512", "alexnet", "inception"}) {
    for (const bool random_labels : {false, true}) rows.push_back(row_of(model, random_labels));
  }
  return run_measurements(
      {.info = {.name = "stability",
                .summary = "uniform stability of the training of \"Understanding deep learning "
                           "requires rethinking generalization\": one example replaced",
                .examples = {"stability --quick", "stability --rows 'mlp-1x512/*' --seeds 3",
                             "stability --rows 'alexnet/*' --train-size 5000 --epochs 40"}},
       .title = "Uniform stability: one training example replaced",
       .rows = rows},
      argc, argv);
}
