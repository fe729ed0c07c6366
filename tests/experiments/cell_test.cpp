// Configurations of cells: what their hash and their names hold.
#include <shatter/experiments/train/cell.h>

#include <nlohmann/json.hpp>
#include <set>

#include <shatter/experiments/runs/result.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

CellConfig example() {
  CellConfig config;
  config.model = "mlp-1x512";
  config.dataset.checksums = {{"data_batch_1.bin", "0123"}, {"test_batch.bin", "4567"}};
  config.corruption = data::corruption::random_labels();
  return config;
}

std::string hash(const CellConfig& config) {
  return hash8(to_json(config));
}

}  // namespace

TEST_CASE("A hash does not depend on the order of keys or on spacing") {
  const auto a = nlohmann::json::parse(R"({"a": 1, "b": {"c": 0.1, "d": [1, 2]}})");
  const auto b = nlohmann::json::parse(R"({ "b":{"d":[1,2],"c":1e-1},"a":1 })");
  CHECK(hash8(a) == hash8(b));
  CHECK(hash8(a).size() == 8);
  CHECK(hash8(a) != hash8(nlohmann::json::parse(R"({"a": 1, "b": {"c": 0.1, "d": [2, 1]}})")));
}

TEST_CASE("A cell's name is fixed: results found by it must stay found") {
  CHECK(folder_name(example()) == "mlp-1x512-random-labels-seed1-" + hash(example()));
  CHECK(hash8(nlohmann::json::parse(R"({"a":1})")) == "f3f46a6c");
  int kept = 0;
  for (const Result& result : kept_results(SHATTER_KEPT_RESULTS)) {
    if (!trains(result.config)) continue;
    const std::string file = folder_name(cell_config(result.config, "kept")) + ".json";
    INFO(file);
    CHECK(std::filesystem::exists(std::filesystem::path(SHATTER_KEPT_RESULTS) / "runs" / file));
    ++kept;
  }
  CHECK(kept > 20);
}

TEST_CASE("A run's name says its optimizer where it is not SGD") {
  CellConfig config = example();
  config.optimizer = "adamw";
  config.weight_decay = 0.01;
  CHECK(folder_name(config) == "mlp-1x512-random-labels-wd-adamw-seed1-" + hash(config));
}

TEST_CASE("Everything that changes numbers changes the hash") {
  std::set<std::string> hashes{hash(example())};
  const auto changed = [&](auto change) {
    CellConfig config = example();
    change(config);
    CHECK(hashes.insert(hash(config)).second);
    CHECK(cell_config(to_json(config), "test") == config);
  };
  changed([](CellConfig& c) { c.model = "mlp-3x512"; });
  changed([](CellConfig& c) { c.dataset.name = "synthetic"; });
  changed([](CellConfig& c) { c.dataset.checksums["test_batch.bin"] = "9999"; });
  changed([](CellConfig& c) { c.dataset.train_size = 10; });
  changed([](CellConfig& c) { c.dataset.test_size = 10; });
  changed([](CellConfig& c) { c.corruption = data::corruption::none(); });
  changed([](CellConfig& c) { c.corruption = data::corruption::partial_labels(0.5); });
  changed([](CellConfig& c) { c.corruption = data::corruption::partial_labels(1); });
  changed([](CellConfig& c) { c.corruption_seed = 2; });
  changed([](CellConfig& c) { c.crop = 32; });
  changed([](CellConfig& c) { c.random_crop = true; });
  changed([](CellConfig& c) { c.flip = true; });
  changed([](CellConfig& c) { c.rotation = 25; });
  changed([](CellConfig& c) { c.whiten = false; });
  changed([](CellConfig& c) { c.dataset.held_out = 10; });
  changed([](CellConfig& c) { c.learning_rate = 0.02; });
  changed([](CellConfig& c) { c.learning_rate_decay = 0.9; });
  changed([](CellConfig& c) { c.momentum = 0.8; });
  changed([](CellConfig& c) { c.optimizer = "rmsprop"; });
  changed([](CellConfig& c) { c.optimizer = "adam"; });
  changed([](CellConfig& c) { c.optimizer = "adamw"; });
  changed([](CellConfig& c) { c.schedule = "step"; });
  changed([](CellConfig& c) { c.schedule = "cosine"; });
  changed([](CellConfig& c) { c.warm_up = 2; });
  changed([](CellConfig& c) { c.weight_decay = 1e-4; });
  changed([](CellConfig& c) { c.epochs = 5; });
  changed([](CellConfig& c) { c.batch = 5; });
  changed([](CellConfig& c) { c.seed = 5; });
  changed([](CellConfig& c) { c.precision = "tf32"; });
  changed([](CellConfig& c) { c.device = "cuda"; });
  changed([](CellConfig& c) { c.autotune = true; });
  changed([](CellConfig& c) { c.stop.loss = 0.5; });
  changed([](CellConfig& c) { c.stop.epochs = 0; });
  changed([](CellConfig& c) { c.evaluate_every = 3; });
  changed([](CellConfig& c) { c.probes = {"norm"}; });
}

