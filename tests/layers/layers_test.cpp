// Layers: shapes, modes, composition, initial values, state.
#include <shatter/layers/layers.h>

#include <cmath>
#include <numeric>

#include <shatter/core/autograd.h>
#include <shatter/core/gradcheck.h>
#include <shatter/core/random.h>
#include <shatter/core/safetensors.h>

#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;

namespace {

Tensor image(const Shape& shape, std::uint64_t seed = 1) {
  return random_normal({.seed = seed}, shape, 0, 1, DType::float64);
}

Sequential small_model() {
  return Sequential(Conv2d({.in = 3, .out = 4, .padding = same, .bias = false}),
                    BatchNorm2d({.channels = 4, .scale = false, .relu = true}),
                    Branches(Conv2d({.in = 4, .out = 3, .kernel = 1}),
                             Sequential(Conv2d({.in = 4, .out = 2, .padding = same}), relu)),
                    Branches(Conv2d({.in = 5, .out = 3, .stride = 2, .padding = same}),
                             MaxPool2d({.window = 3, .stride = 2, .padding = same})),
                    GlobalAvgPool2d(), Linear({.in = 8, .out = 2}));
}

/// A user's own model: plain members, called in the user's own way.
struct TwoInputs {
  Linear left{{.in = 2, .out = 3}}, right{{.in = 2, .out = 3}};
  Dropout drop{0.5};
  Tensor scale = Tensor::zeros({1});
  Tensor operator()(const Tensor& x) const { return drop(left(x) + right(x)) * scale; }
  void visit(Visitor& v) {
    v.child("left", left);
    v.child("right", right);
    v.child("drop", drop);
    v.parameter("scale", scale, init::ones());
  }
};

/// A user's layer without info(): what it does to its input is found out by running it.
struct Undescribed {
  BatchNorm2d norm{{.channels = 2}};
  Tensor operator()(const Tensor& x) const { return norm(x); }
  void visit(Visitor& v) { v.child("norm", norm); }
};

/// A user's residual block, whose convolutions a summary finds by running it.
struct Block {
  static constexpr const char* name = "Block";
  Conv2d first{{.in = 4, .out = 4, .padding = same}}, second{{.in = 4, .out = 4, .padding = same}};
  Tensor operator()(const Tensor& x) const { return relu(second(relu(first(x))) + x); }
  void visit(Visitor& v) {
    v.child("first", first);
    v.child("second", second);
  }
};

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> found;
  for (const NamedTensor& t : tensors) found.push_back(t.name);
  return found;
}

}  // namespace

TEST_CASE("parameters and buffers are named by their path") {
  Sequential model = small_model();
  CHECK(names(named_parameters(model)) ==
        std::vector<std::string>{"0.weight", "1.bias", "2.0.weight", "2.0.bias", "2.1.0.weight",
                                 "2.1.0.bias", "3.0.weight", "3.0.bias", "5.weight", "5.bias"});
  CHECK(names(named_state(model)).size() == 12);
  CHECK(parameter_count(model) == 108 + 4 + 15 + 74 + 138 + 18);
}

TEST_CASE("layer shapes told without computing are those computed") {
  Sequential model = small_model();
  initialize(model);
  for (const Shape& input : {Shape{2, 8, 8, 3}, Shape{1, 5, 7, 3}}) {
    Tensor x = Tensor::zeros(input);
    for (std::size_t i = 0; i < model.size(); ++i) {
      const Shape told = model[i].info(x.shape()).output;
      x = model[i](x);
      INFO("layer " << i);
      CHECK(told == x.shape());
    }
  }
}

TEST_CASE("a function without info is described by running it") {
  const Module module([](const Tensor& x) { return flatten(x); });
  CHECK(module.info({2, 3, 4}).output == Shape{2, 12});
  CHECK(Module(relu).info({5}).type == "function");
}

