// The layer sets against the models they stand for, and shapes given by hand.
#include "benchmarks/layer_sets.h"

#include <shatter/experiments/models/models.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::benchmarks;

namespace {

/// What a model's summary tells of its convolutions: output shape, multiply-adds and weights.
struct Described {
  Shape output, weight;
  std::int64_t multiply_adds = 0;
};

std::vector<Described> convolutions(const std::string& name, std::int64_t batch) {
  Sequential model = experiments::make_model(name);
  std::vector<Shape> weights;
  for (const NamedTensor& named : named_parameters(model))
    if (named.tensor.rank() == 4) weights.push_back(named.tensor.shape());
  std::vector<Described> all;
  for (const SummaryRow& row : summarize(model, {batch, 28, 28, 3}).rows)
    if (row.info.type.starts_with("Conv2d")) {
      REQUIRE(all.size() < weights.size());
      all.push_back({row.info.output, weights[all.size()], row.info.multiply_adds});
    }
  REQUIRE(all.size() == weights.size());
  return all;
}

}  // namespace

TEST_CASE("The sets of the small models are the models' convolutions") {
  const std::pair<const char*, const char*> sets[] = {{"inception-small", "inception"},
                                                      {"inception-small", "inception-no-bn"},
                                                      {"alexnet-small", "alexnet"}};
  for (const auto& [set, model] : sets) {
    CAPTURE(set, model);
    const std::vector<ConvLayer> layers = layer_set(set, 2);
    const std::vector<Described> described = convolutions(model, 2);
    REQUIRE(layers.size() == described.size());
    for (std::size_t i = 0; i < layers.size(); ++i) {
      CAPTURE(layers[i].name);
      const Conv2dGeometry& g = layers[i].geometry;
      const Windows& win = g.windows;
      CHECK(Shape{win.n, win.out_h(), win.out_w(), g.k} == described[i].output);
      CHECK(Shape{g.k, win.r, win.s, g.c} == described[i].weight);
      CHECK(g.multiply_adds() == described[i].multiply_adds);
      CHECK(layers[i].first == (i == 0));
    }
  }
}

TEST_CASE("Inception V3 has its 94 convolutions and their multiply-adds") {
  int layers = 0;
  double multiply_adds = 0;
  for (const ConvLayer& layer : layer_set("inception-v3", 1)) {
    layers += layer.count;
    multiply_adds += layer.count * static_cast<double>(layer.geometry.multiply_adds());
  }
  CHECK(layers == 94);
  // torchvision states 5.71 billion, its two million of the last layer included.
  CHECK(multiply_adds == Approx(5.71e9).epsilon(0.01));
}

TEST_CASE("Every set can be made, and other names are refused with the list") {
  for (const std::string& name : layer_set_names())
    for (const ConvLayer& layer : layer_set(name, 3)) {
      CAPTURE(name, layer.name);
      CHECK(layer.geometry.windows.out_h() >= 1);
      CHECK(layer.geometry.windows.out_w() >= 1);
      CHECK(layer.geometry.multiply_adds() > 0);
    }
  CHECK_THROWS_WITH(layer_set("vgg", 1), Contains("inception-small, alexnet-small"));
}

TEST_CASE("A shape is nine numbers, the last one may be same") {
  const Conv2dGeometry g = parse_shape("2,28,26,3,96,3,5,2,same").geometry;
  CHECK(g.windows == Windows{.n = 2,
                             .h = 28,
                             .w = 26,
                             .r = 3,
                             .s = 5,
                             .stride_h = 2,
                             .stride_w = 2,
                             .padding = {0, 1, 1, 2}});
  CHECK((g.c == 3 && g.k == 96));
  CHECK(parse_shape("1,8,8,1,1,3,3,1,2").geometry.windows.padding == Padding{2, 2, 2, 2});
  for (const char* const wrong :
       {"", "1,2,3", "1,8,8,1,1,3,3,1,2,9", "1,8,8,1,1,3,3,1,x", "1,8,8,0,1,3,3,1,1",
        "1,8,8,1,1,3,3,-1,1", "1,8,8,1,1,3,3,1,1.5", "1,4,4,1,1,5,5,1,0", "same,8,8,1,1,3,3,1,1"}) {
    CAPTURE(wrong);
    CHECK_THROWS_WITH(parse_shape(wrong), Contains("expected n,h,w,c,k,r,s"));
  }
}
