// The randomization test as a call, on a model and images of the caller's own.
#include <shatter/experiments/paper/randomization.h>

#include <cmath>

#include <shatter/core/npy.h>
#include <shatter/core/random.h>
#include <shatter/experiments/models/models.h>
#include <shatter/layers/layers.h>

#include "tests/experiments/process.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

data::TrainTest images() {
  return {data::synthetic(data::Split::train, {.size = 60}),
          data::synthetic(data::Split::test, {.size = 40})};
}

RandomizationOptions options() {
  RandomizationOptions options{.name = "tiny", .levels = {0.5}, .seeds = 2};
  options.training.crop = 28;
  options.training.whiten = true;
  options.training.epochs = 40;
  options.training.batch = 20;
  options.training.learning_rate = 0.02;
  options.training.stop = {.loss = 0.05, .epochs = 1};
  return options;
}

/// True and random labels, two epochs of each.
RandomizationOptions stored_in(const TemporaryFolder& folder) {
  RandomizationOptions small = options();
  small.levels.clear();
  small.pixels = false;
  small.seeds = 1;
  small.training.epochs = 2;
  small.out = folder.path();
  return small;
}

Module tiny() {
  return mlp(1, 64);
}

}  // namespace

TEST_CASE("Every setting is trained, and true labels are the measure of time") {
  const RandomizationResult result = randomization_test(tiny, images(), options());
  REQUIRE(result.settings.size() == 6);
  const RandomizationSetting& truth = result.settings[0];
  const RandomizationSetting& random = result.settings[2];
  CHECK(truth.corruption == data::corruption::none());
  CHECK(result.settings[1].corruption == data::corruption::partial_labels(0.5));
  CHECK(random.corruption == data::corruption::random_labels());
  CHECK(result.settings[5].corruption == data::corruption::gaussian());
  for (const RandomizationSetting& setting : result.settings) {
    INFO(setting.corruption.name);
    CHECK(setting.runs.size() == 2);
    CHECK(setting.train.mean == Approx(100));
    CHECK(setting.time_to_fit.n == 2);
    CHECK(double(setting.runs[0].curves.at("accuracy").size()) == setting.runs[0].number("epochs"));
  }
  CHECK(truth.relative_time.mean == 1);
  CHECK(random.relative_time.mean ==
        Approx((random.time_to_fit.mean * 2 / 2) / truth.time_to_fit.mean).epsilon(0.5));
  CHECK(result.table.rows.size() == 12);
  CHECK_THAT(render(result.table, Format::markdown),
             Contains("| tiny, p=0.5 | training accuracy, % | 100.00") && !Contains("quick") &&
                 !Contains("paper") && !Contains("difference") && !Contains("reproduced"));
}

TEST_CASE("A test with a folder is not run twice, and other images are another test") {
  const TemporaryFolder folder;
  const RandomizationOptions small = stored_in(folder);
  int made = 0;
  const auto counted = [&] { return ++made, tiny(); };
  const auto first = randomization_test(counted, images(), small);
  CHECK(made == 3);  // one to be looked at
  const auto second = randomization_test(counted, images(), small);
  CHECK(made == 4);
  CHECK(render(first.table, Format::csv) == render(second.table, Format::csv));
  data::TrainTest others = images();
  others.train = data::synthetic(data::Split::train, {.size = 60, .seed = 2});
  randomization_test(counted, others, small);
  CHECK(made == 7);
}

TEST_CASE("A test with a folder does not take one model's runs for another's of the same name") {
  const TemporaryFolder folder;
  const RandomizationOptions small = stored_in(folder);
  const auto test = [&](const std::function<Module()>& model, const RandomizationOptions& how) {
    return randomization_test(model, images(), how).settings[1].runs[0].number("last_loss");
  };
  const auto narrow = [] { return Module(mlp(1, 2)); };
  const double first = test(tiny, small);
  CHECK(test(narrow, small) != first);
  RandomizationOptions alone = small;
  alone.out.clear();
  CHECK(test(narrow, small) == test(narrow, alone));
  CHECK(test(tiny, small) == first);
}

TEST_CASE("A setting is read without true labels, a diverged one counts once") {
  CellConfig training = options().training;
  const std::vector<TrainingRow> rows =
      randomization_rows("x", "X", training, randomization_settings({}, false));
  const std::vector<Reading> readings = randomization_readings(rows, 0.99);
  const Result cell{
      .config = to_json(rows[1].full),
      .numbers = {{"train_percent", 100}, {"test_percent", 10}},
      .curves = {{"step", {10, 20}}, {"accuracy", {0.5, 1.0}}, {"train_accuracy", {0.6, 1.0}}}};
  const auto table_of = [&](const std::vector<RowReport>& reports) {
    return read(readings, {.title = "T", .rows = reports});
  };
  RowReport fitted = report_of(rows[1], rows[1].full, 1);
  fitted.runs = {cell};
  const Table random = table_of({fitted});
  REQUIRE(random.rows.size() == 1);
  CHECK(random.rows[0].sample(random.rows[0].quantities[0]).mean == 100);
  RowReport truth = report_of(rows[0], rows[0].full, 1);
  truth.diverged = {{.config = to_json(rows[0].full), .diverged = true}};
  const Table both = table_of({truth, fitted});
  REQUIRE(both.rows.size() == 4);
  CHECK(both.rows[0].diverged.size() == 1);
  CHECK(both.rows[1].diverged.size() == 1);  // true labels against themselves
  CHECK(both.rows[2].diverged.empty());
  CHECK(both.rows[2].runs.size() == 1);
  CHECK(both.rows[3].judgement(both.rows[3].quantities[0]).text() == "1 diverged");
}

