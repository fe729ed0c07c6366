// Measurements: parameters, verdicts, storing, keeping, reports, refusals, signals.
#include <shatter/experiments/cli/measurement_program.h>

#include <signal.h>

#include <cmath>
#include <limits>

#include "tests/experiments/process.h"

using namespace shatter;
using namespace shatter::experiments;
using nlohmann::json;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

/// The mean training label times a factor, and a seeded row without data.
MeasurementProgram tiny_program(int* computed) {
  MeasurementRow mean{
      .name = "data/mean",
      .title = "Mean label",
      .dataset = "cifar10",
      .full = {{"train_size", 100}, {"test_size", 20}, {"factor", 2.0}, {"kind", "a"}},
      .quick = {{"train_size", 10}, {"test_size", 5}, {"factor", 2.0}, {"kind", "a"}},
      .quantities = {{.name = "mean",
                      .title = "mean label",
                      .format = "%.3f",
                      .paper = 9.0,
                      .accepted = Interval{8, 10},
                      .quick = Interval{0, 100}},
                     {.name = "images", .title = "images", .format = "%.0f"}},
      .need =
          [](const json& p, Device) {
            return Need{.bytes = 8.0 * p["train_size"].get<double>(), .seconds = 1};
          },
      .compute = [computed](const MeasurementContext& context) -> std::optional<Measured> {
        ++*computed;
        const std::vector<double> labels = context.data.train.labels.values<double>();
        double sum = 0;
        for (const double label : labels) sum += label;
        Measured measured;
        measured.numbers["mean"] =
            context.parameters["factor"].get<double>() * sum / double(labels.size());
        measured.numbers["images"] = labels.size();
        measured.curves["label"] = labels;
        return measured;
      }};
  MeasurementRow seeds{.name = "seeds",
                       .title = "Seeds",
                       .dataset = "",
                       .full = {{"scale", 1}},
                       .quick = {{"scale", 1}},
                       .seeded = true,
                       .quantities = {{.name = "value",
                                       .title = "value",
                                       .accepted = Interval{1.5, infinite},
                                       .quick = std::nullopt}},
                       .need = {},
                       .compute = [computed](const MeasurementContext& context) {
                         ++*computed;
                         Measured measured;
                         measured.numbers["value"] =
                             context.parameters["scale"].get<double>() * double(context.seed);
                         return std::optional(measured);
                       }};
  return {.info = {.name = "tiny", .summary = "Tiny.", .examples = {"tiny --quick"}},
          .title = "Tiny measurements",
          .rows = {mean, seeds}};
}

Finished run_tiny(const MeasurementProgram& program, std::vector<std::string> arguments) {
  std::vector<const char*> words = {"tiny"};
  for (const std::string& word : arguments) words.push_back(word.c_str());
  return captured(
      [&] { return run_measurements(program, static_cast<int>(words.size()), words.data()); });
}

Sample sample(std::vector<double> values) {
  return summarize(values);
}

}  // namespace

TEST_CASE("Quantities are judged by their mean, its interval and the size of the run") {
  const Quantity both{
      .name = "x", .title = "x", .accepted = Interval{1, 2}, .quick = Interval{0, 3}};
  CHECK(judge(both, sample({2.0}), "", false).text() == "reproduced");
  CHECK(judge(both, sample({2.1}), "", false).text() == "not reproduced");
  CHECK(!judge(both, sample({2.1}), "", false).accepted());
  CHECK(judge(both, sample({1.5, 1.5}), "", true).text() == "inconclusive");
  CHECK(judge(both, sample({1.4, 1.5, 1.6}), "", true).text() == "reproduced");
  CHECK(judge(both, sample({2.4, 2.5, 2.6}), "", true).text() == "not reproduced");
  // Deviation 0.5 over three seeds: half-width 4.303 * 0.5 / sqrt(3) = 1.24 > 0.5.
  CHECK(judge(both, sample({1.0, 1.5, 2.0}), "", true).text() == "inconclusive");
  CHECK(judge(both, sample({2.9}), "quick", false).text() == "quick: as expected");
  CHECK(judge(both, sample({3.1}), "reduced", true).text() == "reduced: NOT as expected");
  CHECK(judge(both, sample({}), "", false).text() == "not reproduced");

  const Quantity least{.name = "x", .title = "x", .accepted = Interval{0.98, infinite}};
  CHECK(judge(least, sample({0.99, 0.991, 0.992}), "", true).text() == "reproduced");
  CHECK(judge(least, sample({0.97, 0.985, 1.0}), "", true).text() == "inconclusive");
  CHECK(judge(least, sample({0.5, 0.5, 0.5}), "", true).text() == "not reproduced");
  CHECK(judge(least, sample({0.99}), "quick", true).accepted());
  const Quantity shown{.name = "x", .title = "x"};
  CHECK(judge(shown, sample({5}), "", false).text() == "-");
}

