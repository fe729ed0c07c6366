// Statistics of rows, and tables as Markdown, CSV, JSON and LaTeX.
#include <shatter/core/text.h>
#include <shatter/experiments/report/table.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/progress.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

std::string signed_fixed(double value) {
  return (value >= 0 ? "+" : "") + fixed(value);
}

bool same_size(const CellConfig& a, const CellConfig& b) {
  return a.dataset.train_size == b.dataset.train_size &&
         a.dataset.test_size == b.dataset.test_size && a.epochs == b.epochs && a.batch == b.batch &&
         a.learning_rate == b.learning_rate && a.learning_rate_decay == b.learning_rate_decay &&
         a.optimizer == b.optimizer && a.schedule == b.schedule && a.warm_up == b.warm_up &&
         a.momentum == b.momentum && a.weight_decay == b.weight_decay && a.stop == b.stop;
}

std::string yes(bool value) {
  return value ? "yes" : "no";
}

/// One row's cells, in the order of `columns`.
std::vector<std::string> columns() {
  return {"model",      "crop",    "wd",     "labels", "train", "paper",  "test",  "paper",
          "difference", "verdict", "images", "batch",  "rate",  "epochs", "seeds", "time"};
}

std::vector<std::string> entries(const RowReport& r, const char* plus_minus) {
  const bool any = r.test.n > 0;
  const bool comparable = any && r.mark.empty();
  const bool synthetic = r.config.dataset.name == "synthetic";  // the paper has no such images
  return {
      r.row.model,
      yes(r.row.random_crop),
      yes(r.config.weight_decay > 0),
      r.row.random_labels ? "random" : "true",
      mean_and_deviation(r.train, plus_minus),
      synthetic ? "-" : fixed(r.row.paper.train),
      mean_and_deviation(r.test, plus_minus),
      synthetic ? "-" : fixed(r.row.paper.test),
      comparable ? signed_fixed(r.test.mean - r.row.paper.test) : "-",
      r.judgement(),
      grouped(r.config.dataset.train_size),
      std::to_string(r.config.batch),
      shortest(r.config.learning_rate),
      r.cells.empty() ? "-" : shortest(std::round(10 * r.epochs) / 10),
      std::to_string(r.cells.size()) +
          (static_cast<int>(r.cells.size()) < r.wanted ? " of " + std::to_string(r.wanted) : ""),
      r.cells.empty() ? "-" : duration(r.seconds)};
}

TextTable text_table(const Table& table, const char* plus_minus) {
  TextTable text{.title = table.title, .columns = columns(), .rows = {}, .footer = table.footer};
  for (const RowReport& row : table.rows) text.rows.push_back(entries(row, plus_minus));
  return text;
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json sample_json(const Sample& sample) {
  return {{"n", sample.n},
          {"mean", number(sample.mean)},
          {"deviation", number(sample.deviation)},
          {"half_width_95", number(sample.half_width)}};
}

json row_json(const RowReport& r) {
  json row = {{"row", r.row.name},
              {"model", r.row.model},
              {"random_crop", r.row.random_crop},
              {"weight_decay", r.config.weight_decay > 0},
              {"random_labels", r.row.random_labels},
              {"mark", r.mark},
              {"train", sample_json(r.train)},
              {"test", sample_json(r.test)},
              {"paper",
               {{"train", r.row.paper.train},
                {"test", r.row.paper.test},
                {"target", r.row.paper.target},
                {"tolerance", r.row.paper.tolerance},
                {"train_least", r.row.paper.train_least}}},
              {"judgement", r.judgement()},
              {"accepted", r.accepted()},
              {"diverged", r.diverged},
              {"seeds_wanted", r.wanted},
              {"notes", r.notes},
              {"train_size", r.config.dataset.train_size},
              {"test_size", r.config.dataset.test_size},
              {"batch", r.config.batch},
              {"learning_rate", r.config.learning_rate},
              {"epochs", r.epochs},
              {"seconds", r.seconds},
              {"runs", json::array()}};
  if (r.mark.empty()) row["verdict"] = name_of(r.verdict);
  for (const FinishedCell& cell : r.cells) {
    const auto& test = cell.result.test;
    const Interval interval = binomial_interval(test.correct, test.size);
    row["runs"].push_back({{"cell", folder_name(cell.config)},
                           {"seed", cell.config.seed},
                           {"diverged", cell.result.diverged},
                           {"train", 100 * cell.result.train.accuracy()},
                           {"test", 100 * test.accuracy()},
                           {"test_interval_95", {100 * interval.low, 100 * interval.high}},
                           {"epochs", cell.result.epochs}});
  }
  return row;
}

TextTable csv_table(const Table& table) {
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
  for (const RowReport& r : table.rows) {
    text.rows.push_back({r.row.name,
                         r.row.model,
                         yes(r.row.random_crop),
                         yes(r.config.weight_decay > 0),
                         yes(r.row.random_labels),
                         r.mark,
                         plain(r.train.mean),
                         plain(r.train.deviation),
                         fixed(r.row.paper.train),
                         plain(r.test.mean),
                         plain(r.test.deviation),
                         plain(r.test.half_width),
                         fixed(r.row.paper.test),
                         r.mark.empty() ? plain(r.test.mean - r.row.paper.test) : "",
                         r.judgement(),
                         std::to_string(r.config.dataset.train_size),
                         std::to_string(r.config.dataset.test_size),
                         std::to_string(r.config.batch),
                         shortest(r.config.learning_rate),
                         plain(r.epochs),
                         std::to_string(r.cells.size()),
                         std::to_string(r.diverged),
                         plain(r.seconds)});
  }
  return text;
}

}  // namespace

