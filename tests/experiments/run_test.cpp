// A cell in its folder: metrics, results, diverging, interruption, kept results, locks.
#include <nlohmann/json.hpp>

#include <shatter/core/npy.h>

#include "tests/experiments/tiny_run.h"
#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::experiments;
using Status = Outcome::Status;

namespace {

Job job_of(const CellConfig& config) {
  return training_job(config, "tiny", tiny_task, {}, "drawn");
}

Job tiny_job() {
  return job_of(tiny_config());
}

std::optional<RunFolder> open_tiny(const std::filesystem::path& runs) {
  return RunFolder::open(runs, folder_name(tiny_config()), to_json(tiny_config()));
}

RunSettings settings(const std::filesystem::path& runs) {
  RunSettings s;
  s.runs = runs;
  s.checkpoint_every = {.seconds = 0, .steps = 1};
  return s;
}

std::string files_of(const std::filesystem::path& folder) {
  return get(folder / "config.json") + get(folder / "metrics.jsonl") + get(folder / "result.json") +
         get(folder / "model.safetensors");
}

}  // namespace

TEST_CASE("A run leaves its files, and is not run twice") {
  const TemporaryFolder folder;
  const Outcome first = run_job(tiny_job(), settings(folder.path()));
  INFO(first.message);
  REQUIRE(first.status == Status::done);
  CHECK(first.result.number("epochs") == 3);
  CHECK(first.result.origin.provenance == "drawn");
  const auto run = folder.path() / folder_name(tiny_config());
  const std::string metrics = get(run / "metrics.jsonl");
  CHECK(std::count(metrics.begin(), metrics.end(), '\n') == 3);
  for (const char* name : {"config.json", "env.json", "checkpoint.safetensors", "timing.json"}) {
    CHECK(std::filesystem::exists(run / name));
  }
  const auto before = std::filesystem::last_write_time(run / "result.json");
  CHECK(run_job(tiny_job(), settings(folder.path())).status == Status::done);
  CHECK(std::filesystem::last_write_time(run / "result.json") == before);
}

TEST_CASE("Corrupted labels are saved with the run, true ones are not") {
  const TemporaryFolder folder;
  CellConfig config = tiny_config();
  const auto labels_of = [&] {
    REQUIRE(run_job(job_of(config), settings(folder.path())).status == Status::done);
    return folder.path() / folder_name(config) / "labels.npy";
  };
  config.corruption = data::corruption::none();
  CHECK(!std::filesystem::exists(labels_of()));
  config.corruption = data::corruption::random_labels();
  const data::Dataset train = tiny_task(config).data.train;
  REQUIRE(train.true_labels.defined());
  CHECK(load_npy(labels_of()).values<std::int32_t>() == train.labels.values<std::int32_t>());
}

TEST_CASE("Stopped after every step, a run ends with the same files") {
  const TemporaryFolder whole, parts;
  REQUIRE(run_job(tiny_job(), settings(whole.path())).status == Status::done);
  RunSettings s = settings(parts.path());
  s.checkpoint_every = {.seconds = 0};
  int sessions = 0;
  for (Status status = Status::interrupted; status == Status::interrupted; ++sessions) {
    REQUIRE(sessions < 100);
    int asked = 0;
    s.stop = [&] { return ++asked > 2; };  // one step or evaluation batch, then stop
    if (sessions > 60) s.stop = {};        // an evaluation of several batches needs longer
    status = run_job(tiny_job(), s).status;
    CHECK((status == Status::interrupted || status == Status::done));
  }
  CHECK(sessions > 5);
  CHECK(files_of(parts.path() / tiny_job().name) == files_of(whole.path() / tiny_job().name));
}

TEST_CASE("A diverging run says where and keeps its last checkpoint") {
  const TemporaryFolder folder;
  CellConfig config = tiny_config();
  config.learning_rate = 1e30;
  const Job job = job_of(config);
  const Outcome outcome = run_job(job, settings(folder.path()));
  REQUIRE(outcome.status == Status::diverged);
  CHECK(outcome.result.diverged);
  CHECK(outcome.result.number("steps") > 0);
  CHECK(job.describe(outcome.result).find("diverged at step") == 0);
  const auto run = folder.path() / job.name;
  CHECK(std::filesystem::exists(run / "checkpoint.safetensors"));
  CHECK(!std::filesystem::exists(run / "model.safetensors"));
  CHECK(get(run / "result.json").find("diverged") != std::string::npos);
  CHECK(run_job(job, settings(folder.path())).status == Status::diverged);
}