TEST_CASE("gradients of a composed model agree with central differences") {
  Sequential model = small_model();
  initialize(model, {.seed = 3, .dtype = DType::float64});
  const Tensor x = image({3, 6, 6, 3}).set_requires_grad();
  std::vector<Tensor> inputs = parameters(model);
  inputs.push_back(x);
  const GradcheckReport report =
      gradcheck([&](const auto& in) { return model(in.back()); }, inputs, {.max_entries = 15});
  INFO(report.where);
  CHECK(report);
}

TEST_CASE("branches write their slices of the joined image") {
  Sequential model = small_model();
  initialize(model);
  const NoGrad guard;
  const Tensor x = Tensor::full({1, 4, 4, 4}, 0.5);
  const Tensor joined = model[2](x);
  CHECK(joined.shape() == Shape{1, 4, 4, 5});
  CHECK(joined.is_packed());
  Conv2d alone({.in = 4, .out = 3, .kernel = 1});
  initialize(alone);
  const auto parameters = named_parameters(model);
  alone.weight.copy_from(parameters[2].tensor);
  CHECK(joined.slice_channels(0, 3).values<float>() == alone(x).values<float>());
}

TEST_CASE("A model without values refuses to compute, to be saved and to be trained") {
  Sequential model(Flatten(), Linear({.in = 4, .out = 3}));
  const Tensor x = Tensor::full({2, 1, 1, 4}, 1);
  CHECK_THROWS_WITH(model(x), Contains("layer 1: ") && Contains("initialize(model)"));
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(save_model(model, (folder / "model.safetensors").string()),
                    Contains("no elements yet"));
  CHECK_FALSE(std::filesystem::exists(folder / "model.safetensors"));
  CHECK_THROWS_WITH(parameters(model)[0].item(), Contains("expected one"));
  CHECK_THROWS_WITH(parameters(model)[1].slice_channels(0, 2).fill(1), Contains("no elements"));

  // What needs no values works without; a copy is a model of its own.
  CHECK(parameter_count(model) == 15);
  CHECK(summarize(model, {1, 1, 1, 4}).multiply_adds == 12);
  Sequential twin = clone(model);
  initialize(model, {.seed = 3});
  CHECK(model(x).shape() == Shape{2, 3});
  CHECK_THROWS_WITH(twin(x), Contains("initialize(model)"));

  // A state gives every value, and leaves the parameters such that an optimizer takes them.
  import_state(twin, export_state(model), {.flatten = FlattenOrder::hwc});
  CHECK(twin(x).values<float>() == model(x).values<float>());
  CHECK(trainable_parameters(twin).size() == 2);
  Conv2d first({.in = 2, .out = 3}), second({.in = 2, .out = 3});
  initialize(first);
  import_state(second, export_state(first));
  CHECK(second.weight.values<float>() == first.weight.values<float>());
  Sequential half(Flatten(), Linear(4, 3));
  std::vector<NamedTensor> state = export_state(model);
  state.pop_back();
  import_state(half, state, {.strict = false, .flatten = FlattenOrder::hwc});
  CHECK_THROWS_WITH(half(x), Contains("no elements yet"));
}

TEST_CASE("A layer of one's own is described before it has values, and stays without") {
  struct Scaled {
    Tensor weight = parameter({3, 4});
    Tensor operator()(const Tensor& x) const { return matmul(x, weight, false, true); }
    void visit(Visitor& visitor) { visitor.parameter("weight", weight, init::he(4)); }
  };
  Sequential model{Scaled()};
  CHECK(summarize(model, {2, 4}).multiply_adds == 12);
  CHECK_FALSE(parameters(model)[0].is_set());
  CHECK(parameters(model)[0].requires_grad());
}

TEST_CASE("initialize depends on seed and name only, and keeps every handle") {
  Sequential a = small_model(), b = small_model();
  const Tensor handle = parameters(a)[0];
  initialize(a, {.seed = 5});
  initialize(b, {.seed = 5});
  CHECK(handle.values<float>() == parameters(b)[0].values<float>());
  initialize(b, {.seed = 6});
  CHECK(handle.values<float>() != parameters(b)[0].values<float>());
  CHECK(parameters(a)[0].requires_grad());
  CHECK(parameters(a)[2].values<float>() != parameters(a)[4].values<float>());
  initialize(a, {.seed = 5, .dtype = DType::float64});
  CHECK(handle.dtype() == DType::float64);
}