TEST_CASE("Titles show the parameters they name, the CSV of several tables has one header") {
  int computed = 0;
  MeasurementProgram program = tiny_program(&computed);
  program.rows[1].title = "Seeds times {scale}";
  const TemporaryFolder folder;
  const std::string kept = (folder / "kept").string();
  for (const char* scale : {"scale=2000", "scale=1"}) {
    const Finished run = run_tiny(program, {"--rows", "seeds", "--set", scale, "--out",
                                            folder.path().string(), "--keep", kept});
    INFO(run.err);
    REQUIRE(run.status == 0);
    if (std::string(scale) == "scale=2000") CHECK(contains(run.out, "| Seeds times 2,000 |"));
  }
  const Finished report = run_tiny(program, {"--report", kept, "--format", "csv"});
  CHECK(report.out.starts_with("table,row,quantity"));
  CHECK(report.out.find("table,row,quantity", 1) == std::string::npos);
  CHECK(contains(report.out, "\"Tiny measurements, full size\",seeds,value"));
  CHECK(contains(report.out, "(scale=2000)\",seeds,value"));
}

TEST_CASE("A stored result says so, and which were computed by another build of the program") {
  int computed = 0;
  const MeasurementProgram program = tiny_program(&computed);
  const TemporaryFolder folder;
  const std::vector<std::string> arguments = {"--rows", "seeds", "--out", folder.path().string()};
  const Finished fresh = run_tiny(program, arguments);
  CHECK_FALSE(contains(fresh.err, "stored"));
  const Finished stored = run_tiny(program, arguments);
  CHECK(contains(stored.err, "seeds seed 2: stored: value 2"));
  CHECK(stored.out == fresh.out);

  for (const auto& entry : std::filesystem::directory_iterator(folder / "runs")) {
    json environment = json::parse(get(entry.path() / "env.json"));
    for (json& session : environment["sessions"]) session["executable"] = "000000000000";
    put(entry.path() / "env.json", environment.dump());
    break;
  }
  const Finished other = run_tiny(program, arguments);
  CHECK(contains(other.err, ": stored by another build of this program: value "));
  CHECK(contains(other.out, "stored by another build of this program: 1 of 3 results"));
  CHECK(computed == 3);
}

TEST_CASE("A check of nothing does not pass, and rows without a smaller version keep their seeds") {
  int computed = 0;
  MeasurementProgram program = tiny_program(&computed);
  const TemporaryFolder folder;
  const Finished full =
      run_tiny(program, {"--rows", "seeds", "--quick", "--check", "--out", folder.path().string()});
  INFO(full.err);
  CHECK(computed == 3);
  CHECK(contains(full.out, "| 3 |"));
  program.rows[1].quantities[0].accepted.reset();
  const Finished none =
      run_tiny(program, {"--rows", "seeds", "--check", "--out", folder.path().string()});
  CHECK(none.status == 6);
  CHECK(contains(none.err, "nothing here has an accepted range"));
}

TEST_CASE("Nothing is computed where kept results cannot be written") {
  int computed = 0;
  const TemporaryFolder folder;
  put(folder / "file", "in the way");
  const Finished run = run_tiny(
      tiny_program(&computed),
      {"--rows", "seeds", "--out", folder.path().string(), "--keep", (folder / "file").string()});
  CHECK(run.status == 3);
  CHECK(contains(run.err, "--keep"));
  CHECK(computed == 0);
}

TEST_CASE("Marks tell quick, reduced, changed and synthetic runs") {
  int computed = 0;
  const MeasurementRow row = tiny_program(&computed).rows[0];
  CHECK(marks(row, row.full, "cifar10").empty());
  CHECK(marks(row, row.full, "synthetic") == "synthetic");
  CHECK(marks(row, row.quick, "synthetic") == "quick, synthetic");
  json parameters = row.full;
  parameters["factor"] = 3.0;
  CHECK(marks(row, parameters, "cifar10") == "changed");
  CHECK(changes(row, parameters) == std::vector<std::string>{"factor=3.0"});
  parameters["train_size"] = 50;
  CHECK(marks(row, parameters, "cifar10") == "reduced");
}