TEST_CASE("Images are taken whole and as they are unless asked otherwise") {
  const CellConfig plain = RandomizationOptions{}.training;
  CHECK(plain.crop == 0);
  CHECK_FALSE(plain.whiten);
  RandomizationOptions small = options();
  small.training = plain;
  small.training.epochs = 1;
  small.levels.clear();
  small.seeds = 1;
  data::TrainTest wide = images();
  for (data::Dataset* set : {&wide.train, &wide.test}) {
    set->images = Tensor::full({set->size(), 6, 4, 1}, 7, DType::uint8);
  }
  const auto linear = [](std::int64_t in) {
    return [in] { return Sequential(Flatten(), Linear({.in = in, .out = 10})); };
  };
  CHECK(randomization_test(linear(24), wide, small).settings.size() == 5);
  small.training.crop = 5;
  CHECK_THROWS_WITH(randomization_test(linear(24), wide, small),
                    Contains("training.crop is 5") && Contains("6 x 4"));

  data::TrainTest vectors = images();
  for (data::Dataset* set : {&vectors.train, &vectors.test}) {
    set->images = random_uniform({.seed = 1}, {set->size(), 1, 1, 5});
  }
  small.training.crop = 0;
  CHECK_THROWS_WITH(randomization_test(linear(5), vectors, small), Contains("pixels = false"));
  small.pixels = false;
  CHECK(randomization_test(linear(5), vectors, small).settings.size() == 2);
}

TEST_CASE("A corruption of one's own is a setting like the paper's") {
  const TemporaryFolder folder;
  RandomizationOptions small = stored_in(folder);
  // Every label of the first half becomes class 3.
  const data::Corruption own{
      .name = "half-threes",
      .parameters = {{"class", {3}}},
      .apply = [](const data::TrainTest& given, std::uint64_t) {
        data::TrainTest result = given;
        std::vector<std::int32_t> labels = given.train.labels.values<std::int32_t>();
        std::fill(labels.begin(), labels.begin() + std::ptrdiff_t(labels.size() / 2), 3);
        result.train.true_labels = given.train.labels;
        result.train.labels = Tensor::from(labels, given.train.labels.shape());
        return result;
      }};
  small.corruptions = {own, data::corruption::wrong_labels()};
  const RandomizationResult result = randomization_test(tiny, images(), small);
  REQUIRE(result.settings.size() == 4);
  CHECK(result.settings[2].corruption == own);
  CHECK(result.settings[2].runs[0].config["data"]["corruption"]["class"] == 3.0);
  CHECK_THAT(render(result.table, Format::markdown),
             Contains("| tiny, half-threes |") && Contains("| tiny, wrong-labels-p=1 |"));
  const auto labels = load_npy(folder / "runs" / folder_name([&] {
                                 return cell_config(result.settings[2].runs[0].config, "run");
                               }()) /
                               "labels.npy");
  CHECK(labels.values<std::int32_t>()[0] == 3);
  CHECK(labels.values<std::int32_t>()[29] == 3);
  // Stored: found again, and another value of the parameter is another setting.
  CHECK(render(randomization_test(tiny, images(), small).table, Format::csv) ==
        render(result.table, Format::csv));
  small.corruptions = {own, own};
  CHECK_THROWS_WITH(randomization_test(tiny, images(), small), Contains("two settings"));
  small.corruptions = {{.name = "nothing"}};
  CHECK_THROWS_WITH(randomization_test(tiny, images(), small), Contains("no function"));
}

TEST_CASE("Diverged runs are told") {
  RandomizationOptions wild = options();
  wild.levels.clear();
  wild.pixels = false;
  wild.training.learning_rate = 1e30;
  const RandomizationResult result = randomization_test(tiny, images(), wild);
  CHECK(result.settings[0].diverged == 2);
  CHECK_THAT(render(result.table, Format::markdown), Contains("| 2 diverged |"));
}

TEST_CASE("What cannot be tested is refused") {
  RandomizationOptions bad = options();
  bad.levels = {1.0};
  CHECK_THROWS_WITH(randomization_test(tiny, images(), bad), Contains("level of 1"));
  bad = options();
  bad.seeds = 0;
  CHECK_THROWS_WITH(randomization_test(tiny, images(), bad), Contains("0 seeds"));
  bad = options();
  bad.fitted = 2;
  CHECK_THROWS_WITH(randomization_test(tiny, images(), bad), Contains("fitted 2"));
  for (const double rate : {-1.0, 0.0, std::nan("")}) {
    bad = options();
    bad.training.learning_rate = rate;
    CHECK_THROWS_WITH(randomization_test(tiny, images(), bad), Contains("learning rate"));
  }
  CHECK_THROWS_WITH(randomization_test(tiny, {}, options()), Contains("randomization_test"));
}

TEST_CASE("randomization_test runs one model on one data set by default") {
  const TemporaryFolder folder;
  const std::string program = std::string(SHATTER_PROGRAM_FOLDER) + "/randomization_test";
  const Finished plan = run_program(program, {"--synthetic", "--dry-run", "--quick"});
  INFO(plan.err);
  REQUIRE(plan.status == 0);
  CHECK(contains(plan.out, "mnist/lenet/true-labels"));
  CHECK(contains(plan.out, "9 jobs; to do"));
  CHECK(!contains(plan.out, "cifar10"));
  const Finished run = run_program(
      program, {"--synthetic", "--rows", "mnist/lenet/true-labels,mnist/lenet/random-labels",
                "--train-size", "64", "--test-size", "50", "--epochs", "2", "--seeds", "1",
                "--threads", "1", "--out", folder.path().string()});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(contains(run.out, "| LeNet on mnist, random-labels | steps to 99 % training accuracy |"));
}