TEST_CASE("A folder with another configuration is refused with the keys") {
  const TemporaryFolder folder;
  REQUIRE(run_job(tiny_job(), settings(folder.path())).status == Status::done);
  const auto path = folder.path() / folder_name(tiny_config()) / "config.json";
  auto config = nlohmann::json::parse(get(path));
  config["optimizer"]["batch"] = 99;
  put(path, config.dump());
  const Outcome outcome = run_job(tiny_job(), settings(folder.path()));
  REQUIRE(outcome.status == Status::failed);
  CHECK(outcome.kind == ErrorKind::data);
  CHECK(outcome.message.find("optimizer.batch: 16, here 99") != std::string::npos);
}

TEST_CASE("Damaged state is refused with what to do, and resume never mends it") {
  const TemporaryFolder folder;
  RunSettings s = settings(folder.path());
  int asked = 0;
  s.stop = [&] { return ++asked > 5; };
  REQUIRE(run_job(tiny_job(), s).status == Status::interrupted);
  s.stop = {};
  const auto run = folder.path() / folder_name(tiny_config());
  const std::string checkpoint = get(run / "checkpoint.safetensors");
  const std::string metrics = get(run / "metrics.jsonl");
  const auto failure = [&] {
    const Outcome outcome = run_job(tiny_job(), s);
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
  CHECK(run_job(tiny_job(), s).status == Status::done);
  const std::string good = files_of(folder.path() / tiny_job().name);
  put(run / "checkpoint.safetensors", "damaged");
  s.resume = false;
  CHECK(run_job(tiny_job(), s).status == Status::done);
  CHECK(files_of(folder.path() / tiny_job().name) == good);
}

TEST_CASE("Kept results count as done, without their run folder") {
  const TemporaryFolder folder;
  RunSettings s = settings(folder / "runs");
  s.keep = folder / "kept";
  const Outcome first = run_job(tiny_job(), s);
  REQUIRE(first.status == Status::done);
  std::filesystem::remove_all(folder / "runs");
  const Outcome again = run_job(tiny_job(), s);
  REQUIRE(again.status == Status::done);
  CHECK(!std::filesystem::exists(folder / "runs"));
  CHECK(again.result.number("test_correct") == first.result.number("test_correct"));
  const auto all = kept_results(folder / "kept");
  REQUIRE(all.size() == 1);
  CHECK(all[0].config == to_json(tiny_config()));
  const auto kept = folder / "kept" / (folder_name(tiny_config()) + ".json");
  const auto json = nlohmann::json::parse(get(kept));
  CHECK(json["curve"]["loss"].size() == 3);
  CHECK(json["curve"]["test_accuracy"].size() == 3);
  put(kept, "{");
  CHECK(run_job(tiny_job(), s).status == Status::failed);
}

TEST_CASE("A folder that is held is busy, and the queue waits for it") {
  const TemporaryFolder folder;
  auto held = open_tiny(folder.path());
  REQUIRE(held);
  CHECK(!open_tiny(folder.path()));
  CHECK(run_job(tiny_job(), settings(folder.path())).status == Status::busy);
  int asked = 0;
  RunSettings sweep = settings(folder.path());
  sweep.stop = [&] {
    if (++asked == 5) {
      const RunFolder released = std::move(*held);
    }
    return false;
  };
  const auto outcomes = run_jobs({tiny_job()}, sweep);
  CHECK(outcomes.at(0).status == Status::done);
}

TEST_CASE("Cells trained at once equal cells trained one by one, failures do not stop the others") {
  const TemporaryFolder one, many;
  std::vector<Job> jobs;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CellConfig config = tiny_config();
    config.seed = seed;
    jobs.push_back(job_of(config));
  }
  jobs[1].compute = [](const JobContext&) -> std::optional<Computed> {
    fail(ErrorKind::data, "no such data");
  };
  RunSettings several = settings(many.path());
  several.jobs = several.threads = 3;
  const auto first = run_jobs(jobs, settings(one.path())), second = run_jobs(jobs, several);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    CHECK(first[i].status == (i == 1 ? Status::failed : Status::done));
    CHECK(second[i].status == first[i].status);
    if (i != 1) CHECK(files_of(one.path() / jobs[i].name) == files_of(many.path() / jobs[i].name));
  }
  const TemporaryFolder fast;
  RunSettings strict = settings(fast.path());
  strict.fail_fast = true;
  const auto third = run_jobs(jobs, strict);
  CHECK(third[0].status == Status::done);
  CHECK(third[1].status == Status::failed);
  CHECK(third[2].status == Status::interrupted);
}