TEST_CASE("A program of measurements computes once, stores, prints and reports") {
  const TemporaryFolder folder;
  int computed = 0;
  const MeasurementProgram program = tiny_program(&computed);
  const std::vector<std::string> arguments = {"--quick", "--synthetic",
                                              "--seeds", "3",
                                              "--out",   (folder / "out").string(),
                                              "--keep",  (folder / "kept").string()};
  const Finished first = run_tiny(program, arguments);
  INFO(first.err);
  REQUIRE(first.status == 0);
  CHECK(computed == 4);
  CHECK(first.out.starts_with("**Tiny measurements**"));
  CHECK(contains(first.out,
                 "| Mean label | images | 10 | - | - | - | quick, "
                 "synthetic | - | 0 s |"));
  // scale is 1 in quick and full alike: this row is full-size, (1 + 2 + 3) / 3.
  CHECK(contains(first.out,
                 "| Seeds | value | 2.00 ± 1.00 | - | - | ≥ 1.50 | inconclusive | 3 | 0 s |"));
  CHECK(contains(first.out, "- data: none; synthetic"));
  CHECK(contains(first.out, "- precision: fp64"));
  CHECK(contains(first.out, "- repeat: `tiny --quick --synthetic --seeds 3"));
  CHECK(contains(first.err, "[4/4] "));
  CHECK(contains(first.err, "data/mean (quick, synthetic): needs 0 kB, about 1 s"));
  CHECK(get(folder / "out/reports/tiny/table.md") == first.out);

  int runs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "out/runs")) {
    ++runs;
    const std::string name = entry.path().filename().string();
    CHECK((name.starts_with("tiny-data-mean-") || name.starts_with("tiny-seeds-seed")));
    for (const char* file : {"config.json", "env.json", "result.json", "lock"}) {
      CHECK(std::filesystem::exists(entry.path() / file));
    }
    CHECK(!std::filesystem::exists(entry.path() / "work"));
  }
  CHECK(runs == 4);

  const Finished again = run_tiny(program, arguments);
  CHECK(computed == 4);
  CHECK(again.out == first.out);
  std::filesystem::remove_all(folder / "out/runs");
  CHECK(run_tiny(program, arguments).out == first.out);
  CHECK(computed == 4);
  CHECK(!std::filesystem::exists(folder / "out/runs"));

  put(folder / "kept/other.json", R"({"config": {"model": "mlp"}, "result": {}})");
  const Finished damaged = run_tiny(program, {"--report", (folder / "kept").string()});
  CHECK(damaged.status == 3);
  CHECK(contains(damaged.err, "other.json: not a run's configuration"));
  put(folder / "kept/other.json",
      R"({"config": {"program": "another", "data": null}, "result": {"numbers": {}}})");
  const Finished report = run_tiny(program, {"--report", (folder / "kept").string()});
  REQUIRE(report.status == 0);
  CHECK(contains(report.out, "**Tiny measurements, full size**"));
  CHECK(contains(report.out, "**Tiny measurements, quick, synthetic**"));
  CHECK(contains(report.out, "- repeat: `tiny --quick --synthetic --rows 'data/mean'`"));
  put(folder / "page.md", "a\n<!-- tiny:begin -->\nold\n<!-- tiny:end -->\nb\n");
  REQUIRE(run_tiny(program, {"--report", (folder / "kept").string(), "--into",
                             (folder / "page.md").string()})
              .status == 0);
  CHECK(get(folder / "page.md") ==
        "a\n<!-- tiny:begin -->\n" + report.out + "<!-- tiny:end -->\nb\n");

  std::vector<std::string> afresh = arguments;
  afresh.insert(afresh.end(), {"--resume", "never", "--check", "--format", "json"});
  const Finished fresh = run_tiny(program, afresh);
  CHECK(computed == 8);
  CHECK(fresh.status == 6);
  CHECK(contains(fresh.err, "check: seeds: value: inconclusive"));
  const json rows = json::parse(fresh.out)["rows"];
  CHECK(rows[1]["quantities"][0]["mean"] == 2.0);
  std::filesystem::remove(folder / "kept/other.json");
  const json kept = json::parse(get(std::filesystem::directory_iterator(folder / "kept")->path()));
  for (const char* key : {"config", "environment", "seconds", "result", "curve"})
    CHECK(kept.contains(key));
}

