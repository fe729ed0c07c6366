// The command line: words to options, and what is refused how.
#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/cli/options.h>

#include "tests/support/catch.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

ParsedOptions parse(const std::vector<std::string>& arguments) {
  return parse_options({"table1", "A table.", {"table1 --one", "table1 --two", "table1 --three"}},
                       arguments);
}

void refused(const std::vector<std::string>& arguments, const std::string& why) {
  const ParsedOptions parsed = parse(arguments);
  INFO(parsed.text);
  REQUIRE(parsed.exit_code == std::optional<int>(exit_usage));
  CHECK(parsed.text.find(why) != std::string::npos);
}

}  // namespace

TEST_CASE("No arguments mean the defaults") {
  const ParsedOptions parsed = parse({});
  REQUIRE(!parsed.exit_code);
  const Options& o = parsed.options;
  CHECK(o.data.empty());
  CHECK(o.out == ".");
  CHECK(o.device == "auto");
  CHECK(o.precision == "fp32");
  CHECK(o.seed == 1);
  CHECK(!o.seeds);
  CHECK(o.row_options.empty());
  CHECK(o.rows == "*");
  CHECK(o.resume);
  CHECK(o.checkpoint_every.seconds == 60);
  CHECK(o.format == Format::markdown);
  CHECK(o.progress == ProgressMode::automatic);
  CHECK(!(o.quick || o.synthetic || o.dry_run || o.check || o.fail_fast || o.profile));
  CHECK(!o.autotune);
}

TEST_CASE("Every option reaches its member") {
  const ParsedOptions parsed = parse({"--data",
                                      "d",
                                      "--out=o",
                                      "--device",
                                      "cuda:1",
                                      "--precision",
                                      "bf16",
                                      "--autotune",
                                      "--threads",
                                      "3",
                                      "--seed",
                                      "18446744073709551615",
                                      "--seeds",
                                      "5",
                                      "--epochs",
                                      "7",
                                      "--evaluate-every",
                                      "3",
                                      "--batch",
                                      "64",
                                      "--learning-rate",
                                      "0.025",
                                      "--learning-rate-decay",
                                      "0.99",
                                      "--optimizer",
                                      "adamw",
                                      "--schedule",
                                      "cosine",
                                      "--warm-up",
                                      "2",
                                      "--momentum",
                                      "0",
                                      "--weight-decay",
                                      "0.01",
                                      "--train-size",
                                      "1000",
                                      "--test-size",
                                      "100",
                                      "--only",
                                      "mlp-*,*/random",
                                      "--quick",
                                      "--synthetic",
                                      "--resume",
                                      "never",
                                      "--checkpoint-every",
                                      "200steps",
                                      "--jobs",
                                      "2",
                                      "--dry-run",
                                      "--format",
                                      "latex",
                                      "--check",
                                      "--progress",
                                      "plain",
                                      "--fail-fast",
                                      "--profile",
                                      "--keep",
                                      "k",
                                      "--report",
                                      "r",
                                      "--into",
                                      "f"});
  INFO(parsed.text);
  REQUIRE(!parsed.exit_code);
  const Options& o = parsed.options;
  CHECK(o.data == "d");
  CHECK(o.out == "o");
  CHECK(o.device == "cuda:1");
  CHECK(o.precision == "bf16");
  CHECK(o.autotune);
  CHECK(o.threads == 3);
  CHECK(o.seed == 18446744073709551615u);
  CHECK(o.seeds == 5);
  CHECK(o.row_options["--epochs"] == 7);
  CHECK(o.row_options["--evaluate-every"] == 3);
  CHECK(o.row_options["--batch"] == 64);
  CHECK(o.row_options["--learning-rate"] == 0.025);
  CHECK(o.row_options["--learning-rate-decay"] == 0.99);
  CHECK(o.row_options["--optimizer"] == "adamw");
  CHECK(o.row_options["--schedule"] == "cosine");
  CHECK(o.row_options["--warm-up"] == 2);
  CHECK(o.row_options["--momentum"] == 0.0);
  CHECK(o.row_options["--weight-decay"] == 0.01);
  CHECK(o.row_options["--train-size"] == 1000);
  CHECK(o.row_options["--test-size"] == 100);
  CHECK(o.rows == "mlp-*,*/random");
  CHECK((o.quick && o.synthetic && o.dry_run && o.check && o.fail_fast && o.profile));
  CHECK(!o.resume);
  CHECK(o.checkpoint_every.steps == 200);
  CHECK(o.checkpoint_every.seconds == 0);
  CHECK(o.jobs == 2);
  CHECK(o.format == Format::latex);
  CHECK(o.progress == ProgressMode::plain);
  CHECK(o.keep == "k");
  CHECK(o.report == "r");
  CHECK(o.into == "f");
}

TEST_CASE("Checkpoint intervals have three units") {
  CHECK(parse({"--checkpoint-every", "2.5"}).options.checkpoint_every.seconds == 2.5);
  CHECK(parse({"--checkpoint-every", "30s"}).options.checkpoint_every.seconds == 30);
  CHECK(parse({"--checkpoint-every", "1epoch"}).options.checkpoint_every.epochs == 1);
  for (const char* word : {"x", "5 apples", "-1s", "0steps", "1.5epochs", "nan", "1e300steps"}) {
    refused({"--checkpoint-every", word}, "write 60s, 200steps or 1epoch");
  }
}

