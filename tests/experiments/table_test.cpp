// Tables: rows from finished runs, in four formats, and reports of kept results.
#include <shatter/core/text.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/report/training.h>

#include <nlohmann/json.hpp>

#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

TrainingRow example_row() {
  TrainingRow row{
      .name = "mlp/none",
      .title = "MLP 1x512",
      .full = {},
      .quick = {},
      .quantities = accuracies(100, at_least(99.9), 50.51, Interval{50.51 - 2, 50.51 + 2})};
  row.full.model = row.quick.model = "mlp-1x512";
  row.quick.dataset.train_size = 2000;
  row.quick.epochs = 20;
  return row;
}

Result finished(CellConfig config, std::uint64_t seed, double train, double test) {
  config.seed = seed;
  return {.config = to_json(config),
          .numbers = {{"train_percent", train}, {"test_percent", test}, {"epochs", 100}},
          .seconds = 90,
          .origin = {.commit = "abc",
                     .device = "A CPU",
                     .threads = 2,
                     .data = config.dataset.name,
                     .provenance = "public copies\n"}};
}

Result without_end(const CellConfig& config, std::uint64_t seed) {
  Result result = finished(config, seed, 0, 0);
  result.numbers = {{"epochs", 1}, {"steps", 7}};
  result.diverged = true;
  return result;
}

std::vector<Result> three(const CellConfig& base) {
  return {finished(base, 1, 100, 50), finished(base, 2, 100, 50.5), finished(base, 3, 100, 51)};
}

RowReport make_report(const TrainingRow& row, const CellConfig& config, std::vector<Result> results,
                      std::vector<std::string> notes, int wanted) {
  RowReport report = report_of(row, config, wanted);
  for (Result& result : results)
    (result.diverged ? report.diverged : report.runs).push_back(std::move(result));
  report.notes = std::move(notes);
  return report;
}

Table example_table() {
  const TrainingRow row = example_row();
  return {.title = "A table",
          .rows = {make_report(row, row.full, three(row.full), {}, 3)},
          .footer = {"commit: abc"},
          .layout = Table::Layout::accuracies};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("A full-size row has a verdict and a difference") {
  const RowReport report = example_table().rows.front();
  CHECK(report.mark.empty());
  CHECK(report.sample(report.quantities[1]).mean == Approx(50.5));
  CHECK(report.sample(report.quantities[1]).deviation == Approx(0.5));
  CHECK(report.judgement().text() == "reproduced");
  CHECK(report.accepted());
  const std::string text = render(example_table(), Format::markdown);
  CHECK(contains(text,
                 "| MLP 1x512 | no | no | true | 100.00 ± 0.00 | 100.00 | 50.50 ± 0.50 | 50.51 "
                 "| -0.01 | reproduced | 50,000 | 128 | 0.01 | 100 | 3 | 1 min 30 s |"));
  CHECK(contains(text, "- commit: abc\n"));
}

TEST_CASE("Every smaller row is marked and has no verdict against the paper") {
  const TrainingRow row = example_row();
  CHECK(marks(row, row.quick) == "quick");
  CellConfig config = row.full;
  CHECK(marks(row, config).empty());
  config.epochs = 101;
  CHECK(marks(row, config) == "changed");
  config.batch = 512;
  config.epochs = row.full.epochs;
  CHECK(marks(row, config) == "changed");
  CHECK(make_report(row, config, three(config), {}, 3).judgement().text().starts_with("changed: "));
  config.batch = row.full.batch;
  config.epochs = 99;
  CHECK(marks(row, config) == "reduced");
  config.dataset.name = "synthetic";
  CHECK(marks(row, config) == "reduced, synthetic");
  config = row.full;
  config.dataset.test_size = 5000;
  CHECK(marks(row, config) == "reduced");
  config = row.quick;
  config.dataset.train_size = 100;
  const RowReport report = make_report(row, config, three(config), {}, 3);
  CHECK(report.judgement().text() == "reduced: generalises");
  CHECK(report.accepted());
  Table table = example_table();
  table.rows = {report};
  CHECK(contains(render(table, Format::markdown), "| 50.51 | - | reduced: generalises |"));
}

TEST_CASE("Diverged, failed and missing seeds are told") {
  const TrainingRow row = example_row();
  auto cells = three(row.full);
  cells[1] = without_end(row.full, 2);
  const RowReport diverged = make_report(row, row.full, cells, {}, 3);
  CHECK(diverged.judgement().text() == "1 diverged; not reproduced");
  CHECK(!diverged.accepted());
  CHECK(diverged.sample(diverged.quantities[1]).n == 2);
  const RowReport partial = make_report(row, row.full, {cells[0]}, {"not finished"}, 3);
  CHECK(partial.judgement().text() == "not finished; inconclusive");
  CHECK(!partial.accepted());
  const RowReport none = make_report(row, row.full, {}, {"failed"}, 3);
  CHECK(none.judgement().text() == "failed");
  CHECK(make_report(row, row.full, {}, {}, 3).judgement().text() == "not run");
  Table table = example_table();
  table.rows = {partial, none};
  CHECK(contains(render(table, Format::markdown), "| 1 of 3 |"));
  for (const Format format : {Format::csv, Format::json, Format::latex}) render(table, format);
}

TEST_CASE("CSV has a header and quoted fields, JSON parses, LaTeX escapes") {
  Table table = example_table();
  table.rows[0].notes = {"one, two"};
  const std::string csv = render(table, Format::csv);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 2);
  CHECK(contains(csv, "\"one, two; reproduced\""));
  const auto json = nlohmann::json::parse(render(table, Format::json));
  CHECK(json["rows"][0]["judgement"] == "one, two; reproduced");
  CHECK(json["rows"][0]["quantities"][1]["mean"].get<double>() == Approx(50.5));
  CHECK(json["rows"][0]["runs"].size() == 3);
  table.rows[0].title = "a_b & c";
  table.rows[0].notes.clear();
  const std::string latex = render(table, Format::latex);
  CHECK(contains(latex, "a\\_b \\& c & no"));
  CHECK(contains(latex, "$50.50 \\pm 0.50$"));
  CHECK(contains(latex, "\\end{tabular}"));
}

