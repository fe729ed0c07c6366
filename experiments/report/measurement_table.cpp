// Judging quantities and laying them out.
#include <shatter/core/text.h>
#include <shatter/experiments/report/measurement_table.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/progress.h>
#include <shatter/experiments/runs/run_folder.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

std::string range_text(const Quantity& quantity, const std::optional<Interval>& range) {
  if (!range) return "-";
  const std::string low = printed(quantity, range->low), high = printed(quantity, range->high);
  if (range->low == range->high) return low;
  if (range->high == infinite) return "≥ " + low;
  if (range->low == -infinite) return "≤ " + high;
  return low + " to " + high;
}

std::string ours(const Quantity& quantity, const Sample& sample, const char* plus_minus) {
  if (sample.n == 0) return "-";
  const std::string mean = printed(quantity, sample.mean);
  return sample.n > 1 ? mean + plus_minus + printed(quantity, sample.deviation) : mean;
}

/// Whether the mean of a seeded row is known too poorly to say if it lies in `range`.
bool uncertain(const Sample& sample, const Interval& range) {
  if (sample.n < 3) return true;
  if (std::isfinite(range.low) && std::isfinite(range.high)) {
    return sample.half_width > (range.high - range.low) / 2;
  }
  const double bound = std::isfinite(range.low) ? range.low : range.high;
  return std::isfinite(bound) && std::abs(sample.mean - bound) < sample.half_width;
}

double median_seconds(const MeasurementReport& report) {
  std::vector<double> seconds;
  for (const FinishedMeasurement& run : report.runs) seconds.push_back(run.seconds);
  return median(std::move(seconds));
}

std::string signed_printed(const Quantity& quantity, double value) {
  return (value >= 0 ? "+" : "") + printed(quantity, value);
}

std::string difference(const MeasurementReport& report, const Quantity& quantity,
                       const Sample& sample) {
  if (!quantity.paper || sample.n == 0 || !report.mark.empty()) return "-";
  return signed_printed(quantity, sample.mean - *quantity.paper);
}

std::string seeds_text(const MeasurementReport& report) {
  const int done = static_cast<int>(report.runs.size());
  if (!report.row.seeded) return done > 0 ? "-" : "0 of 1";
  return std::to_string(done) +
         (done < report.wanted ? " of " + std::to_string(report.wanted) : "");
}

/// "key=value" where that is not the row's at full size, else "".
std::string change(const MeasurementRow& row, const std::string& key, const json& value) {
  if (row.full.contains(key) && row.full[key] == value) return "";
  return key + "=" + (value.is_string() ? value.get<std::string>() : value.dump());
}

/// With the parameters it names, "n = {n}", filled in, and what else differs from full size.
std::string title_of(const MeasurementReport& report) {
  std::string title = report.row.title, words;
  for (const auto& [key, value] : report.parameters.items()) {
    const std::string name = "{" + key + "}";
    if (const std::size_t at = title.find(name); at != std::string::npos) {
      title.replace(at, name.size(),
                    value.is_number_integer() ? grouped(value.get<std::int64_t>()) : value.dump());
    } else if (const std::string word = change(report.row, key, value); !word.empty()) {
      words += (words.empty() ? " (" : ", ") + word;
    }
  }
  if (report.parameters == report.row.quick) return title;
  return title + (words.empty() ? "" : words + ")");
}

/// Whether any quantity has the paper's number or a range to be in.
bool is_judged(const MeasurementTable& table) {
  return std::ranges::any_of(table.rows, [](const MeasurementReport& report) {
    return std::ranges::any_of(report.row.quantities, [](const Quantity& quantity) {
      return quantity.paper || quantity.accepted || quantity.quick;
    });
  });
}

TextTable text_table(const MeasurementTable& table, const char* plus_minus) {
  TextTable text{.title = table.title,
                 .columns = {"row", "quantity", "ours", "paper", "difference", "accepted",
                             "verdict", "seeds", "time"},
                 .rows = {},
                 .footer = table.footer};
  const bool judged = is_judged(table);
  if (!judged) text.columns = {"row", "quantity", "mean", "remarks", "seeds", "time"};
  for (const MeasurementReport& report : table.rows) {
    for (const Quantity& quantity : report.row.quantities) {
      const Sample sample = report.sample(quantity);
      const std::string time = report.runs.empty() ? "-" : duration(median_seconds(report));
      if (!judged) {
        text.rows.push_back({title_of(report), quantity.title, ours(quantity, sample, plus_minus),
                             report.judgement(quantity).text, seeds_text(report), time});
        continue;
      }
      text.rows.push_back(
          {title_of(report), quantity.title, ours(quantity, sample, plus_minus),
           quantity.paper ? printed(quantity, *quantity.paper) : "-",
           difference(report, quantity, sample),
           range_text(quantity, report.mark.empty() ? quantity.accepted : quantity.quick),
           report.judgement(quantity).text, seeds_text(report), time});
    }
  }
  return text;
}

