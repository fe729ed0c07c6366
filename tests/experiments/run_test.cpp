// A cell in its folder: metrics, results, diverging, interruption, kept results, locks.
#include <shatter/experiments/runs/sweep.h>

#include <nlohmann/json.hpp>

#include <shatter/core/npy.h>

#include "tests/experiments/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::experiments;
using Status = Outcome::Status;

namespace {

Cell tiny_cell() {
  return {tiny_config(), "tiny", tiny_task, "drawn"};
}

RunSettings settings(const std::filesystem::path& runs) {
  RunSettings s;
  s.runs = runs;
  s.checkpoint_every = {.seconds = 0, .steps = 1};
  return s;
}

std::string files_of(const std::filesystem::path& runs, const CellConfig& config) {
  const auto folder = runs / folder_name(config);
  return get(folder / "config.json") + get(folder / "metrics.jsonl") + get(folder / "result.json") +
         get(folder / "model.safetensors");
}

}  // namespace

TEST_CASE("A run leaves its files, and is not run twice") {
  const TemporaryFolder folder;
  const Outcome first = run_cell(tiny_cell(), settings(folder.path()));
  INFO(first.message);
  REQUIRE(first.status == Status::done);
  CHECK(first.finished.result.epochs == 3);
  CHECK(first.finished.provenance == "drawn");
  const auto run = folder.path() / folder_name(tiny_config());
  const std::string metrics = get(run / "metrics.jsonl");
  CHECK(std::count(metrics.begin(), metrics.end(), '\n') == 3);
  for (const char* name : {"config.json", "env.json", "checkpoint.safetensors", "timing.json"}) {
    CHECK(std::filesystem::exists(run / name));
  }
  const auto before = std::filesystem::last_write_time(run / "result.json");
  CHECK(run_cell(tiny_cell(), settings(folder.path())).status == Status::done);
  CHECK(std::filesystem::last_write_time(run / "result.json") == before);
}

TEST_CASE("Corrupted labels are saved with the run, true ones are not") {
  const TemporaryFolder folder;
  Cell cell = tiny_cell();
  const auto labels_of = [&] {
    REQUIRE(run_cell(cell, settings(folder.path())).status == Status::done);
    return folder.path() / folder_name(cell.config) / "labels.npy";
  };
  cell.config.corruption = data::Corruption::none;
  CHECK(!std::filesystem::exists(labels_of()));
  cell.config.corruption = data::Corruption::random_labels;
  const data::Dataset train = cell.task(cell.config).data.train;
  REQUIRE(train.true_labels.defined());
  CHECK(load_npy(labels_of()).values<std::int32_t>() == train.labels.values<std::int32_t>());
}

TEST_CASE("Stopped after every step, a run ends with the same files") {
  const TemporaryFolder whole, parts;
  REQUIRE(run_cell(tiny_cell(), settings(whole.path())).status == Status::done);
  RunSettings s = settings(parts.path());
  s.checkpoint_every = {.seconds = 0};
  int sessions = 0;
  for (Status status = Status::interrupted; status == Status::interrupted; ++sessions) {
    REQUIRE(sessions < 100);
    int asked = 0;
    s.stop = [&] { return ++asked > 2; };  // one step or evaluation batch, then stop
    if (sessions > 60) s.stop = {};        // an evaluation of several batches needs longer
    status = run_cell(tiny_cell(), s).status;
    CHECK((status == Status::interrupted || status == Status::done));
  }
  CHECK(sessions > 5);
  CHECK(files_of(parts.path(), tiny_config()) == files_of(whole.path(), tiny_config()));
}

TEST_CASE("A diverging run says where and keeps its last checkpoint") {
  const TemporaryFolder folder;
  Cell cell = tiny_cell();
  cell.config.learning_rate = 1e30;
  const Outcome outcome = run_cell(cell, settings(folder.path()));
  REQUIRE(outcome.status == Status::diverged);
  CHECK(outcome.finished.result.steps > 0);
  CHECK(describe(outcome.finished).find("diverged at step") == 0);
  const auto run = folder.path() / folder_name(cell.config);
  CHECK(std::filesystem::exists(run / "checkpoint.safetensors"));
  CHECK(!std::filesystem::exists(run / "model.safetensors"));
  CHECK(get(run / "result.json").find("diverged") != std::string::npos);
  CHECK(run_cell(cell, settings(folder.path())).status == Status::diverged);
}

TEST_CASE("A folder with another configuration is refused with the keys") {
  const TemporaryFolder folder;
  REQUIRE(run_cell(tiny_cell(), settings(folder.path())).status == Status::done);
  const auto path = folder.path() / folder_name(tiny_config()) / "config.json";
  auto config = nlohmann::json::parse(get(path));
  config["optimizer"]["batch"] = 99;
  put(path, config.dump());
  const Outcome outcome = run_cell(tiny_cell(), settings(folder.path()));
  REQUIRE(outcome.status == Status::failed);
  CHECK(outcome.kind == ErrorKind::data);
  CHECK(outcome.message.find("optimizer.batch: 16, here 99") != std::string::npos);
}

