// Statistics and judgements of rows, and their rendering.
#include <shatter/experiments/report/table.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include <shatter/core/text.h>
#include <shatter/experiments/train/cell.h>

namespace shatter::experiments {

using nlohmann::json;
using Outcome = Judgement::Outcome;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

/// Runs without a finite value of the quantity: those never came to it.
int censored(const RowReport& report, const Quantity& quantity) {
  return static_cast<int>(report.runs.size()) - report.sample(quantity).n;
}

bool random_labels(const json& cell) {
  return cell["data"]["corruption"]["kind"] == data::corruption::random_labels().name;
}

double mean_epochs(const RowReport& report) {
  double sum = 0;
  for (const auto* runs : {&report.runs, &report.diverged}) {
    for (const Result& run : *runs) sum += run.number("epochs");
  }
  return sum / static_cast<double>(report.runs.size() + report.diverged.size());
}

std::string range_text(const Quantity& quantity, const std::optional<Interval>& range) {
  if (!range) return "-";
  const std::string low = printed(quantity, range->low), high = printed(quantity, range->high);
  if (range->low == range->high) return low;
  if (range->high == infinite) return "≥ " + low;
  if (range->low == -infinite) return "≤ " + high;
  return low + " to " + high;
}

std::string difference(const RowReport& report, const Quantity& quantity, const Sample& sample) {
  if (!quantity.paper || sample.n == 0 || !report.mark.empty()) return "-";
  const double value = sample.mean - *quantity.paper;
  return (value >= 0 ? "+" : "") + printed(quantity, value);
}

std::string of_wanted(std::size_t done, int wanted) {
  const bool all = static_cast<int>(done) >= wanted;
  return std::to_string(done) + (all ? "" : " of " + std::to_string(wanted));
}

std::string seeds_text(const RowReport& report) {
  if (report.seeded) return of_wanted(report.runs.size(), report.wanted);
  return report.runs.empty() ? "0 of 1" : "-";
}

std::string time_text(const RowReport& report) {
  return report.runs.empty() && report.diverged.empty() ? "-" : duration(report.median_seconds());
}

std::string yes(bool value) {
  return value ? "yes" : "no";
}

/// Whether any quantity has the paper's number or a range to be in.
bool is_judged(const Table& table) {
  return std::ranges::any_of(table.rows, [](const RowReport& report) {
    return std::ranges::any_of(report.quantities, [](const Quantity& quantity) {
      return quantity.paper || quantity.accepted || quantity.quick;
    });
  });
}

TextTable quantities_table(const Table& table, const char* plus_minus) {
  TextTable text{.title = table.title,
                 .columns = {"row", "quantity", "ours", "paper", "difference", "accepted",
                             "verdict", "seeds", "time"},
                 .rows = {},
                 .footer = table.footer};
  const bool judged = is_judged(table);
  if (!judged) text.columns = {"row", "quantity", "mean", "remarks", "seeds", "time"};
  for (const RowReport& report : table.rows) {
    for (const Quantity& quantity : report.quantities) {
      const Sample sample = report.sample(quantity);
      std::vector<std::string> line{report.title, quantity.title,
                                    printed(quantity, sample, plus_minus)};
      if (judged) {
        line.push_back(quantity.paper ? printed(quantity, *quantity.paper) : "-");
        line.push_back(difference(report, quantity, sample));
        line.push_back(
            range_text(quantity, report.mark.empty() ? quantity.accepted : quantity.quick));
      }
      for (const std::string& word :
           {report.judgement(quantity).text(), seeds_text(report), time_text(report)})
        line.push_back(word);
      text.rows.push_back(std::move(line));
    }
  }
  return text;
}

TextTable quantities_csv(const Table& table) {
  TextTable text{
      .title = {},
      .columns = {"table", "row", "quantity", "mark", "mean", "deviation", "half_width_95", "n",
                  "paper", "accepted_low", "accepted_high", "judgement", "seconds"},
      .rows = {},
      .footer = {}};
  const auto plain = [](double value) { return std::isfinite(value) ? json(value).dump() : ""; };
  for (const RowReport& report : table.rows) {
    for (const Quantity& quantity : report.quantities) {
      const Sample sample = report.sample(quantity);
      const auto& range = report.mark.empty() ? quantity.accepted : quantity.quick;
      text.rows.push_back({table.title, report.name, quantity.name, report.mark, plain(sample.mean),
                           plain(sample.deviation), plain(sample.half_width),
                           std::to_string(sample.n), quantity.paper ? plain(*quantity.paper) : "",
                           range ? plain(range->low) : "", range ? plain(range->high) : "",
                           report.judgement(quantity).text(), plain(report.median_seconds())});
    }
  }
  return text;
}

TextTable accuracies_table(const Table& table, const char* plus_minus) {
  TextTable text{
      .title = table.title,
      .columns = {"model", "crop", "wd", "labels", "train", "paper", "test", "paper", "difference",
                  "verdict", "images", "batch", "rate", "epochs", "seeds", "time"},
      .rows = {},
      .footer = table.footer};
  for (const RowReport& report : table.rows) {
    const json &data = report.parameters["data"], &optimizer = report.parameters["optimizer"];
    const bool drawn = data["name"] == "synthetic";  // the paper has no such images
    const auto paper = [&](const Quantity& quantity) {
      return drawn || !quantity.paper ? "-" : printed(quantity, *quantity.paper);
    };
    const Quantity &train = report.quantities.at(0), &test = report.quantities.at(1);
    const Sample tested = report.sample(test);
    const std::size_t done = report.runs.size() + report.diverged.size();
    text.rows.push_back({report.title, yes(data["random_crop"]), yes(optimizer["weight_decay"] > 0),
                         random_labels(report.parameters) ? "random" : "true",
                         printed(train, report.sample(train), plus_minus), paper(train),
                         printed(test, tested, plus_minus), paper(test),
                         difference(report, test, tested), report.judgement().text(),
                         grouped(data["train_size"]), optimizer["batch"].dump(),
                         shortest(optimizer["learning_rate"]),
                         done == 0 ? "-" : shortest(std::round(10 * mean_epochs(report)) / 10),
                         of_wanted(done, report.wanted), time_text(report)});
  }
  return text;
}

TextTable accuracies_csv(const Table& table) {
  TextTable text{.title = {},
                 .columns = {"row",           "model",      "crop",           "weight_decay",
                             "random_labels", "mark",       "train_mean",     "train_deviation",
                             "train_paper",   "test_mean",  "test_deviation", "test_half_width_95",
                             "test_paper",    "difference", "judgement",      "train_size",
                             "test_size",     "batch",      "learning_rate",  "epochs",
                             "seeds",         "diverged",   "seconds"},
                 .rows = {},
                 .footer = {}};
  const auto plain = [](double value) { return std::isfinite(value) ? fixed(value, 4) : ""; };
  const auto paper = [](const Quantity& quantity) {
    return quantity.paper ? fixed(*quantity.paper) : "";
  };
  for (const RowReport& report : table.rows) {
    const json &data = report.parameters["data"], &optimizer = report.parameters["optimizer"];
    const Quantity &train = report.quantities.at(0), &test = report.quantities.at(1);
    const Sample trained = report.sample(train), tested = report.sample(test);
    const bool comparable = report.mark.empty() && test.paper;
    text.rows.push_back({report.name,
                         report.title,
                         yes(data["random_crop"]),
                         yes(optimizer["weight_decay"] > 0),
                         yes(random_labels(report.parameters)),
                         report.mark,
                         plain(trained.mean),
                         plain(trained.deviation),
                         paper(train),
                         plain(tested.mean),
                         plain(tested.deviation),
                         plain(tested.half_width),
                         paper(test),
                         comparable ? plain(tested.mean - *test.paper) : "",
                         report.judgement().text(),
                         data["train_size"].dump(),
                         data["test_size"].dump(),
                         optimizer["batch"].dump(),
                         shortest(optimizer["learning_rate"]),
                         plain(mean_epochs(report)),
                         std::to_string(report.runs.size() + report.diverged.size()),
                         std::to_string(report.diverged.size()),
                         plain(report.median_seconds())});
  }
  return text;
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json range_json(const std::optional<Interval>& range) {
  return range ? json{number(range->low), number(range->high)} : json(nullptr);
}

json run_json(const Result& run) {
  return {{"seed", run.config.value("seed", json(nullptr))},
          {"hash", hash8(run.config)},
          {"numbers", run.numbers},
          {"seconds", run.seconds}};
}

json report_json(const RowReport& report) {
  json row = {{"row", report.name},
              {"title", report.title},
              {"mark", report.mark},
              {"parameters", report.parameters},
              {"judgement", report.judgement().text()},
              {"accepted", report.accepted()},
              {"seeds_wanted", report.wanted},
              {"notes", report.notes},
              {"diverged", report.diverged.size()},
              {"seconds", report.median_seconds()},
              {"quantities", json::array()},
              {"runs", json::array()}};
  for (const Quantity& quantity : report.quantities) {
    const Sample sample = report.sample(quantity);
    const Judgement judgement = report.judgement(quantity);
    row["quantities"].push_back({{"name", quantity.name},
                                 {"title", quantity.title},
                                 {"n", sample.n},
                                 {"mean", number(sample.mean)},
                                 {"deviation", number(sample.deviation)},
                                 {"half_width_95", number(sample.half_width)},
                                 {"paper", quantity.paper ? json(*quantity.paper) : json(nullptr)},
                                 {"accepted_range", range_json(quantity.accepted)},
                                 {"quick_range", range_json(quantity.quick)},
                                 {"judgement", judgement.text()},
                                 {"accepted", judgement.accepted()}});
  }
  for (const Result& run : report.runs) row["runs"].push_back(run_json(run));
  return row;
}

}  // namespace

void RowReport::note(const std::string& text) {
  if (std::ranges::find(notes, text) == notes.end()) notes.push_back(text);
}

Sample RowReport::sample(const Quantity& quantity) const {
  std::vector<double> values;
  for (const Result& run : runs) {
    const json value = run.numbers.value(quantity.name, json(nullptr));
    if (value.is_number() && std::isfinite(value.get<double>()))
      values.push_back(value.get<double>());
  }
  return summarize(values);
}

std::vector<Origin> RowReport::origins() const {
  std::vector<Origin> all;
  for (const auto* results : {&runs, &diverged}) {
    for (const Result& run : *results) all.push_back(run.origin);
  }
  return all;
}

double RowReport::median_seconds() const {
  std::vector<double> seconds;
  for (const Result& run : runs.empty() ? diverged : runs) seconds.push_back(run.seconds);
  return median(std::move(seconds));
}

Judgement RowReport::judgement(const Quantity& quantity) const {
  Judgement result = judge(quantity, sample(quantity), mark, seeded);
  result.notes = notes;
  const int never = censored(*this, quantity);
  if (!diverged.empty()) result.notes.push_back(std::to_string(diverged.size()) + " diverged");
  if (never > 0) result.notes.push_back(std::to_string(never) + " censored");
  if (!diverged.empty() && mark.empty() && quantity.accepted) {
    const bool few = runs.size() + diverged.size() < 3;
    result.outcome = few ? Outcome::inconclusive : Outcome::not_reproduced;
  } else if (!diverged.empty() || never > 0 || runs.empty()) {
    result.outcome = Outcome::incomplete;
  }
  return result;
}

Judgement RowReport::judgement() const {
  if (classes && !mark.empty() && !runs.empty() && diverged.empty()) {
    const Sample train = sample(quantities.at(0)), test = sample(quantities.at(1));
    Judgement result = judge(FitCheck{.random_labels = random_labels(parameters),
                                      .train = train.mean,
                                      .test = test.mean,
                                      .test_size = parameters["data"]["test_size"],
                                      .seeds = test.n,
                                      .classes = *classes},
                             mark);
    result.notes = notes;
    return result;
  }
  // The first of these that any quantity has.
  constexpr Outcome order[] = {Outcome::incomplete,     Outcome::inconclusive,
                               Outcome::not_reproduced, Outcome::not_as_expected,
                               Outcome::reproduced,     Outcome::as_expected};
  Judgement result{.mark = mark, .notes = notes};
  for (const Outcome outcome : order) {
    for (const Quantity& quantity : quantities) {
      Judgement one = judgement(quantity);
      if (one.outcome == outcome) return one;
    }
  }
  return result;
}

bool RowReport::accepted() const {
  return static_cast<int>(runs.size()) >= wanted && judgement().accepted();
}

std::string render(const Table& table, Format format) {
  if (format == Format::json) {
    json object = {{"title", table.title}, {"footer", table.footer}, {"rows", json::array()}};
    for (const RowReport& row : table.rows) object["rows"].push_back(report_json(row));
    return object.dump(2) + "\n";
  }
  const bool numbers = format == Format::csv;  // for programs, not for readers
  if (table.layout == Table::Layout::accuracies)
    return text_of(numbers ? accuracies_csv(table) : accuracies_table(table, plus_minus(format)),
                   format, "llllrrrrrlrrrrrl");
  return text_of(numbers ? quantities_csv(table) : quantities_table(table, plus_minus(format)),
                 format, is_judged(table) ? "llrrrrlrr" : "llrlrr");
}

bool accepted(const Table& table, Progress& progress) {
  const bool accuracies = table.layout == Table::Layout::accuracies;
  bool all = true, any = false;
  for (const RowReport& report : table.rows) {
    all = all && report.accepted();
    if (accuracies) {
      any = true;
      if (!report.accepted())
        progress.say("check: " + report.name + ": " + report.judgement().text());
      continue;
    }
    for (const Quantity& quantity : report.quantities) {
      any = any || (report.mark.empty() ? quantity.accepted : quantity.quick);
      const Judgement judgement = report.judgement(quantity);
      if (judgement.accepted()) continue;
      progress.say("check: " + report.name + ": " + quantity.title + ": " + judgement.text());
    }
  }
  if (!any) progress.say("check: nothing here has an accepted range");
  return all && any;
}

std::vector<Origin> origins(const std::vector<RowReport>& rows) {
  std::vector<Origin> all;
  for (const RowReport& report : rows) {
    for (Origin& origin : report.origins()) all.push_back(std::move(origin));
  }
  return all;
}

std::vector<std::string> footer(const std::vector<RowReport>& rows,
                                const std::vector<std::string>& commands) {
  std::set<std::string> commits, devices, precisions, sources, provenances;
  for (const RowReport& report : rows) {
    precisions.insert(report.precision);
    for (const Origin& origin : report.origins()) {
      commits.insert(origin.commit);
      devices.insert(
          text(origin.device, ", ", origin.threads, origin.threads == 1 ? " thread" : " threads"));
      sources.insert(origin.data);
      if (!origin.provenance.empty()) provenances.insert(origin.provenance);
    }
  }
  if (commits.empty()) commits.insert(build_info().commit);  // nothing has finished
  std::vector<std::string> lines = {"commit: " + joined(commits, "; ")};
  if (!devices.empty()) lines.push_back("device: " + joined(devices, "; "));
  lines.push_back("precision: " + joined(precisions, "; "));
  if (!sources.empty()) lines.push_back("data: " + joined(sources, "; "));
  for (const std::string& provenance : provenances) {
    std::string line = provenance;
    while (!line.empty() && line.back() == '\n') line.pop_back();
    std::replace(line.begin(), line.end(), '\n', ' ');
    lines.push_back("provenance: \"" + line + "\"");
  }
  std::string repeat;
  for (const std::string& command : commands) {
    repeat += (repeat.empty() ? "repeat: `" : ", `") + command + "`";
  }
  lines.push_back(repeat);
  return lines;
}

std::vector<std::string> other_builds(const std::vector<Origin>& results) {
  const auto others = std::count_if(results.begin(), results.end(), [](const Origin& result) {
    return result.executable != executable_id();
  });
  if (others == 0) return {};
  return {text("stored by another build of this program: ", others, " of ", results.size(),
               " results; `--resume never` computes them afresh")};
}

}  // namespace shatter::experiments
