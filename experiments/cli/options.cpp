// The command line of every experiment program.
#include <shatter/experiments/cli/options.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/version.h>
#include <shatter/experiments/train/cell.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {
namespace {

/// "60", "60s", "200steps", "1epoch".
std::string parse_interval(const std::string& word, CheckpointInterval& interval) {
  double amount = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, amount);
  const std::string unit(rest, end);
  const bool seconds = unit.empty() || unit == "s";
  const bool steps = unit == "step" || unit == "steps";
  const bool epochs = unit == "epoch" || unit == "epochs";
  const bool whole = amount >= 1 && amount < 1e15 &&
                     amount == static_cast<double>(static_cast<std::int64_t>(amount));
  if (error != std::errc() ||
      !(seconds ? amount >= 0 && amount < 1e15 : (steps || epochs) && whole)) {
    return "\"" + word + "\" is not an interval: write 60s, 200steps or 1epoch";
  }
  interval = {.seconds = seconds ? amount : 0};
  if (steps) interval.steps = static_cast<std::int64_t>(amount);
  if (epochs) interval.epochs = static_cast<std::int64_t>(amount);
  return {};
}

/// What every run can hold: a learning rate for each step, images in memory.
constexpr std::int64_t most_epochs = 100'000, most_images = 10'000'000;

/// "-1" would wrap around.
std::string seed_fault(const std::string& word) {
  const bool digits = !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
  return digits ? "" : word + " is not a whole number from 0 to 2^64 - 1";
}

/// NaN for what is no number; CLI::Range lets "nan" through.
double number_of(const std::string& word) {
  double value = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, value);
  return error == std::errc() && rest == end ? value : std::nan("");
}

std::string positive_fault(const std::string& word, double most) {
  const double value = number_of(word);
  const bool fits = value > 0 && value <= most;
  return fits ? "" : word + " is not a number above 0 and at most " + shortest(most);
}

std::string share_fault(const std::string& word) {
  const double value = number_of(word);
  return value >= 0 && value < 1 ? "" : word + " is not a number from 0 to below 1";
}

struct Parser {
  CLI::App app;
  Options options;
  std::string resume = "auto", interval;
  std::vector<std::string> sets;
  bool version = false;

  template <class T>
  CLI::Option* choice(const std::string& names, T& value, const std::map<std::string, T>& words,
                      const std::string& text) {
    return app
        .add_option_function<std::string>(
            names, [&value, words](const std::string& word) { value = words.at(word); }, text)
        ->check([words](const std::string& word) {
          return words.contains(word) ? "" : word + " is none of " + joined(words);
        })
        ->option_text(joined(words));
  }
  template <class T>
  static std::string joined(const std::map<std::string, T>& words) {
    std::string all;
    for (const auto& [word, value] : words) all += (all.empty() ? "" : "|") + word;
    return all;
  }
  /// An option that changes the rows, in Options::row_options.
  template <class T>
  CLI::Option* row_option(const std::string& name, const std::string& text) {
    return app.add_option_function<T>(
        name, [this, name](const T& value) { options.row_options[name] = value; }, text);
  }
  CLI::Option* number(const std::string& name, std::int64_t most, const std::string& text) {
    return row_option<std::int64_t>(name, text)
        ->check(CLI::Range(std::int64_t{1}, most).description(""))
        ->option_text("N");
  }
  CLI::Option* name(const std::string& option, const std::vector<std::string>& known,
                    const std::string& text) {
    std::string all;
    for (const std::string& word : known) all += (all.empty() ? "" : "|") + word;
    return row_option<std::string>(option, text)
        ->check(CLI::IsMember(known).description(""))
        ->option_text(all);
  }
  /// In [0, 1).
  CLI::Option* share(const std::string& name, const std::string& text) {
    return row_option<double>(name, text)->check(share_fault)->option_text("R");
  }
  CLI::Option* positive(const std::string& name, double most, const std::string& text) {
    return row_option<double>(name, text)
        ->check([most](const std::string& word) { return positive_fault(word, most); })
        ->option_text("R");
  }

