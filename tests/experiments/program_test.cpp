// The real table1: exit codes, stdout and stderr, bad input, dry runs.
#include <shatter/experiments/cli/training_program.h>

#include <nlohmann/json.hpp>

#include "tests/experiments/process.h"
#include "tests/experiments/tiny_run.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

const std::string table1 = SHATTER_TABLE1;

/// table1 on a few drawn images, with more arguments.
Finished tiny(const std::filesystem::path& out, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"--synthetic", "--train-size", "64",        "--test-size",
                                        "50",          "--epochs",     "2",         "--threads",
                                        "1",           "--out",        out.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(table1, arguments);
}

std::vector<std::filesystem::path> run_folders(const std::filesystem::path& out) {
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(out / "runs")) {
    folders.push_back(entry.path());
  }
  return folders;
}

}  // namespace

TEST_CASE("table1 prints its table on stdout, all else on stderr, and writes its reports") {
  const TemporaryFolder folder;
  const Finished run = tiny(folder.path(), {"--rows", "mlp-1x512/*", "--seeds", "1"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.out.starts_with("**Table 1"));
  CHECK(contains(run.out, "| MLP 1x512 | no | yes | true |"));
  CHECK(contains(run.out, "reduced, synthetic: "));
  for (const char* line : {"- commit: ", "- device: ", "- precision: fp32", "- data: synthetic",
                           "- repeat: `table1 --synthetic --train-size 64"}) {
    CHECK(contains(run.out, line));
  }
  CHECK(contains(run.err, "[3/3] "));
  CHECK(!contains(run.err, "**"));
  CHECK(get(folder / "reports/table1/table.md") == run.out);
  CHECK(contains(get(folder / "reports/table1/table.csv"), "mlp-1x512/random,"));
  CHECK(contains(get(folder / "reports/table1/table.tex"), "\\begin{tabular}"));

  const Finished again = tiny(folder.path(), {"--rows", "mlp-1x512/*", "--seeds", "1"});
  CHECK(again.out == run.out);
  CHECK(run_folders(folder.path()).size() == 3);
  const Finished json = tiny(folder.path(), {"--rows", "mlp-1x512/*", "--seeds", "1", "--format",
                                             "json", "--progress", "none"});
  CHECK(json.err.empty());
  CHECK(nlohmann::json::parse(json.out)["rows"].size() == 3);

  const Finished checked =
      tiny(folder.path(), {"--rows", "mlp-1x512/random", "--seeds", "1", "--check"});
  CHECK(checked.status == 6);
  CHECK(contains(checked.err, "check: mlp-1x512/random: reduced, synthetic: FAILS"));
}

TEST_CASE("A changed batch and learning rate are what the run trains with") {
  const TemporaryFolder folder;
  const Finished run =
      tiny(folder.path(), {"--rows", "mlp-1x512/none", "--seeds", "1", "--batch", "16",
                           "--learning-rate", "0.004", "--learning-rate-decay", "0.5"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto result =
      nlohmann::json::parse(get(run_folders(folder.path()).front() / "result.json"));
  CHECK(result["steps"] == 2 * 64 / 16);
  CHECK(result["learning_rate"].get<double>() == Approx(0.004 * 0.5).epsilon(1e-12));
}

TEST_CASE("A changed optimizer and schedule are what the run trains with") {
  const TemporaryFolder folder;
  const auto dry = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"--rows", "mlp-1x512/none", "--dry-run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tiny(folder.path(), arguments);
  };
  const Finished run =
      tiny(folder.path(),
           {"--rows", "mlp-1x512/none", "--seeds", "1", "--optimizer", "adamw", "--schedule",
            "cosine", "--warm-up", "1", "--weight-decay", "0.01", "--learning-rate", "0.004"});
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto cell = nlohmann::json::parse(get(run_folders(folder.path()).front() / "config.json"));
  const auto& optimizer = cell["optimizer"];
  CHECK(optimizer["name"] == "adamw");
  CHECK(optimizer["schedule"] == "cosine");
  CHECK(optimizer["warm_up"] == 1);
  CHECK(optimizer["momentum"] == 0.0);
  CHECK(optimizer["learning_rate_decay"] == 1.0);
  CHECK(optimizer["weight_decay"] == 0.01);
  CHECK(contains(run_folders(folder.path()).front().string(), "-wd-adamw-"));
  // What is the default by another name is the same run.
  CHECK(dry({"--optimizer", "sgd", "--momentum", "0.9", "--schedule", "exponential"}).out ==
        dry({}).out);
  CHECK(dry({"--schedule", "constant"}).out == dry({"--learning-rate-decay", "1"}).out);

  const Finished momentum = dry({"--optimizer", "adam", "--momentum", "0.5"});
  CHECK(momentum.status == 2);
  CHECK(contains(momentum.err, "--momentum: adam has none"));
  const Finished decay = dry({"--schedule", "step", "--learning-rate-decay", "0.9"});
  CHECK(decay.status == 2);
  CHECK(contains(decay.err, "--learning-rate-decay: the step schedule has none"));
}

TEST_CASE("Kept results survive without their runs and make the report") {
  const TemporaryFolder folder;
  const std::string kept = (folder / "kept").string();
  REQUIRE(tiny(folder / "a", {"--only", "mlp-1x512/none", "--seeds", "2", "--keep", kept}).status ==
          0);
  const Finished second =
      tiny(folder / "b", {"--only", "mlp-1x512/none", "--seeds", "2", "--keep", kept});
  REQUIRE(second.status == 0);
  CHECK(!std::filesystem::exists(folder / "b/runs"));
  const Finished report = run_program(table1, {"--report", kept});
  REQUIRE(report.status == 0);
  CHECK(contains(report.out, "table1 --synthetic --train-size 64 --test-size 50 --epochs 2"));
  // --rows and --check hold for reports too.
  CHECK(!contains(run_program(table1, {"--report", kept, "--rows", "alexnet/*"}).out, "| MLP"));
  const Finished checked = run_program(table1, {"--report", kept, "--check"});
  CHECK(checked.status == 6);
  CHECK(contains(checked.err, "check: mlp-1x512/none: reduced, synthetic: FAILS"));
  const Finished json = run_program(table1, {"--report", kept, "--format", "json"});
  REQUIRE(json.status == 0);
  CHECK(nlohmann::json::parse(json.out)[0]["rows"][0]["row"] == "mlp-1x512/none");
  put(folder / "page.md", "top\n<!-- table1:begin -->\n<!-- table1:end -->\n");
  const std::string page = (folder / "page.md").string();
  REQUIRE(run_program(table1, {"--report", kept, "--into", page}).status == 0);
  CHECK(contains(get(page), report.out));
  // A page that wants the full-size table gets nothing else.
  put(folder / "page.md", "<!-- table1-full-size:begin -->\nold\n<!-- table1-full-size:end -->\n");
  REQUIRE(run_program(table1, {"--report", kept, "--into", page}).status == 0);
  CHECK(get(page) == "<!-- table1-full-size:begin -->\n<!-- table1-full-size:end -->\n");
  CHECK(run_program(table1, {"--report", (folder / "none").string()}).status == 3);
}

TEST_CASE("A report of the folder of runs is that of the results kept from it") {
  const TemporaryFolder folder;
  const std::string kept = (folder / "kept").string();
  const Finished run =
      tiny(folder.path(), {"--rows", "mlp-1x512/none", "--seeds", "1", "--keep", kept});
  CHECK(run.out.find("(synthetic: drawn images instead)") != std::string::npos);
  CHECK(run.out.find("| true | ") != std::string::npos);
  const Finished of_kept = run_program(table1, {"--report", kept});
  const Finished of_runs = run_program(table1, {"--report", (folder / "runs").string()});
  CHECK(of_runs.status == 0);
  CHECK(of_runs.out == of_kept.out);
}

TEST_CASE("A dry run lists cells and writes nothing") {
  const TemporaryFolder folder;
  const Finished run = tiny(folder / "out", {"--dry-run"});
  REQUIRE(run.status == 0);
  CHECK(!std::filesystem::exists(folder / "out"));
  CHECK(contains(run.out, "57 jobs; to do"));
  CHECK(contains(run.out, "inception/crop+wd"));
  CHECK(contains(run.out, " steps of synthetic  "));
}

TEST_CASE("Usage, device and data errors have their exit codes") {
  const auto fails = [](const std::vector<std::string>& arguments, int status,
                        const std::string& why) {
    const Finished run = run_program(table1, arguments);
    INFO(run.err);
    CHECK(run.status == status);
    CHECK(run.out.empty());
    CHECK(contains(run.err, why));
  };
  fails({"--epoch", "3"}, 2, "did you mean --epochs?");
  fails({"--synthetic", "--rows", "nothing*"}, 2, "inception/crop+wd");
  fails({"--synthetic", "--device", "gpu"}, 2, "gpu");
  fails({"--synthetic", "--set", "epochs=3"}, 2, "--set epochs");
  fails({"--synthetic", "--set", "epochs"}, 2, "KEY=VALUE");
  std::string why;
  if (cuda_device_count(&why) == 0) fails({"--synthetic", "--device", "cuda"}, 4, why);
  fails({"--synthetic", "--device", "cpu", "--precision", "tf32"}, 4,
        "cpu has bf16, fp32, fp32-winograd");
  fails({"--synthetic", "--device", "cpu", "--autotune"}, 2, "on the CPU");
  const TemporaryFolder folder;
  fails({"--quick", "--data", (folder / "absent").string()}, 3, "cifar-10-batches-bin");
  fails({"--data", (folder / "absent").string()}, 3, "cifar-10-batches-bin");
  put(folder / "cifar-10-batches-bin/data_batch_1.bin", std::string(3073 * 2 + 100, '\0'));
  fails({"--data", folder.path().string()}, 3, "data_batch_1.bin");
  fails({"--data", folder.path().string(), "--quick"}, 3, "data_batch_1.bin");
  put(folder / "file", "");
  fails({"--synthetic", "--quick", "--out", (folder / "file").string()}, 3, "cannot write to");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which map terabytes
TEST_CASE("More threads than the system gives are an error, not a crash") {
  const TemporaryFolder folder;
  const Finished run =
      run_program("/bin/bash", {"-c",
                                "ulimit -v 3000000; exec \"$0\" --synthetic --quick --rows "
                                "mlp-1x512/none --epochs 1 --threads 4096 --out \"$1\"",
                                table1, folder.path().string()});
  INFO(run.err);
  CHECK(run.status == 2);
  CHECK(contains(run.err, "of 4096 threads"));
}
#endif

TEST_CASE("A report repeats the precision and the evaluations of its runs, once") {
  const TemporaryFolder folder;
  const std::string kept = (folder / "kept").string();
  REQUIRE(tiny(folder / "a", {"--rows", "mlp-1x512/none", "--seeds", "1", "--keep", kept,
                              "--precision", "fp32-winograd", "--evaluate-every", "2"})
              .status == 0);
  const Finished report = run_program(table1, {"--report", kept});
  REQUIRE(report.status == 0);
  CHECK(contains(report.out, "- precision: fp32-winograd"));
  CHECK(contains(report.out,
                 "repeat: `table1 --synthetic --train-size 64 --test-size 50 --epochs 2 "
                 "--evaluate-every 2 --precision fp32-winograd --device cpu --seeds 1 "));
}

TEST_CASE("A damaged run folder fails its cell, not the others") {
  const TemporaryFolder folder;
  const std::vector<std::string> rows = {"--rows", "mlp-1x512/none,mlp-1x512/random", "--seeds",
                                         "1"};
  REQUIRE(tiny(folder.path(), {"--rows", "mlp-1x512/none", "--seeds", "1"}).status == 0);
  const auto run = run_folders(folder.path()).front();
  std::filesystem::remove(run / "result.json");
  const std::string checkpoint = get(run / "checkpoint.safetensors");
  put(run / "checkpoint.safetensors", checkpoint.substr(0, checkpoint.size() / 2));
  const Finished cut = tiny(folder.path(), rows);
  CHECK(cut.status == 3);
  CHECK(contains(cut.err, "checkpoint.safetensors"));
  CHECK(contains(cut.err, "--resume never"));
  CHECK(contains(cut.out, "reduced, synthetic: failed"));
  CHECK(contains(cut.err, "mlp-1x512/random: training "));

  put(run / "checkpoint.safetensors", checkpoint);
  auto config = nlohmann::json::parse(get(run / "config.json"));
  config["optimizer"]["learning_rate"] = 0.5;
  put(run / "config.json", config.dump());
  const Finished edited = tiny(folder.path(), rows);
  CHECK(edited.status == 3);
  CHECK(contains(edited.err, "optimizer.learning_rate: 0.01, here 0.5"));
}

namespace {

Finished run_here(const TrainingProgram& program, std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "tiny");
  return captured(
      [&] { return run_training(program, static_cast<int>(arguments.size()), arguments.data()); });
}

TrainingRow tiny_row(const std::string& name, double learning_rate) {
  TrainingRow row{.name = name, .title = "Tiny", .full = tiny_config(), .quick = tiny_config()};
  row.full.learning_rate = row.quick.learning_rate = learning_rate;
  return row;
}

}  // namespace

TEST_CASE("Diverged cells read so and exit 5, mixed with other failures 6") {
  const TemporaryFolder folder;
  const std::string out = folder.path().string();
  TrainingProgram program{.info = {.name = "tiny", .summary = "Tiny.", .examples = {}},
                          .title = "Tiny",
                          .rows = {tiny_row("good", 0.01), tiny_row("wild", 1e30)},
                          .task = [](const CellConfig& config, const data::TrainTest& data) {
                            TrainingTask task{
                                .model = mlp(1, 16), .decayed = {}, .data = data, .metrics = {}};
                            task.decayed = {named_parameters(task.model).front()};
                            check(config.learning_rate < 1e31, "too wild");
                            return task;
                          }};
  const Finished run = run_here(program, {"--synthetic", "--seeds", "1", "--out", out.c_str()});
  INFO(run.err);
  CHECK(run.status == 5);
  CHECK(contains(run.out, "diverged"));
  CHECK(contains(run.err, "diverged at step "));
  CHECK(contains(run.err, "last finite loss"));
  CHECK(contains(run.err, "good: training "));
  const auto wild = program.rows[1].full;
  program.rows[0] = tiny_row("bad", 0.02);
  program.task = [task = program.task](const CellConfig& config, const data::TrainTest& data) {
    check(config.learning_rate != 0.02 || data.train.size() == 1, "bad row");
    return task(config, data);
  };
  CHECK(run_here(program, {"--synthetic", "--seeds", "1", "--out", out.c_str()}).status == 6);
}