std::string mean_and_deviation(const Sample& sample, const char* plus_minus) {
  if (sample.n == 0) return "-";
  return fixed(sample.mean) + (sample.n > 1 ? plus_minus + fixed(sample.deviation) : "");
}

std::string marks(const Row& row, const CellConfig& config) {
  std::string mark;
  const auto add = [&](const char* word) {
    mark += (mark.empty() ? "" : ", ") + std::string(word);
  };
  if (same_size(config, row.quick) && !same_size(config, row.full)) {
    add("quick");
  } else if (config.dataset.train_size < row.full.dataset.train_size ||
             config.dataset.test_size < row.full.dataset.test_size ||
             config.epochs < row.full.epochs) {
    add("reduced");
  } else if (!same_size(config, row.full)) {
    add("changed");
  }
  if (config.dataset.name == "synthetic") add("synthetic");
  return mark;
}

RowReport make_report(const Row& row, const CellConfig& config, std::vector<FinishedCell> cells,
                      std::vector<std::string> notes, int wanted) {
  RowReport report{.row = row,
                   .config = config,
                   .mark = marks(row, config),
                   .cells = std::move(cells),
                   .notes = std::move(notes),
                   .wanted = wanted,
                   .train = {},
                   .test = {},
                   .check = {}};
  std::vector<double> train, test, seconds;
  for (const FinishedCell& cell : report.cells) {
    const double share = 1.0 / static_cast<double>(report.cells.size());
    report.epochs += share * static_cast<double>(cell.result.epochs);
    seconds.push_back(cell.seconds);
    if (cell.result.diverged) {
      ++report.diverged;
      continue;
    }
    train.push_back(100 * cell.result.train.accuracy());
    test.push_back(100 * cell.result.test.accuracy());
  }
  report.seconds = median(std::move(seconds));
  report.train = summarize(train);
  report.test = summarize(test);
  report.verdict = verdict(report.train, report.test, report.diverged, row.paper);
  if (!report.cells.empty()) {
    report.check = own_check({.random_labels = row.random_labels,
                              .train = report.train.mean,
                              .test = report.test.mean,
                              .diverged = report.diverged,
                              .test_size = config.dataset.test_size,
                              .seeds = report.test.n});
  }
  return report;
}

std::string RowReport::judgement() const {
  std::string text = mark.empty() ? "" : mark + ": ";
  for (const std::string& note : notes) text += note + "; ";
  if (cells.empty()) return text.empty() ? "not run" : text.substr(0, text.size() - 2);
  if (diverged > 0) {
    text += cells.size() > 1 ? std::to_string(diverged) + " diverged; " : std::string("diverged; ");
  }
  if (mark.empty()) return text + name_of(verdict);
  if (diverged > 0) return text.substr(0, text.size() - 2);
  return text + (check.passed ? "" : "FAILS: ") + check.text;
}

bool RowReport::accepted() const {
  if (static_cast<int>(cells.size()) < wanted || cells.empty()) return false;
  return mark.empty() ? verdict == Verdict::reproduced : check.passed;
}

std::string render(const Table& table, Format format) {
  switch (format) {
    case Format::csv: return csv(csv_table(table));
    case Format::latex: return latex(text_table(table, " \\pm "), "llllrrrrrlrrrrrl");
    case Format::json: {
      json object = {{"title", table.title}, {"footer", table.footer}, {"rows", json::array()}};
      for (const RowReport& row : table.rows) object["rows"].push_back(row_json(row));
      return object.dump(2) + "\n";
    }
    case Format::markdown: break;
  }
  return markdown(text_table(table, " ± "));
}

}  // namespace shatter::experiments