TEST_CASE("initial values have the promised distribution") {
  const auto moments = [](const Initializer& initializer) {
    const Tensor x = Tensor::zeros({200000}, DType::float64);
    initializer.fill(x, 11);
    const std::vector<double> v = x.values<double>();
    double sum = 0, squares = 0, largest = 0;
    for (const double value : v) {
      sum += value;
      squares += value * value;
      largest = std::max(largest, std::abs(value));
    }
    return std::array{sum / double(v.size()), std::sqrt(squares / double(v.size())), largest};
  };
  // five standard errors: deviation / sqrt(n) for the mean, less than that for the deviation
  const double error = 5 / std::sqrt(200000.0);
  const auto normal = moments(init::normal(0.3));
  CHECK(normal[0] == Approx(0).margin(0.3 * error));
  CHECK(normal[1] == Approx(0.3).margin(0.3 * error));
  const auto truncated = moments(init::truncated_normal(0.3));
  // a normal cut at two deviations has 0.8796 of its deviation
  CHECK(truncated[1] == Approx(0.3 * 0.87962566).margin(0.3 * error));
  CHECK(truncated[2] <= 0.6);
  const auto uniform = moments(init::uniform(0.3));
  CHECK(uniform[1] == Approx(0.3 / std::sqrt(3.0)).margin(0.3 * error));
  CHECK(uniform[2] <= 0.3);
  CHECK(init::he(50).scale == Approx(0.2));
  CHECK(init::glorot(1, 5).scale == Approx(1));
  CHECK_THROWS_AS(init::he(0), Error);
}

TEST_CASE("a user's class is a model") {
  TwoInputs model;
  initialize(model, {.seed = 1});
  CHECK(model.scale.item() == 1);
  CHECK(parameter_count(model) == 19);
  CHECK(names(named_parameters(model))[0] == "left.weight");
  set_training(model, false);
  CHECK_FALSE(model.drop.mode.training);
  set_step(model, 7);
  CHECK(model.drop.mode.step.item() == 7);
  CHECK_THAT(summarize(model, {1, 2}).str(), Contains("parameters 19"));
  const Module erased = model;
  CHECK(erased(Tensor::zeros({1, 2})).shape() == Shape{1, 3});
}

TEST_CASE("a branch that cannot describe itself is run once, on the input alone") {
  int calls = 0;
  const auto counted = [&calls](const Tensor& x) {
    ++calls;
    return x * 2.0;
  };
  Sequential model(Branches(Undescribed{}, counted, MaxPool2d({.window = 1, .stride = 1})));
  Undescribed alone;
  initialize(model, {.dtype = DType::float64});
  initialize(alone, {.dtype = DType::float64});
  const Tensor x = image({2, 3, 3, 2}) + 10.0;
  const Tensor y = model(x);
  CHECK(calls == 1);
  CHECK(y.values<double>() == concat({alone(x), x * 2.0, x}).values<double>());
  const auto running = [](ModelRef ref) {
    std::vector<std::vector<double>> values;
    for (const NamedTensor& named : named_state(ref))
      values.push_back(named.tensor.values<double>());
    return values;
  };
  CHECK(running(model) == running(alone));
  CHECK(summarize(alone, {2, 3, 3, 2}).rows[0].info.output == Shape{2, 3, 3, 2});
  CHECK(running(model) == running(alone));
  CHECK(alone.norm.mode.training);
}

TEST_CASE("dropout layers differ from each other, from step to step, and rest in evaluation") {
  Sequential model(Dropout(0.5), Dropout(0.5));
  initialize(model, {.seed = 4});
  const Tensor x = Tensor::full({1000}, 1);
  CHECK_THROWS_WITH(model(x), Contains("call set_step()"));
  set_step(model, 0);
  const auto first = model[0](x).values<float>();
  CHECK(first != model[1](x).values<float>());
  CHECK(first == model[0](x).values<float>());
  set_step(model, 1);
  CHECK(first != model[0](x).values<float>());
  set_training(model, false);
  CHECK(model(x).values<float>() == x.values<float>());
  CHECK_THROWS_AS(Dropout(1.5), Error);
}