TextTable csv_table(const MeasurementTable& table) {
  TextTable text{
      .title = {},
      .columns = {"table", "row", "quantity", "mark", "mean", "deviation", "half_width_95", "n",
                  "paper", "accepted_low", "accepted_high", "judgement", "seconds"},
      .rows = {},
      .footer = {}};
  const auto plain = [](double value) { return std::isfinite(value) ? json(value).dump() : ""; };
  for (const MeasurementReport& report : table.rows) {
    for (const Quantity& quantity : report.row.quantities) {
      const Sample sample = report.sample(quantity);
      const auto& range = report.mark.empty() ? quantity.accepted : quantity.quick;
      text.rows.push_back({table.title, report.row.name, quantity.name, report.mark,
                           plain(sample.mean), plain(sample.deviation), plain(sample.half_width),
                           std::to_string(sample.n), quantity.paper ? plain(*quantity.paper) : "",
                           range ? plain(range->low) : "", range ? plain(range->high) : "",
                           report.judgement(quantity).text, plain(median_seconds(report))});
    }
  }
  return text;
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json range_json(const std::optional<Interval>& range) {
  return range ? json{number(range->low), number(range->high)} : json(nullptr);
}

json report_json(const MeasurementReport& report) {
  json row = {{"row", report.row.name},
              {"title", title_of(report)},
              {"mark", report.mark},
              {"parameters", report.parameters},
              {"accepted", report.accepted()},
              {"seeds_wanted", report.wanted},
              {"notes", report.notes},
              {"diverged", report.diverged},
              {"seconds", median_seconds(report)},
              {"quantities", json::array()},
              {"runs", json::array()}};
  for (const Quantity& quantity : report.row.quantities) {
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
                                 {"judgement", judgement.text},
                                 {"accepted", judgement.accepted}});
  }
  for (const FinishedMeasurement& run : report.runs) {
    row["runs"].push_back({{"seed", run.config.value("seed", json(nullptr))},
                           {"hash", hash8(run.config)},
                           {"numbers", run.measured.numbers},
                           {"seconds", run.seconds}});
  }
  return row;
}

}  // namespace