TEST_CASE("Kept results make one table for each size") {
  const TrainingRow row = example_row();
  TrainingProgram program{.info = {.name = "table1", .summary = {}, .examples = {}},
                          .title = "T",
                          .rows = {row},
                          .task = {}};
  CellConfig reduced = row.full;
  reduced.dataset.train_size = 5000;
  auto results = three(row.full);
  results.push_back(finished(reduced, 1, 100, 40));
  results.push_back(finished(row.quick, 1, 100, 30));
  CellConfig stranger = row.full;
  stranger.model = "other";
  results.push_back(finished(stranger, 1, 100, 30));
  CellConfig slower = reduced;
  slower.learning_rate = row.full.learning_rate / 4;
  slower.learning_rate_decay = 0.99;
  results.push_back(finished(slower, 1, 100, 45));
  CellConfig other = reduced;
  other.optimizer = "adamw";
  other.momentum = 0;
  other.schedule = "cosine";
  other.learning_rate_decay = 1;
  other.warm_up = 2;
  const auto tables = kept_tables(program, results);
  results.push_back(finished(other, 1, 100, 45));
  const auto more = kept_tables(program, results);
  REQUIRE(more.size() == 5);
  CHECK(std::any_of(more.begin(), more.end(), [](const Table& table) {
    return contains(table.title, ", times 1 per epoch, cosine, warm-up 2 epochs, adamw") &&
           contains(render(table, Format::markdown),
                    " --optimizer adamw --schedule cosine --warm-up 2 ");
  }));
  REQUIRE(tables.size() == 4);
  CHECK(tables[0].title == "T, full size");
  CHECK(tables[0].rows[0].judgement().text() == "reproduced");
  CHECK(contains(tables[1].title, "reduced"));
  CHECK(contains(render(tables[1], Format::markdown),
                 "table1 --train-size 5000 --device cpu --seeds 1"));
  CHECK(contains(render(tables[1], Format::markdown), "provenance: \"public copies\""));
  CHECK(contains(tables[2].title,
                 ", rate " + shortest(slower.learning_rate) + ", times 0.99 per epoch"));
  CHECK(contains(render(tables[2], Format::markdown), "table1 --train-size 5000 --learning-rate " +
                                                          shortest(slower.learning_rate) +
                                                          " --learning-rate-decay 0.99 "));
  CHECK(contains(tables[3].title, "quick"));
}

TEST_CASE("A section of a document is replaced between its marks") {
  const std::string page = "a\n<!-- table1:begin -->\nold\n<!-- table1:end -->\nb\n";
  const std::string once = replace_section(page, "table1", "new\n");
  CHECK(once == "a\n<!-- table1:begin -->\nnew\n<!-- table1:end -->\nb\n");
  CHECK(replace_section(once, "table1", "new\n") == once);
  CHECK_THROWS(replace_section(page, "table2", "new\n"));
}