TEST_CASE("batch norm normalises by the batch in training and by the running values after") {
  Sequential model(BatchNorm2d({.channels = 2, .decay = 0}));
  initialize(model, {.dtype = DType::float64});
  const Tensor x = image({64, 3, 3, 2});
  const Tensor y = model(x);
  CHECK(mean(y).item() == Approx(0).margin(1e-12));
  CHECK(mean(square(y)).item() == Approx(1).epsilon(0.01));
  set_training(model, false);
  const Tensor z = model(x);
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(z.values<double>()[i] == Approx(y.values<double>()[i]).epsilon(1e-10));
  }
}

TEST_CASE("state leaves in PyTorch's layout and comes back") {
  Sequential model = small_model(), other = small_model();
  initialize(model, {.seed = 1});
  initialize(other, {.seed = 2});
  const auto state = export_state(model);
  CHECK(state[0].tensor.shape() == Shape{4, 3, 3, 3});
  const auto ours = parameters(model)[0].values<float>(), theirs = state[0].tensor.values<float>();
  for (int k = 0; k < 4; ++k) {
    for (int c = 0; c < 3; ++c) {
      CHECK(theirs[std::size_t((k * 3 + c) * 9 + 5)] == ours[std::size_t((k * 9 + 5) * 3 + c)]);
    }
  }
  import_state(other, state);
  for (std::size_t i = 0; i < state.size(); ++i) {
    CHECK(named_state(other)[i].tensor.values<float>() ==
          named_state(model)[i].tensor.values<float>());
  }
}

TEST_CASE("a state that does not fit is refused whole, with every fault named") {
  Sequential model = small_model();
  initialize(model, {.seed = 1});
  const auto before = parameters(model)[0].values<float>();
  auto state = export_state(model);
  for (NamedTensor& named : state) named.tensor = Tensor::full(named.tensor.shape(), 9);
  state[1].name = "stranger";
  state[2].tensor = Tensor::zeros({7});
  CHECK_THROWS_WITH(import_state(model, state), Contains("missing 1.bias") &&
                                                    Contains("unexpected stranger") &&
                                                    Contains("[7]"));
  CHECK(parameters(model)[0].values<float>() == before);
}

TEST_CASE("models are saved and loaded by file") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  Sequential model = small_model(), other = small_model();
  initialize(model, {.seed = 1});
  initialize(other, {.seed = 2});
  save_model(model, path);
  load_model(other, path);
  for (std::size_t i = 0; i < named_state(model).size(); ++i) {
    CHECK(named_state(model)[i].tensor.values<float>() ==
          named_state(other)[i].tensor.values<float>());
  }
}

TEST_CASE("PyTorch's count of batches is passed over") {
  Sequential model(BatchNorm2d({.channels = 2}));
  initialize(model);
  auto state = export_state(model);
  state.push_back({"0.num_batches_tracked", Tensor::full({}, 7, DType::int64)});
  CHECK(import_state(model, state).complete());
}

TEST_CASE("a state may fit in part, and what was left out is told") {
  Sequential model = small_model();
  initialize(model, {.seed = 1});
  const auto before = parameters(model)[1].values<float>();
  auto state = export_state(model);
  for (NamedTensor& named : state) named.tensor = Tensor::full(named.tensor.shape(), 9);
  const std::string second = state[1].name, third = state[2].name;
  state[1].name = "stranger";
  state[2].tensor = Tensor::zeros({7});
  const ImportReport report = import_state(model, state, {.strict = false});
  CHECK_FALSE(report.complete());
  REQUIRE(report.missing.size() == 1);
  CHECK_THAT(report.missing[0], Contains(second));
  REQUIRE(report.unexpected.size() == 1);
  CHECK_THAT(report.unexpected[0], Contains("stranger"));
  REQUIRE(report.mismatched.size() == 1);
  CHECK_THAT(report.mismatched[0], Contains(third) && Contains("[7]"));
  CHECK(parameters(model)[0].values<float>() == std::vector<float>(108, 9));
  CHECK(parameters(model)[1].values<float>() == before);
}

