// Training steps against PyTorch's: golden files of tests/golden/make_golden.py.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include <shatter/core/autograd.h>
#include <shatter/core/file.h>
#include <shatter/core/ops.h>
#include <shatter/experiments/models/models.h>
#include <shatter/optim/optimizer.h>

#include "tests/support/catch.h"
#include "tests/support/formula.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

/// Fills a model through import_state, in PyTorch's layout.
void set_formula_weights(const Sequential& model_const) {
  Sequential model = model_const;
  std::vector<NamedTensor> state = export_state(model);
  std::uint32_t place = 0;
  for (NamedTensor& named : state) {
    const bool buffer = named.name.find("running") != std::string::npos;
    if (buffer) continue;
    const Shape& shape = named.tensor.shape();
    const double scale =
        shape.rank() > 1 ? std::sqrt(6.0 / (double(shape.numel()) / double(shape[0]))) : 0.01;
    std::vector<double> values = test::formula_values(shape.numel(), ++place);
    for (double& value : values) value *= scale;
    named.tensor = Tensor::from(values, shape);
  }
  import_state(model, state, {.flatten = FlattenOrder::hwc});
}

struct Batch {
  Tensor x, y;
};

Batch batch(int step, std::int64_t size, DType dtype) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < size; ++i) labels.push_back((7 * i + 3 * step) % 10);
  return {Tensor::from(test::formula_values(size * 28 * 28 * 3, 1000 + std::uint32_t(step)),
                       {size, 28, 28, 3})
              .to(dtype),
          Tensor::from(labels, {size})};
}

nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(
      read_file(std::filesystem::path(SHATTER_TEST_DATA) / ("parity_" + name + ".json")));
}

Sequential formula_model(const std::string& name, DType dtype) {
  Sequential model = make_model(name);
  initialize(model, {.dtype = dtype});
  set_formula_weights(model);
  return model;
}

std::vector<double> train(Sequential& model, const nlohmann::json& expected, DType dtype,
                          int steps) {
  auto groups = optim::decay_weights(model, expected["weight_decay"]);
  optim::Sgd sgd(groups,
                 {.schedule = optim::constant(expected["rate"]), .momentum = expected["momentum"]});
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const auto [x, y] = batch(step, expected["batch"], dtype);
    const Tensor loss = cross_entropy(model(x), y);
    losses.push_back(loss.item());
    zero_grad(model);
    backward(loss);
    sgd.step();
  }
  return losses;
}

}  // namespace

TEST_CASE("twenty float64 training steps equal PyTorch's") {
  for (const ModelRecipe& one : recipes()) {
    DYNAMIC_SECTION(one.name) {
      const nlohmann::json expected = golden(one.name);
      Sequential model = formula_model(one.name, DType::float64);
      const auto wanted = expected["losses"].get<std::vector<double>>();
      const auto losses = train(model, expected, DType::float64, int(wanted.size()));
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        INFO("step " << i);
        CHECK(losses[i] == Approx(wanted[i]).epsilon(1e-9));
      }
      const auto state = export_state(model);
      CHECK(state.size() == expected["state"].size());
      for (const auto& [name, tensor] : state) {
        INFO(name);
        REQUIRE(expected["state"].contains(name));
        const nlohmann::json& truth = expected["state"][name];
        CHECK(Shape(truth["shape"].get<std::vector<std::int64_t>>()) == tensor.shape());
        const std::vector<double> values = tensor.values<double>();
        double squares = 0;
        for (const double value : values) squares += value * value;
        const double norm = truth["norm"];
        CHECK(std::sqrt(squares) == Approx(norm).epsilon(1e-9));
        for (std::size_t i = 0; i < truth["places"].size(); ++i) {
          const double entry = truth["entries"][i];
          CHECK(values[truth["places"][i].get<std::size_t>()] ==
                Approx(entry).epsilon(0).margin(1e-9 * norm));
        }
      }
      set_training(model, false);
      const auto logits = model(batch(0, expected["batch"], DType::float64).x).values<double>();
      const auto wanted_logits = expected["evaluation_logits"].get<std::vector<double>>();
      REQUIRE(logits.size() == wanted_logits.size());
      for (std::size_t i = 0; i < logits.size(); ++i) {
        CHECK(logits[i] == Approx(wanted_logits[i]).epsilon(1e-8).margin(1e-8));
      }
    }
  }
}

TEST_CASE("three float32 training steps stay within rounding of PyTorch's") {
  // Rounding of one layer grows like the root of its longest sum (3 * 3 * 336 or 3136 terms),
  // layers and steps add up: 22 layers, forward and backward, in each of 3 steps.
  const double tolerance = std::numeric_limits<float>::epsilon() * std::sqrt(3136.0) * 22 * 2 * 3;
  for (const ModelRecipe& one : recipes()) {
    DYNAMIC_SECTION(one.name) {
      const nlohmann::json expected = golden(one.name);
      Sequential model = formula_model(one.name, DType::float32);
      const auto losses = train(model, expected, DType::float32, 3);
      for (std::size_t i = 0; i < losses.size(); ++i) {
        INFO("step " << i);
        CHECK(losses[i] == Approx(expected["losses"][i].get<double>()).epsilon(tolerance));
        CHECK(losses[i] == Approx(expected["losses_float32"][i].get<double>()).epsilon(tolerance));
      }
    }
  }
}

TEST_CASE("a saved model lists PyTorch's names and shapes, and loads back with equal outputs") {
  const auto folder = std::filesystem::path(SHATTER_BUILD_DIR) / "exchange";
  std::filesystem::create_directories(folder);
  for (const ModelRecipe& one : recipes()) {
    DYNAMIC_SECTION(one.name) {
      Sequential model = formula_model(one.name, DType::float64);
      set_training(model, false);
      const NoGrad guard;
      const Tensor x = batch(0, 8, DType::float64).x;
      const std::vector<double> logits = model(x).values<double>();
      const auto path = folder / (one.name + ".safetensors");
      save_model(model, path);
      write_file_atomically(folder / (one.name + ".json"), nlohmann::json(logits).dump());

      Sequential loaded = make_model(one.name);
      initialize(loaded, {.seed = 99, .dtype = DType::float64});
      load_model(loaded, path);
      set_training(loaded, false);
      CHECK(loaded(x).values<double>() == logits);
    }
  }
}

// Run by `make check` after make_golden.py --load has written the files.
TEST_CASE("a model PyTorch wrote back gives equal outputs", "[.exchange]") {
  const auto folder = std::filesystem::path(SHATTER_BUILD_DIR) / "exchange";
  for (const ModelRecipe& one : recipes()) {
    DYNAMIC_SECTION(one.name) {
      Sequential model = make_model(one.name);
      initialize(model, {.seed = 5, .dtype = DType::float64});
      load_model(model, folder / (one.name + ".back.safetensors"), {.flatten = FlattenOrder::hwc});
      set_training(model, false);
      const NoGrad guard;
      CHECK(model(batch(0, 8, DType::float64).x).values<double>() ==
            nlohmann::json::parse(read_file(folder / (one.name + ".json")))
                .get<std::vector<double>>());
    }
  }
}