TEST_CASE("Parameters are set by the command line, and wrong ones refused") {
  const TemporaryFolder folder;
  int computed = 0;
  const MeasurementProgram program = tiny_program(&computed);
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--synthetic", "--out", folder.path().string()});
    return run_tiny(program, more);
  };
  const Finished changed = run({"--rows", "data/*", "--set", "factor=3", "--set", "kind=b",
                                "--train-size", "30", "--format", "json"});
  INFO(changed.err);
  REQUIRE(changed.status == 0);
  const json row = json::parse(changed.out)["rows"][0];
  CHECK(row["mark"] == "reduced, synthetic");
  CHECK(row["parameters"] ==
        json{{"train_size", 30}, {"test_size", 20}, {"factor", 3.0}, {"kind", "b"}});
  CHECK(row["quantities"][1]["mean"] == 30);
  const auto fails = [&](const std::vector<std::string>& more, int status, const std::string& why) {
    const Finished failed = run(more);
    INFO(failed.err);
    CHECK(failed.status == status);
    CHECK(contains(failed.err, why));
  };
  fails({"--set", "speed=1"}, 2, "factor, kind, scale, test_size, train_size");
  fails({"--set", "factor=big"}, 2, "not a value like 2.0");
  fails({"--train-size", "1", "--rows", "seeds"}, 2, "no selected row has a parameter train_size");
  fails({"--epochs", "3"}, 2, "no selected row has a parameter epochs");
  fails({"--precision", "bf16"}, 2, "precision of its own");
  fails({"--rows", "none"}, 2, "data/mean");
  fails({"--rows", "data/*", "--data", folder.path().string(), "--set", "factor=x"}, 2, "factor");
  const Finished dry = run({"--dry-run"});
  CHECK(dry.status == 0);
  CHECK(contains(dry.out, "data/mean (synthetic)  new  1 kB of memory  about 1 s"));
  CHECK(contains(dry.out, "4 jobs; to do: "));
}

TEST_CASE("Rows without a quick version are left out of --quick, which is said") {
  const TemporaryFolder folder;
  int computed = 0;
  MeasurementProgram program = tiny_program(&computed);
  program.rows[0].quick = nullptr;
  const std::string out = folder.path().string();
  const Finished run = run_tiny(program, {"--quick", "--synthetic", "--out", out});
  CHECK(run.status == 0);
  CHECK(contains(run.err, "data/mean: no quick version, left out"));
  CHECK(!contains(run.out, "Mean label"));
  CHECK(computed == 3);
  const Finished none = run_tiny(program, {"--quick", "--rows", "data/*", "--out", out});
  CHECK(none.status == 2);
  CHECK(contains(none.err, "none of these rows has a quick version"));
}

TEST_CASE("What does not fit into memory is refused, and failures do not stop other rows") {
  const TemporaryFolder folder;
  int computed = 0;
  MeasurementProgram program = tiny_program(&computed);
  program.rows[0].need = [](const json&, Device) { return Need{.bytes = 1e18, .seconds = 1}; };
  const Finished run =
      run_tiny(program, {"--synthetic", "--seeds", "1", "--out", folder.path().string()});
  CHECK(run.status == 4);
  CHECK(contains(run.err, "data/mean (synthetic): failed: needs 1000000000.0 GB of memory"));
  CHECK(contains(run.out, "synthetic: failed"));
  CHECK(contains(run.out, "| Seeds | value | 1.00 |"));
  int runs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "runs")) {
    CHECK(contains(entry.path().string(), "tiny-seeds-seed1"));
    ++runs;
  }
  CHECK(runs == 1);
}

TEST_CASE("A signal leaves what a measurement has saved, and the same command goes on") {
  const TemporaryFolder folder;
  int computed = 0;
  MeasurementProgram program = tiny_program(&computed);
  program.rows.erase(program.rows.begin());
  program.rows[0].compute = [](const MeasurementContext& context) -> std::optional<Measured> {
    const auto saved = context.folder / "half";
    Measured measured;
    measured.numbers["value"] = std::filesystem::exists(saved) ? 2.0 : 0.0;
    if (std::filesystem::exists(saved)) return measured;
    put(saved, "half");
    ::kill(::getpid(), SIGTERM);
    while (!context.stopped()) sleep_ms(1);
    return std::nullopt;
  };
  const std::vector<std::string> arguments = {"--seeds", "1", "--out", folder.path().string()};
  const Finished stopped = run_tiny(program, arguments);
  CHECK(stopped.status == 143);
  CHECK(contains(stopped.err, "interrupted and saved"));
  CHECK(contains(stopped.out, "not finished"));
  const Finished finished = run_tiny(program, arguments);
  CHECK(finished.status == 0);
  CHECK(contains(finished.out, "| Seeds | value | 2.00 |"));
}