TEST_CASE("Flatten orders an image's elements as asked") {
  const Tensor x = image({2, 3, 4, 5});
  const auto in = x.values<double>(), out = Flatten(FlattenOrder::chw)(x).values<double>();
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t pixel = 0; pixel < 12; ++pixel) {
      for (std::size_t c = 0; c < 5; ++c) {
        CHECK(out[n * 60 + c * 12 + pixel] == in[(n * 12 + pixel) * 5 + c]);
      }
    }
  }
  CHECK(Flatten()(x).values<double>() == in);
  CHECK(Flatten({.order = FlattenOrder::chw})(image({2, 3})).shape() == Shape{2, 3});
  const auto f = [](const auto& inputs) { return Flatten(FlattenOrder::chw)(inputs[0]); };
  CHECK(gradcheck(f, {image({2, 2, 3, 2}).set_requires_grad()}));
}

TEST_CASE("weights of another order of Flatten are never used in silence") {
  const TemporaryFolder folder;
  const std::string said = folder / "said.safetensors", silent = folder / "silent.safetensors";
  const auto make = [](FlattenOrder order) {
    Sequential model(Flatten(order), Linear({.in = 12, .out = 2}));
    initialize(model, {.seed = 3});
    return model;
  };
  const Tensor x = random_normal({.seed = 1}, {3, 2, 2, 3});
  Sequential hwc = make(FlattenOrder::hwc), chw = make(FlattenOrder::chw);
  NamedTensors bare;  // as PyTorch writes it
  for (const auto& [name, tensor] : export_state(chw)) bare.tensors[name] = tensor;
  save_safetensors(silent, bare);

  load_model(chw, silent);
  CHECK(chw(x).values<float>() == make(FlattenOrder::chw)(x).values<float>());
  load_model(hwc, silent);
  CHECK_THROWS_WITH(hwc(x), Contains("FlattenOrder::chw") && Contains("[3, 2, 2, 3]") &&
                                Contains("{.flatten = FlattenOrder::hwc}"));
  // One pixel, one channel and vectors have one order.
  for (const Shape& shape : {Shape{1, 1, 1, 12}, Shape{1, 4, 3, 1}, Shape{1, 12}}) {
    CHECK(hwc(Tensor::zeros(shape)).shape() == Shape{1, 2});
  }
  // Saving does not settle what loading left open; saying it does, and so do new values.
  save_model(hwc, said);
  CHECK(load_safetensors(said).metadata.empty());
  load_model(hwc, silent, {.flatten = FlattenOrder::hwc});
  CHECK(hwc(x).shape() == Shape{3, 2});
  save_model(hwc, said);
  CHECK(load_safetensors(said).metadata.at("flatten") == "hwc");
  load_model(hwc, said);
  CHECK(hwc(x).shape() == Shape{3, 2});
  load_model(chw, said);
  CHECK_THROWS_WITH(chw(x), Contains("state of the order hwc"));
  initialize(chw);
  CHECK(chw(x).shape() == Shape{3, 2});

  Sequential both(Flatten(FlattenOrder::chw), Flatten());
  CHECK_THROWS_WITH(save_model(both, said), Contains("a file says one"));
}

TEST_CASE("the summary counts shapes, parameters and multiply-adds") {
  Sequential model(Conv2d({.in = 3, .out = 8, .padding = same}), relu, Flatten(),
                   Linear({.in = 128, .out = 10}));
  const Summary summary = summarize(model, {2, 4, 4, 3});
  CHECK(summary.parameters == 224 + 1290);
  CHECK(summary.multiply_adds == 16 * 27 * 8 + 1280);
  const std::string table = summary.str(757);
  CHECK_THAT(table, Contains("Conv2d 8, 3x3/1") && Contains("[2, 4, 4, 8]") &&
                        Contains("parameters 1,514") && Contains("2.0 (p/n, n = 757)"));
}