TEST_CASE("What cannot be is refused with exit code 2 and a hint") {
  refused({"--epoch", "3"}, "unknown option --epoch; did you mean --epochs?");
  refused({"--trainsize=3"}, "did you mean --train-size?");
  refused({"--qiuck"}, "did you mean --quick?");
  refused({"--xyzzy-plugh"}, "unknown option --xyzzy-plugh\n");
  refused({"stray"}, "unexpected argument stray");
  refused({"--epochs"}, "--epochs");
  refused({"--epochs", "many"}, "--epochs");
  refused({"--epochs", "0"}, "--epochs: Value 0 not in range");
  refused({"--epochs", "99999999999999999999"}, "--epochs");
  refused({"--train-size", "99999999999"}, "--train-size");
  refused({"--seed", "-1"}, "-1 is not a whole number from 0");
  refused({"--seeds", "0"}, "--seeds");
  refused({"--batch", "-1"}, "--batch");
  for (const char* rate : {"0", "-0.1", "nan", "inf", "1e4"}) {
    refused({"--learning-rate", rate}, "--learning-rate");
  }
  refused({"--learning-rate-decay", "1.01"}, "1.01 is not a number above 0 and at most 1");
  refused({"--optimizer", "adagrad"}, "--optimizer: adagrad not in");
  refused({"--schedule", "linear"}, "--schedule: linear not in");
  refused({"--warm-up", "-1"}, "--warm-up");
  for (const char* share : {"1", "-0.1", "nan", ""}) refused({"--momentum", share}, "--momentum");
  refused({"--weight-decay", "2"}, "2 is not a number from 0 to below 1");
  refused({"--format", "html"}, "--format: html is none of csv|json|latex|md");
  refused({"--format", "2"}, "2 is none of");
  refused({"--progress", "loud"}, "--progress");
  refused({"--precision", "fp8"}, "--precision");
  refused({"--resume", "maybe"}, "--resume");
  refused({"--into", "x.md"}, "--into goes with --report");
}

TEST_CASE("Help ends with three examples and is grouped, version names the commit") {
  const ParsedOptions help = parse({"--help"});
  REQUIRE(help.exit_code == std::optional<int>(0));
  for (const char* part : {"What to run:", "Where:", "How:", "Output:", "--checkpoint-every"}) {
    CHECK(help.text.find(part) != std::string::npos);
  }
  CHECK(help.text.find("Examples:\n  table1 --one\n  table1 --two\n  table1 --three\n") !=
        std::string::npos);
  const ParsedOptions version = parse({"--version"});
  REQUIRE(version.exit_code == std::optional<int>(0));
  for (const char* part : {"shatter ", "commit ", "compiler ", "backends "}) {
    CHECK(version.text.find(part) != std::string::npos);
  }
}

TEST_CASE("Help lists the rows, and no examples where there are none") {
  const ParsedOptions help = parse_options(
      {.name = "own", .summary = "Mine.", .examples = {}, .row_names = {"a/b", "c"}}, {"--help"});
  CHECK(help.text.find("Rows:\n  a/b\n  c") != std::string::npos);
  CHECK(help.text.find("Examples") == std::string::npos);
}

TEST_CASE("Rows that match nothing are answered by the nearest ones") {
  const std::vector<std::string> names = {"mlp-1x512/random", "mlp-1x512/none", "alexnet/random"};
  struct Named {
    std::string name;
  };
  const std::vector<Named> rows = {{names[0]}, {names[1]}, {names[2]}};
  CHECK(matching_rows(rows, "mlp-*").size() == 2);
  CHECK_THROWS_WITH(matching_rows(rows, "vgg"), Contains("--rows vgg matches none of:"));
  CHECK_THROWS_WITH(check_matched(names, "mpl-*"),
                    Contains("--rows mpl-* matches none of:\n  mlp-1x512/random") &&
                        Contains("did you mean mlp-*?"));
  CHECK_THROWS_WITH(check_matched(names, "alexnet/radnom"),
                    Contains("did you mean alexnet/random?"));
  CHECK_THROWS_WITH(check_matched(names, "vgg"), !Contains("did you mean"));
}

TEST_CASE("Globs match whole row names, any of several") {
  CHECK(matches("mlp-1x512/random", "*"));
  CHECK(matches("mlp-1x512/random", "mlp-*"));
  CHECK(matches("mlp-1x512/random", "alexnet/*,*/random"));
  CHECK(!matches("mlp-1x512/random", "mlp"));
  CHECK(!matches("mlp-1x512/random", ""));
  CHECK(matches("inception/crop+wd", "inception/crop+wd"));
}

TEST_CASE("The nearest word is found only when near") {
  CHECK(nearest("--sede", {"--seed", "--seeds", "--quick"}) == "--seed");
  CHECK(nearest("--sedes", {"--seed", "--seeds", "--quick"}) == "--seeds");
  CHECK(nearest("--zzzzzzz", {"--seed", "--quick"}).empty());
}

TEST_CASE("A command line can be pasted into a shell") {
  CHECK(command_line("table1", {"--rows", "mlp-*", "--out=a b", "it's", ""}) ==
        "table1 --rows 'mlp-*' '--out=a b' 'it'\\''s' ''");
}

TEST_CASE("Exit codes: one kind of failure keeps its own, several make 6") {
  CHECK(exit_code(std::vector<ErrorKind>{}) == 0);
  CHECK(exit_code({ErrorKind::diverged, ErrorKind::diverged}) == 5);
  CHECK(exit_code({ErrorKind::data}) == 3);
  CHECK(exit_code({ErrorKind::data, ErrorKind::diverged}) == 6);
  CHECK(exit_code(ErrorKind::unexpected) == 1);
  CHECK(exit_code(ErrorKind::usage) == 2);
  CHECK(exit_code(ErrorKind::device) == 4);
}