TEST_CASE("The corruption's seed is no part of a run without corruption") {
  CellConfig a = example(), b = example();
  a.corruption = b.corruption = data::corruption::none();
  b.corruption_seed = 9;
  CHECK(hash(a) == hash(b));
}

TEST_CASE("Configurations read back whole, and faults are named") {
  CHECK(cell_config(to_json(example()), "test") == example());
  auto broken = to_json(example());
  broken["optimizer"].erase("batch");
  CHECK_THROWS_WITH(cell_config(broken, "x/config.json"),
                    Contains("x/config.json") && Contains("batch"));
}

TEST_CASE("Differences name the keys") {
  auto edited = to_json(example());
  edited["optimizer"]["batch"] = 64;
  edited.erase("epochs");
  edited["extra"] = true;
  CHECK(differences(to_json(example()), edited) ==
        std::vector<std::string>{"epochs: 100, here missing", "extra: no such key, here true",
                                 "optimizer.batch: 128, here 64"});
  CHECK(differences(edited, edited).empty());
}

TEST_CASE("The parts of a run have seeds of their own") {
  CellConfig config = example();
  const Seeds first = seeds_of(config);
  CHECK(std::set<std::uint64_t>{first.initialize, first.shuffle, first.augment, first.corrupt}
            .size() == 4);
  config.seed = 2;
  CHECK(seeds_of(config).corrupt == first.corrupt);
  CHECK(seeds_of(config).initialize != first.initialize);
}

TEST_CASE("A configuration is read as it was written, and no key is passed over") {
  CellConfig config = example();
  config.corruption = data::corruption::wrong_labels(0.25);
  config.corruption_seed = 9;
  config.schedule = "cosine";
  config.flip = true;
  config.whiten = false;
  config.dataset.held_out = 7;
  config.stop = {.loss = 0.5, .epochs = 2};
  config.probes = {"norm"};
  const nlohmann::json written = to_json(config);
  CHECK(cell_config(written, "here") == config);
  CHECK(to_json(cell_config(written, "here")) == written);
  nlohmann::json strange = written;
  strange["optimizer"]["nesterov"] = true;
  CHECK_THROWS_WITH(cell_config(strange, "here"),
                    Contains("here") && Contains("/optimizer/nesterov"));
  nlohmann::json lacking = written;
  lacking["optimizer"].erase("batch");
  CHECK_THROWS_WITH(cell_config(lacking, "here"), Contains("batch"));
  nlohmann::json wrong = written;
  wrong["epochs"] = "many";
  CHECK_THROWS_WITH(cell_config(wrong, "here"), Contains("not a run's configuration"));
}

TEST_CASE("Options set fields, and the difference of two configurations is options again") {
  const CellConfig usual = example();
  CellConfig config = usual;
  set_options(config, {{"--epochs", 5}, {"--optimizer", "adam"}, {"--learning-rate", 0.125}});
  CHECK(config.epochs == 5);
  CHECK(config.optimizer == "adam");
  CHECK(options_between(usual, config) == " --epochs 5 --learning-rate 0.125 --optimizer adam");
  CHECK(options_between(usual, usual).empty());
  CHECK_FALSE(same_size(usual, config));
  CellConfig again = usual;
  set_options(again, {{"--evaluate-every", 3}});
  CHECK(same_size(usual, again));
  CHECK_THROWS_WITH(set_options(config, {{"--depth", 3}}), Contains("--depth"));
}
