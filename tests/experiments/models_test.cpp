// The paper's models: parameter counts layer by layer, shapes, multiply-adds, decay groups.
#include <shatter/experiments/models/models.h>

#include <algorithm>

#include <shatter/core/autograd.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::experiments;

TEST_CASE("every model has the paper's number of parameters") {
  for (const ModelRecipe& one : recipes()) {
    DYNAMIC_SECTION(one.name) {
      CHECK(parameter_count(make_model(one.name)) == one.parameters);
    }
  }
  CHECK(recipe("inception").parameters == 1649402);
  CHECK(recipe("inception-no-bn").parameters == 1649402);
  CHECK(recipe("alexnet").parameters == 1387786);
  CHECK(recipe("mlp-3x512").parameters == 1735178);
  CHECK(recipe("mlp-1x512").parameters == 1209866);
}

TEST_CASE("LeNet has Caffe's number of parameters, layer by layer") {
  Sequential model = lenet();
  CHECK(parameter_count(model) == recipe("lenet").parameters);
  std::vector<std::int64_t> counts;
  for (const NamedTensor& named : named_parameters(model)) counts.push_back(named.tensor.numel());
  CHECK(counts == std::vector<std::int64_t>{500, 20, 25000, 50, 400000, 500, 5000, 10});
  initialize(model);
  CHECK(model(Tensor::zeros({2, 28, 28, 1})).shape() == Shape{2, 10});
  CHECK_THROWS_WITH(lenet(10, {8, 8, 1}), Contains("16"));
}

TEST_CASE("ResNet-18 for small images has the parameters of its PyTorch twin") {
  Sequential model = resnet18();
  CHECK(parameter_count(model) == 11173962);
  CHECK(summarize(model, {1, 32, 32, 3}).multiply_adds == 555422720);
}

TEST_CASE("the small Inception grows layer by layer as in figure 3") {
  const std::vector<std::int64_t> totals{2688,   33472,  63248,   120928,  208128,  315808, 443968,
                                         590032, 714544, 1102720, 1646032, 1646032, 1649402};
  const std::vector<Shape> shapes{
      {1, 28, 28, 96},  {1, 28, 28, 64},  {1, 28, 28, 80},  {1, 14, 14, 160}, {1, 14, 14, 160},
      {1, 14, 14, 160}, {1, 14, 14, 160}, {1, 14, 14, 144}, {1, 7, 7, 240},   {1, 7, 7, 336},
      {1, 7, 7, 336},   {1, 336},         {1, 10}};
  for (const bool batch_norm : {true, false}) {
    const Summary summary = summarize(small_inception(batch_norm), {1, 28, 28, 3});
    std::int64_t total = 0;
    std::size_t i = 0;
    for (const SummaryRow& row : summary.rows) {
      if (row.depth != 1) continue;
      total += row.parameters;
      REQUIRE(i < totals.size());
      INFO("layer " << row.name);
      CHECK(total == totals[i]);
      CHECK(row.info.output == shapes[i]);
      ++i;
    }
    CHECK(i == totals.size());
    CHECK(summary.multiply_adds == 204219680);  // added up by hand from figure 3
  }
}

TEST_CASE("the small Inception has 19 convolutions") {
  const Summary summary = summarize(small_inception(true), {1, 28, 28, 3});
  CHECK(std::count_if(summary.rows.begin(), summary.rows.end(), [](const SummaryRow& row) {
          return row.info.type.starts_with("Conv2d");
        }) == 19);
}

TEST_CASE("AlexNet and the MLPs count layer by layer") {
  const auto counts = [](const std::string& name) {
    std::vector<std::int64_t> found;
    for (const SummaryRow& row : summarize(make_model(name), {1, 28, 28, 3}).rows) {
      if (row.depth == 1 && row.parameters > 0) found.push_back(row.parameters);
    }
    return found;
  };
  CHECK(counts("alexnet") == std::vector<std::int64_t>{4864, 102464, 1204608, 73920, 1930});
  CHECK(counts("mlp-1x512") == std::vector<std::int64_t>{1204736, 5130});
  CHECK(counts("mlp-3x512") == std::vector<std::int64_t>{1204736, 262656, 262656, 5130});
  const Summary alexnet = summarize(make_model("alexnet"), {1, 28, 28, 3});
  CHECK(double(alexnet.multiply_adds) / 1e6 == Approx(25.1).margin(0.05));
}

TEST_CASE("weight decay reaches the tensors the paper's recipes name") {
  const auto names = [](const std::string& name) {
    std::vector<std::string> found;
    Sequential model = make_model(name);
    for (const NamedTensor& named : decayed_parameters(name, model)) found.push_back(named.name);
    return found;
  };
  CHECK(names("alexnet") == std::vector<std::string>{"9.weight", "11.weight"});
  CHECK(names("mlp-1x512") == std::vector<std::string>{"1.weight", "3.weight"});
  CHECK(names("inception").size() == 20);
  for (const std::string& name : names("inception")) CHECK_THAT(name, Contains("weight"));
}

TEST_CASE("models take other image sizes and class counts") {
  const Tensor x = Tensor::zeros({2, 32, 32, 1});
  for (const ModelRecipe& one : recipes()) {
    DYNAMIC_SECTION(one.name) {
      Sequential model = make_model(one.name, 7, {.h = 32, .w = 32, .c = 1});
      initialize(model);
      const NoGrad guard;
      CHECK(model(x).shape() == Shape{2, 7});
    }
  }
}

TEST_CASE("an unknown model is refused with the known ones") {
  CHECK_THROWS_WITH(make_model("resnet"), Contains("resnet") && Contains("mlp-1x512"));
}