TEST_CASE("Damaged state is refused with what to do, and resume never mends it") {
  const TemporaryFolder folder;
  RunSettings s = settings(folder.path());
  int asked = 0;
  s.stop = [&] { return ++asked > 5; };
  REQUIRE(run_cell(tiny_cell(), s).status == Status::interrupted);
  s.stop = {};
  const auto run = folder.path() / folder_name(tiny_config());
  const std::string checkpoint = get(run / "checkpoint.safetensors");
  const std::string metrics = get(run / "metrics.jsonl");
  const auto failure = [&] {
    const Outcome outcome = run_cell(tiny_cell(), s);
    CHECK(outcome.status == Status::failed);
    CHECK(outcome.kind == ErrorKind::data);
    CHECK(outcome.message.find("--resume never") != std::string::npos);
    return outcome.message;
  };
  put(run / "checkpoint.safetensors", checkpoint.substr(0, checkpoint.size() / 2));
  CHECK(failure().find("checkpoint.safetensors") != std::string::npos);
  put(run / "checkpoint.safetensors", "");
  failure();
  put(run / "checkpoint.safetensors", checkpoint);
  put(run / "metrics.jsonl", metrics.substr(0, metrics.size() / 2));
  CHECK(failure().find("metrics.jsonl") != std::string::npos);
  put(run / "metrics.jsonl", metrics + "half a li");
  CHECK(run_cell(tiny_cell(), s).status == Status::done);
  const std::string good = files_of(folder.path(), tiny_config());
  put(run / "checkpoint.safetensors", "damaged");
  s.resume = false;
  CHECK(run_cell(tiny_cell(), s).status == Status::done);
  CHECK(files_of(folder.path(), tiny_config()) == good);
}

TEST_CASE("Kept results count as done, without their run folder") {
  const TemporaryFolder folder;
  RunSettings s = settings(folder / "runs");
  s.keep = folder / "kept";
  const Outcome first = run_cell(tiny_cell(), s);
  REQUIRE(first.status == Status::done);
  std::filesystem::remove_all(folder / "runs");
  const Outcome again = run_cell(tiny_cell(), s);
  REQUIRE(again.status == Status::done);
  CHECK(!std::filesystem::exists(folder / "runs"));
  CHECK(again.finished.result.test.correct == first.finished.result.test.correct);
  const auto all = kept_results(folder / "kept");
  REQUIRE(all.size() == 1);
  CHECK(all[0].config == tiny_config());
  const auto kept = folder / "kept" / (folder_name(tiny_config()) + ".json");
  const auto json = nlohmann::json::parse(get(kept));
  CHECK(json["curve"]["loss"].size() == 3);
  CHECK(json["curve"]["test_accuracy"].size() == 3);
  put(kept, "{");
  CHECK(run_cell(tiny_cell(), s).status == Status::failed);
}

TEST_CASE("A folder that is held is busy, and a sweep waits for it") {
  const TemporaryFolder folder;
  auto held = RunFolder::open(folder.path(), tiny_config());
  REQUIRE(held);
  CHECK(!RunFolder::open(folder.path(), tiny_config()));
  CHECK(run_cell(tiny_cell(), settings(folder.path())).status == Status::busy);
  int asked = 0;
  SweepSettings sweep{.run = settings(folder.path()), .finished = {}};
  sweep.run.stop = [&] {
    if (++asked == 5) {
      const RunFolder released = std::move(*held);
    }
    return false;
  };
  const auto outcomes = run_sweep({tiny_cell()}, sweep);
  CHECK(outcomes.at(0).status == Status::done);
}

TEST_CASE("Cells trained at once equal cells trained one by one, failures do not stop the others") {
  const TemporaryFolder one, many;
  std::vector<Cell> cells;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    cells.push_back(tiny_cell());
    cells.back().config.seed = seed;
  }
  cells[1].task = [](const CellConfig&) -> TrainingTask { fail(ErrorKind::data, "no such data"); };
  SweepSettings a{.run = settings(one.path()), .finished = {}};
  SweepSettings b{.run = settings(many.path()), .jobs = 3, .finished = {}};
  b.run.threads = 3;
  const auto first = run_sweep(cells, a), second = run_sweep(cells, b);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    CHECK(first[i].status == (i == 1 ? Status::failed : Status::done));
    CHECK(second[i].status == first[i].status);
    if (i == 1) continue;
    CHECK(files_of(one.path(), cells[i].config) == files_of(many.path(), cells[i].config));
  }
  const TemporaryFolder fast;
  SweepSettings c{.run = settings(fast.path()), .fail_fast = true, .finished = {}};
  const auto third = run_sweep(cells, c);
  CHECK(third[0].status == Status::done);
  CHECK(third[1].status == Status::failed);
  CHECK(third[2].status == Status::interrupted);
}
