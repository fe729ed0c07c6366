// Drawings of models: a box for every layer, nothing left out.
#include <shatter/experiments/paper/model_drawing.h>

#include <nlohmann/json.hpp>

#include <shatter/experiments/models/models.h>

#include "tests/experiments/process.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("Every layer has its box, every branching its frame and its join") {
  Sequential model = small_inception(true);
  const std::string svg = draw_model(summarize(model, {1, 28, 28, 3}), "A < B");
  // 10 modules: 8 of two convolutions, 2 of a convolution and a pool; the stem and the head
  const int layers = 8 * 4 + 2 * 3 + 2 + 2;
  CHECK(count(svg, "<rect ") == 1 + layers + 2 * 10);
  CHECK(count(svg, ">concat<") == 10);
  CHECK(count(svg, ">Conv2d") == 19);
  CHECK(count(svg, ">MaxPool2d") == 2);
  CHECK(contains(svg, "1,649,402 parameters"));
  CHECK(contains(svg, "A &lt; B"));
  CHECK(count(svg, "<text") == count(svg, "</text>"));
}

TEST_CASE("figure3 draws the model it is asked for and prints its layers") {
  const TemporaryFolder folder;
  const std::string program = std::string(SHATTER_PROGRAM_FOLDER) + "/figure3";
  const Finished run = run_program(
      program, {"--rows", "lenet", "--format", "json", "--out", folder.path().string()});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(nlohmann::json::parse(run.out)[0]["parameters"] == 431080);
  CHECK(get(folder / "reports/figure3/lenet.svg").starts_with("<svg "));
  const Finished usual = run_program(program, {"--out", folder.path().string()});
  CHECK(contains(usual.out, "- parameters: 1,649,402, as published"));
  CHECK(run_program(program, {"--rows", "vgg", "--out", folder.path().string()}).status == 2);
}
