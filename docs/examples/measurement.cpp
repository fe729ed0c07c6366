// A measurement program of one's own. The rows say what is computed and from which parameters; the
// frame gives --seeds, --quick, --set, --keep, --report, resuming, tables and exit codes.
//   measurement --quick
//   measurement --rows 'noise/*' --set width=256 --seeds 5
#include <shatter/experiments/cli/measurement_program.h>
#include <shatter/shatter.h>
using namespace shatter;
using experiments::Measured;
using experiments::MeasurementContext;

namespace {

// How far a network that has seen labels with noise p agrees with the true labels.
std::optional<Measured> agreement(const MeasurementContext& context) {
  const auto& parameters = context.parameters;
  const data::Dataset clean = data::synthetic(data::Split::train, {.size = parameters["images"]});
  const data::Dataset train =
      data::randomize_labels(clean, {.probability = parameters["p"], .seed = context.seed});
  const std::int64_t width = parameters["width"];
  Sequential model(Flatten(), Linear(32 * 32 * 3, width), relu, Linear(width, 10));
  initialize(model, {.seed = context.seed});
  optim::Sgd sgd(named_parameters(model), {.schedule = optim::constant(0.02), .momentum = 0.9});
  const int epochs = parameters["epochs"];
  for (int epoch = 0; epoch < epochs; ++epoch) {
    if (context.stopped()) return {};  // nothing to save: it begins anew
    context.show(double(epoch) / epochs, "training");
    for (const auto& [x, y, index] : data::batches(
             train,
             {.size = 50, .epoch = epoch, .seed = context.seed, .input = {.whiten = true}})) {
      zero_grad(model);
      backward(cross_entropy(model(x), y));
      sgd.step();
    }
  }
  const NoGrad guard;
  const auto [x, y, index] =
      data::batches(train, {.size = train.size(), .shuffle = false, .input = {.whiten = true}})
          .at(0);
  const Tensor logits = model(x), predicted = argmax(logits).to(DType::int32);
  const auto percent = [&](const Tensor& labels) {
    return 100 * mean(equal(predicted, labels)).item();
  };
  Measured measured;
  measured.numbers = {{"given", percent(train.labels)}, {"true", percent(clean.labels)}};
  return measured;
}

}  // namespace

int main(int argc, char** argv) {
  experiments::MeasurementProgram program{
      .info = {.name = "measurement",
               .summary = "What is left of true labels under noise.",
               .examples = {"measurement --quick", "measurement --rows noise/0.4 --seeds 5"}},
      .title = "Agreement with given and with true labels"};
  for (const double p : {0.0, 0.4, 0.8}) {
    const std::string name = "noise/" + std::to_string(p).substr(0, 3);
    program.rows.push_back(
        {.name = name,
         .title = "p = {p}",
         .full = {{"p", p}, {"images", 2000}, {"width", 512}, {"epochs", 60}},
         .quick = {{"p", p}, {"images", 300}, {"width", 64}, {"epochs", 15}},
         .seeded = true,
         .precision = "fp32",
         .quantities = {{.name = "given", .title = "agrees with given labels, %", .format = "%.1f"},
                        {.name = "true", .title = "agrees with true labels, %", .format = "%.1f"}},
         .compute = agreement});
  }
  return run_measurements(program, argc, argv);
}