  void add_what();
  void add_training(const std::string& group);
  void add_where();
  void add_how();
  void add_output();
};

void Parser::add_what() {
  const char* group = "What to run";
  app.add_option("--rows,--only", options.rows, "rows whose names match, comma separated")
      ->option_text(options.rows == "*" ? "GLOB" : "GLOB [" + options.rows + "]")
      ->group(group);
  app.add_flag("--quick", options.quick,
               "a small version of the whole table in minutes, marked quick")
      ->group(group);
  app.add_flag("--synthetic", options.synthetic, "drawn images: no data set needed")->group(group);
  app.add_option("--seed", options.seed, "the first seed [1]")
      ->check(seed_fault)
      ->option_text("S")
      ->group(group);
  app.add_option_function<int>(
         "--seeds", [this](int k) { options.seeds = k; },
         "runs per row, with seeds S, S+1, ... [3; quick: 1]")
      ->check(CLI::Range(1, 1000).description(""))
      ->option_text("K")
      ->group(group);
  number("--epochs", most_epochs, "epochs instead of the row's own")->group(group);
  number("--evaluate-every", most_epochs,
         "epochs between evaluations instead of the row's own; the last epoch always has one")
      ->group(group);
  number("--batch", most_images, "batch size instead of the row's own")->group(group);
  positive("--learning-rate", 1000, "first learning rate instead of the row's own")->group(group);
  positive("--learning-rate-decay", 1, "the rate's factor per epoch instead of the row's own")
      ->group(group);
  add_training(group);
  number("--train-size", most_images, "the first N training images, marked reduced")->group(group);
  number("--test-size", most_images, "the first N test images, marked reduced")->group(group);
  app.add_option("--set", sets, "change a parameter of the selected measurements, marked")
      ->option_text("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  app.add_flag("--dry-run", options.dry_run,
               "list cells, steps, bytes and estimated time; write nothing")
      ->group(group);
}

void Parser::add_training(const std::string& group) {
  name("--optimizer", optimizers(), "optimizer instead of the row's own")->group(group);
  std::vector<std::string> known = schedules();
  known.insert(known.begin(), "constant");
  name("--schedule", known,
       "of the rate; step: a tenth after half and three quarters of the epochs")
      ->group(group);
  number("--warm-up", most_epochs, "epochs in which the rate rises, before that")->group(group);
  share("--momentum", "of sgd and rmsprop, instead of the row's own; the others have none")
      ->group(group);
  share("--weight-decay", "instead of the row's own; in a --report no row has such a run")
      ->group(group);
}

void Parser::add_where() {
  const char* group = "Where";
  app.add_option("--data", options.data, "folder of the data sets [$SHATTER_DATA, else datasets]")
      ->option_text("DIR")
      ->group(group);
  app.add_option("--out", options.out, "runs/ and reports/ go below it [.]")
      ->option_text("DIR")
      ->group(group);
  app.add_option("--keep", options.keep,
                 "kept results: cells found there count as done, finished ones are added")
      ->option_text("DIR")
      ->group(group);
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:k [auto]")
      ->option_text("DEVICE")
      ->group(group);
}

void Parser::add_how() {
  const char* group = "How";
  app.add_option("--precision", options.precision,
                 "fp32, bf16, on a CPU fp32-winograd, on a GPU tf32 [fp32]")
      ->check(CLI::IsMember({"fp32", "fp32-winograd", "tf32", "bf16"}).description(""))
      ->option_text("P")
      ->group(group);
  app.add_flag("--autotune", options.autotune,
               "on a GPU measure cuDNN's plans and take the fastest; a run of its own")
      ->group(group);
  app.add_option("--threads", options.threads, "CPU threads in all [all usable cores]")
      ->check(CLI::Range(0, 4096).description(""))
      ->option_text("N")
      ->group(group);
  app.add_option("--jobs", options.jobs, "cells trained at once, sharing the threads [1]")
      ->check(CLI::Range(1, 1024).description(""))
      ->option_text("N")
      ->group(group);
  app.add_option("--resume", resume, "auto goes on where a run stopped; never starts afresh [auto]")
      ->check(CLI::IsMember({"auto", "never"}).description(""))
      ->option_text("auto|never")
      ->group(group);
  app.add_option("--checkpoint-every", interval, "60s, 200steps or 1epoch [60s]")
      ->option_text("T")
      ->group(group);
  app.add_flag("--fail-fast", options.fail_fast, "stop at the first failed cell")->group(group);
}