TEST_CASE("the summary counts the multiply-adds of a user's layers and names them") {
  const auto product = [](const Tensor& x) { return matmul(flatten(x), Tensor::zeros({256, 3})); };
  Sequential model(Block{}, Sequential(Block{}, relu), product);
  const Summary summary = summarize(model, {2, 8, 8, 4});
  const std::int64_t block = 2 * 64 * 9 * 4 * 4;
  CHECK(summary.multiply_adds == 2 * block + 256 * 3);
  CHECK(summary.rows[1].info.type == "Block");
  CHECK(summary.rows[1].info.multiply_adds == 2 * block);
  CHECK(Module([](const Tensor& x) { return matmul(x, x, false, true); })
            .info({5, 2, 3})
            .multiply_adds == 5 * 2 * 2 * 3);
}

TEST_CASE("an error says at which layer of the model") {
  Sequential inner(relu, Linear({.in = 3, .out = 2}));
  Sequential model(Flatten(), inner);
  CHECK_THROWS_WITH(model(Tensor::zeros({1, 5})),
                    Contains("layer 1.1: linear: ") && Contains("[1, 5]"));
  CHECK_THROWS_WITH(summarize(model, {1, 5}), Contains("layer 1.1: Linear: input is [1, 5]"));
  CHECK_THROWS_WITH(model[2], Contains("layer 2 of 2"));
  CHECK_THROWS_AS(model[2], Error);
  Sequential named;
  named.add("stem", Branches(relu, Conv2d({.in = 3, .out = 2})));
  CHECK_THROWS_WITH(named(Tensor::zeros({1, 3, 8, 8})),
                    Contains("layer stem.1: ") && Contains("[n, c, h, w]?"));
  const Conv2d alone({.in = 3, .out = 2});
  CHECK_THROWS_WITH(alone(Tensor::zeros({1, 3, 8, 8})), Contains("[n, c, h, w]?"));
  CHECK_THROWS_WITH(alone(Tensor::zeros({1, 4, 8, 8})), !Contains("[n, c, h, w]?"));
}

TEST_CASE("frozen parameters are kept from training") {
  Sequential model(Linear({.in = 2, .out = 2}), Linear({.in = 2, .out = 2}));
  initialize(model);
  freeze(model[0]);
  CHECK(names(trainable_parameters(model)) == std::vector<std::string>{"1.weight", "1.bias"});
  backward(sum(model(Tensor::full({1, 2}, 1))));
  CHECK_FALSE(parameters(model)[0].requires_grad());
  CHECK(parameters(model)[2].grad().defined());
  unfreeze(model);
  CHECK(trainable_parameters(model).size() == 4);
}

TEST_CASE("layer options are checked") {
  CHECK_THROWS_WITH(Conv2d({.in = 0, .out = 1}), Contains("must be positive"));
  CHECK_THROWS_WITH(Linear({.in = 1, .out = -1}), Contains("must be positive"));
  CHECK_THROWS_AS(BatchNorm2d({}), Error);
  CHECK_THROWS_WITH(Linear({.in = 3, .out = 1}).info({1, 2}), Contains("[1, 2]"));
  CHECK_THROWS_WITH(Conv2d({.in = 5, .out = 1}).info({1, 9, 9, 8}), Contains("[n, h, w, 5]"));
}

TEST_CASE("two tensors of one name are refused") {
  Sequential model;
  model.add("a", Linear({.in = 1, .out = 1})).add("a", Linear({.in = 1, .out = 1}));
  CHECK_THROWS_WITH(named_parameters(model), Contains("a.weight"));
}

TEST_CASE("zero_grad forgets gradients") {
  Sequential model(Linear({.in = 2, .out = 1}));
  initialize(model);
  backward(sum(model(Tensor::full({1, 2}, 1))));
  CHECK(parameters(model)[0].grad().defined());
  zero_grad(model);
  CHECK_FALSE(parameters(model)[0].grad().defined());
}
