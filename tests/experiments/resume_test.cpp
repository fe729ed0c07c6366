// The real table1 killed at many moments, interrupted, and run twice at once: the same files in the
// end.
#include <shatter/experiments/runs/interrupt.h>

#include <chrono>

#include "tests/experiments/process.h"

using namespace shatter;

namespace {

const std::string table1 = SHATTER_TABLE1;

/// One run of 3 steps an epoch that saves after each.
std::vector<std::string> arguments(const std::filesystem::path& out,
                                   const std::string& epochs = "6") {
  return {"--synthetic",        "--train-size", "136",     "--test-size", "50",
          "--epochs",           epochs,         "--batch", "48",          "--rows",
          "mlp-1x512/random",   "--seeds",      "1",       "--threads",   "1",
          "--checkpoint-every", "1step",        "--out",   out.string()};
}

std::filesystem::path run_folder(const std::filesystem::path& out) {
  std::filesystem::path folder;
  for (const auto& entry : std::filesystem::directory_iterator(out / "runs")) folder = entry.path();
  return folder;
}

/// What must be equal byte for byte.
std::string results(const std::filesystem::path& out) {
  std::string all;
  for (const char* name : {"config.json", "metrics.jsonl", "result.json", "model.safetensors"}) {
    all += get(run_folder(out) / name) + "\n--\n";
  }
  return all;
}

std::string uninterrupted(const std::filesystem::path& out, const std::string& epochs = "6") {
  const Finished run = run_program(table1, arguments(out, epochs));
  INFO(run.err);
  REQUIRE(run.status == 0);
  return results(out);
}

/// Waits until the run has saved something.
void await_checkpoint(const std::filesystem::path& out) {
  for (int i = 0; i < 3000; ++i, sleep_ms(10)) {
    if (!std::filesystem::exists(out / "runs")) continue;
    const auto folder = run_folder(out);
    if (!folder.empty() && std::filesystem::exists(folder / "checkpoint.safetensors")) return;
  }
  FAIL("no checkpoint in 30 s");
}

}  // namespace

TEST_CASE("Killed at any moment and run again, a run ends in the same bytes") {
  const TemporaryFolder folder;
  const auto begin = std::chrono::steady_clock::now();
  const std::string expected = uninterrupted(folder / "whole");
  const std::chrono::duration<double, std::milli> whole = std::chrono::steady_clock::now() - begin;
  int kills = 0;
  for (int attempt = 0; attempt < 200; ++attempt) {
    Process process(table1, arguments(folder / "killed"), folder / "output");
    sleep_ms(int(whole.count() * 0.02 * (attempt + 1)));  // ever later, so that it gets on
    process.signal(SIGKILL);
    const int status = process.wait();
    REQUIRE((status == -SIGKILL || status == 0));
    if (status == 0) break;
    ++kills;
  }
  CHECK(kills > 3);
  CHECK(run_program(table1, arguments(folder / "killed")).status == 0);
  CHECK(results(folder / "killed") == expected);
}

TEST_CASE("SIGINT saves and exits 130, SIGTERM 143, and the run goes on") {
  const TemporaryFolder folder;
  const std::string epochs = "20";
  const std::string expected = uninterrupted(folder / "whole", epochs);
  for (const auto& [signal, status] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    const auto out = folder / std::to_string(signal);
    Process process(table1, arguments(out, epochs), folder / "output");
    await_checkpoint(out);
    process.signal(signal);
    const int left = process.wait();
    INFO(process.err());
    CHECK(left == status);
    CHECK(process.err().find("interrupted and saved") != std::string::npos);
    CHECK(process.out().find("not finished") != std::string::npos);
    CHECK(!std::filesystem::exists(run_folder(out) / "result.json"));
    CHECK(run_program(table1, arguments(out, epochs)).status == 0);
    CHECK(results(out) == expected);
  }
}

TEST_CASE("After one signal a program may go on, a second one ends it at once") {
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // a computation that never asks
    ::alarm(10);     // should no signal end it
    const experiments::Interrupt interrupt;
    if (::write(ready[1], "r", 1) != 1) ::_exit(99);
    for (;;) sleep_ms(1000);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  int status = 0;
  ::kill(child, SIGTERM);
  sleep_ms(300);
  CHECK(::waitpid(child, &status, WNOHANG) == 0);
  ::kill(child, SIGINT);
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 128 + SIGINT);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("Two processes share a sweep: each cell is trained once") {
  const TemporaryFolder folder;
  const std::string expected = uninterrupted(folder / "whole");
  Process one(table1, arguments(folder / "shared"), folder / "one");
  Process two(table1, arguments(folder / "shared"), folder / "two");
  CHECK(one.wait() == 0);
  CHECK(two.wait() == 0);
  CHECK(results(folder / "shared") == expected);
  const std::string sessions = get(run_folder(folder / "shared") / "env.json");
  CHECK(sessions.find("started") == sessions.rfind("started"));
  CHECK(one.out() == two.out());
}