std::string printed(const Quantity& quantity, double value) {
  if (!std::isfinite(value)) return "-";
  char text[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  std::snprintf(text, sizeof text, quantity.format.c_str(), value);
#pragma GCC diagnostic pop
  return text;
}

FinishedMeasurement finished_measurement(const json& compact, const std::string& where) {
  FinishedMeasurement run;
  try {
    run.config = compact.at("config");
    run.measured.numbers = compact.at("result").at("numbers");
    run.measured.curves = compact.value("curve", json::object());
    run.seconds = compact.value("seconds", 0.0);
    const json environment = compact.value("environment", json::object());
    run.origin = {.commit = environment.value("commit", "unknown"),
                  .device = environment.value("device", "unknown"),
                  .threads = environment.value("threads", 0),
                  .data = run.config.at("data").is_null()
                              ? "none"
                              : run.config.at("data").at("name").get<std::string>(),
                  .provenance = environment.value("provenance", ""),
                  .executable = environment.value("executable", "unknown")};
  } catch (const json::exception& error) {
    fail(ErrorKind::data, where, ": not a measurement's result: ", error.what());
  }
  return run;
}

std::vector<std::string> changes(const MeasurementRow& row, const json& parameters) {
  std::vector<std::string> words;
  for (const auto& [key, value] : parameters.items()) {
    if (std::string word = change(row, key, value); !word.empty()) words.push_back(word);
  }
  return words;
}

std::string marks(const MeasurementRow& row, const json& parameters, const std::string& dataset) {
  std::string mark;
  const auto add = [&](const char* word) {
    mark += (mark.empty() ? "" : ", ") + std::string(word);
  };
  const auto smaller = [&](const char* key) {
    return parameters.contains(key) && parameters[key] < row.full[key];
  };
  if (parameters != row.full) {
    if (parameters == row.quick) {
      add("quick");
    } else if (smaller("train_size") || smaller("test_size") || smaller("epochs")) {
      add("reduced");
    } else {
      add("changed");
    }
  }
  if (dataset == "synthetic") add("synthetic");
  return mark;
}

Judgement judge(const Quantity& quantity, const Sample& sample, const std::string& mark,
                bool seeded) {
  const bool full = mark.empty();
  const auto& range = full ? quantity.accepted : quantity.quick;
  const std::string prefix = full ? "" : mark + ": ";
  if (!range) return {full ? "-" : mark, true};
  const bool inside = sample.n > 0 && sample.mean >= range->low && sample.mean <= range->high;
  if (!full) return {prefix + (inside ? "as expected" : "NOT as expected"), inside};
  if (seeded && sample.n > 0 && uncertain(sample, *range)) return {"inconclusive", false};
  return {inside ? "reproduced" : "not reproduced", inside};
}

Sample MeasurementReport::sample(const Quantity& quantity) const {
  std::vector<double> values;
  for (const FinishedMeasurement& run : runs) {
    const json value = run.measured.numbers.value(quantity.name, json(nullptr));
    if (value.is_number() && std::isfinite(value.get<double>())) {
      values.push_back(value.get<double>());
    }
  }
  return summarize(values);
}

int MeasurementReport::censored(const Quantity& quantity) const {
  return static_cast<int>(runs.size()) - sample(quantity).n;
}

Judgement MeasurementReport::judgement(const Quantity& quantity) const {
  const std::string prefix = mark.empty() ? "" : mark + ": ";
  const int never = censored(quantity);
  std::string missing;
  for (const std::string& note : notes) missing += note + "; ";
  if (diverged > 0) missing += std::to_string(diverged) + " diverged; ";
  if (never > 0) missing += std::to_string(never) + " censored; ";
  Judgement result = judge(quantity, sample(quantity), mark, row.seeded);
  std::string rest = result.text.substr(result.text.starts_with(prefix) ? prefix.size() : 0);
  if (diverged > 0) {
    const bool few = runs.size() + static_cast<std::size_t>(diverged) < 3;
    rest = mark.empty() && quantity.accepted ? few ? "inconclusive" : "not reproduced" : "";
  } else if (runs.empty()) {
    rest = missing.empty() ? "not run" : "";
  } else if (missing.empty()) {
    return result;
  } else if (never > 0 || rest == "-" || rest == mark) {
    rest.clear();
  }
  result.accepted = result.accepted && never == 0 && diverged == 0 && !runs.empty();
  result.text = prefix + missing + rest;
  if (rest.empty()) result.text.resize(result.text.size() - 2);
  return result;
}

bool MeasurementReport::accepted() const {
  return static_cast<int>(runs.size()) >= wanted &&
         std::all_of(row.quantities.begin(), row.quantities.end(),
                     [&](const Quantity& quantity) { return judgement(quantity).accepted; });
}

std::string render(const MeasurementTable& table, Format format) {
  switch (format) {
    case Format::csv: return csv(csv_table(table));
    case Format::latex:
      return latex(text_table(table, " \\pm "), is_judged(table) ? "llrrrrlrr" : "llrlrr");
    case Format::json: {
      json object = {{"title", table.title}, {"footer", table.footer}, {"rows", json::array()}};
      for (const MeasurementReport& report : table.rows)
        object["rows"].push_back(report_json(report));
      return object.dump(2) + "\n";
    }
    case Format::markdown: break;
  }
  return markdown(text_table(table, " ± "));
}

bool accepted(const MeasurementTable& table, Progress& progress) {
  bool all = true, any = false;
  for (const MeasurementReport& report : table.rows) {
    for (const Quantity& quantity : report.row.quantities) {
      any = any || (report.mark.empty() ? quantity.accepted : quantity.quick);
      const Judgement judgement = report.judgement(quantity);
      if (judgement.accepted) continue;
      progress.say("check: " + report.row.name + ": " + quantity.title + ": " + judgement.text);
    }
    all = all && report.accepted();
  }
  if (!any) progress.say("check: nothing here has an accepted range");
  return all && any;
}

}  // namespace shatter::experiments