void Parser::add_output() {
  const char* group = "Output";
  choice<Format>("--format", options.format, formats(), "of the table on stdout [md]")
      ->group(group);
  choice<ProgressMode>("--progress", options.progress,
                       {{"auto", ProgressMode::automatic},
                        {"bar", ProgressMode::bar},
                        {"plain", ProgressMode::plain},
                        {"none", ProgressMode::none}},
                       "on stderr [auto: bar on a terminal, else plain]")
      ->group(group);
  app.add_flag("--profile", options.profile,
               "where the time went, by kernel, on stderr; a GPU's steps are not recorded")
      ->group(group);
  app.add_flag("--check", options.check, "exit 6 unless every row is in its accepted range")
      ->group(group);
  app.add_option("--report", options.report, "train nothing: tables of the results kept in DIR")
      ->option_text("DIR")
      ->group(group);
  app.add_option("--into", options.into, "with --report: replace the marked section of FILE")
      ->option_text("FILE")
      ->group(group);
  app.add_flag("--version", version, "library, commit, compiler and backends")->group(group);
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string unknown(const CLI::App& app, const std::string& word) {
  if (word.rfind("-", 0) != 0) return "unexpected argument " + word;
  const std::string name = word.substr(0, word.find('='));
  const std::string guess = nearest(name, option_names(app));
  return "unknown option " + name + (guess.empty() ? "" : "; did you mean " + guess + "?");
}

}  // namespace

ParsedOptions parse_options(const ProgramInfo& program, const std::vector<std::string>& arguments) {
  Parser parser{
      .app = CLI::App(program.summary, program.name), .options = {}, .interval = {}, .sets = {}};
  CLI::App& app = parser.app;
  app.set_help_flag("-h,--help", "this text")->group("Output");
  app.allow_extras();
  parser.options.rows = program.rows;
  parser.add_what();
  parser.add_where();
  parser.add_how();
  parser.add_output();
  std::string footer;
  const auto list = [&footer](const char* title, const std::vector<std::string>& lines) {
    if (!lines.empty()) footer += text("\n", title, ":");
    for (const std::string& line : lines) footer += "\n  " + line;
  };
  list("Rows", program.row_names);
  list("Examples", program.examples);
  app.footer(footer);

  const auto refuse = [&](const std::string& why) {
    return ParsedOptions{
        {}, exit_usage, program.name + ": " + why + "\nSee " + program.name + " --help\n"};
  };
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return {{}, exit_done, app.help()};
  } catch (const CLI::Error& error) {
    for (const std::string& word : app.remaining()) {
      if (word.rfind("--", 0) == 0) return refuse(unknown(app, word));
    }
    return refuse(error.what());
  }
  if (!app.remaining().empty()) return refuse(unknown(app, app.remaining().front()));
  if (parser.version) return {{}, exit_done, version_text(program.name)};
  Options& options = parser.options;
  options.resume = parser.resume == "auto";
  if (!parser.interval.empty()) {
    const std::string fault = parse_interval(parser.interval, options.checkpoint_every);
    if (!fault.empty()) return refuse("--checkpoint-every: " + fault);
  }
  for (const std::string& word : parser.sets) {
    const std::size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos)
      return refuse("--set " + word + ": write KEY=VALUE");
    options.set.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  if (!options.into.empty() && options.report.empty()) return refuse("--into goes with --report");
  return {options, std::nullopt, {}};
}

}  // namespace shatter::experiments
