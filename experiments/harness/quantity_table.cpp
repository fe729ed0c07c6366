// Verdicts on single numbers, and their table as Markdown, CSV, JSON and LaTeX.
#include <shatter/experiments/harness/quantity_table.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include <shatter/experiments/harness/progress.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

std::string formatted(const std::string& format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format.c_str(), value);
  return text;
}

std::string ours(const QuantityLine& line, const char* plus_minus) {
  const Sample sample = line.sample();
  if (sample.n == 0) return "-";
  const std::string mean = formatted(line.quantity.format, sample.mean);
  return sample.n > 1 ? mean + plus_minus + formatted(line.quantity.format, sample.deviation)
                      : mean;
}

std::string paper(const QuantityLine& line) {
  return line.quantity.paper ? formatted(line.quantity.format, *line.quantity.paper) : "-";
}

std::string difference(const QuantityLine& line) {
  const Sample sample = line.sample();
  if (sample.n == 0 || !line.quantity.paper || !line.mark.empty()) return "-";
  const double value = sample.mean - *line.quantity.paper;
  return (value >= 0 ? "+" : "") + formatted(line.quantity.format, value);
}

std::string accepted(const QuantityLine& line) {
  const auto& range = line.range();
  if (!range) return "-";
  const std::string& format = line.quantity.format;
  if (!std::isfinite(range->high)) return ">= " + formatted(format, range->low);
  if (!std::isfinite(range->low)) return "<= " + formatted(format, range->high);
  return formatted(format, range->low) + " to " + formatted(format, range->high);
}

std::string seeds(const QuantityLine& line) {
  const int n = static_cast<int>(line.values.size());
  return std::to_string(n) + (n < line.wanted ? " of " + std::to_string(line.wanted) : "");
}

std::vector<std::string> columns() {
  return {"row", "quantity", "ours", "paper", "difference", "accepted", "verdict", "seeds", "time"};
}

std::vector<std::string> entries(const QuantityLine& line, const char* plus_minus) {
  return {
      line.row,         line.quantity.title, ours(line, plus_minus),
      paper(line),      difference(line),    accepted(line),
      line.judgement(), seeds(line),         line.values.empty() ? "-" : duration(line.seconds)};
}

std::string markdown(const QuantityTable& table) {
  std::string text = "**" + table.title + "**\n\n|", rule = "|";
  for (const std::string& name : columns()) {
    text += " " + name + " |";
    rule += "---|";
  }
  text += "\n" + rule + "\n";
  for (const QuantityLine& line : table.lines) {
    text += "|";
    for (const std::string& entry : entries(line, " ± ")) text += " " + entry + " |";
    text += "\n";
  }
  text += "\n";
  for (const std::string& line : table.footer) text += "- " + line + "\n";
  return text;
}

std::string csv(const QuantityTable& table) {
  std::string text =
      "row,quantity,mark,mean,deviation,half_width_95,paper,accepted_low,accepted_high,judgement,"
      "seeds,censored,seconds\n";
  const auto plain = [](double value) {
    return std::isfinite(value) ? formatted("%.10g", value) : std::string();
  };
  for (const QuantityLine& line : table.lines) {
    const Sample sample = line.sample();
    const auto end = [&](double Interval::*side) {
      return line.range() ? plain((*line.range()).*side) : "";
    };
    const std::vector<std::string> fields = {line.row,
                                             line.quantity.name,
                                             line.mark,
                                             sample.n > 0 ? plain(sample.mean) : "",
                                             plain(sample.deviation),
                                             plain(sample.half_width),
                                             line.quantity.paper ? plain(*line.quantity.paper) : "",
                                             end(&Interval::low),
                                             end(&Interval::high),
                                             line.judgement(),
                                             std::to_string(line.values.size()),
                                             std::to_string(line.censored()),
                                             plain(line.seconds)};
    for (std::size_t i = 0; i < fields.size(); ++i) text += (i ? "," : "") + csv_field(fields[i]);
    text += "\n";
  }
  return text;
}

std::string latex(const QuantityTable& table) {
  std::string text = "% " + table.title + "\n";
  for (const std::string& line : table.footer) text += "% " + line + "\n";
  text += "\\begin{tabular}{llrrrllrl}\n\\hline\n";
  const auto add = [&](const std::vector<std::string>& fields) {
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const bool math = fields[i].find("\\pm") != std::string::npos;
      text += (i ? " & " : "") + (math ? "$" + fields[i] + "$" : latex_escaped(fields[i]));
    }
    text += " \\\\\n";
  };
  add(columns());
  text += "\\hline\n";
  for (const QuantityLine& line : table.lines) add(entries(line, " \\pm "));
  return text + "\\hline\n\\end{tabular}\n";
}

json number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json line_json(const QuantityLine& line) {
  const Sample sample = line.sample();
  json values = json::array();
  for (const double value : line.values) values.push_back(number(value));
  json object = {{"row", line.row},
                 {"quantity", line.quantity.name},
                 {"title", line.quantity.title},
                 {"mark", line.mark},
                 {"ours", ours(line, " ± ")},
                 {"n", sample.n},
                 {"mean", sample.n > 0 ? number(sample.mean) : json(nullptr)},
                 {"deviation", number(sample.deviation)},
                 {"half_width_95", number(sample.half_width)},
                 {"values", values},
                 {"censored", line.censored()},
                 {"paper", line.quantity.paper ? json(*line.quantity.paper) : json(nullptr)},
                 {"accepted", accepted(line)},
                 {"judgement", line.judgement()},
                 {"passes", line.passes()},
                 {"seeds", line.values.size()},
                 {"seeds_wanted", line.wanted},
                 {"seconds", line.seconds}};
  if (line.mark.empty() && line.range()) object["verdict"] = name_of(line.verdict());
  return object;
}

}  // namespace

Sample QuantityLine::sample() const {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](double value) { return std::isfinite(value); });
  return summarize(finite);
}

int QuantityLine::censored() const {
  return static_cast<int>(std::count_if(values.begin(), values.end(),
                                        [](double value) { return !std::isfinite(value); }));
}

Verdict QuantityLine::verdict() const {
  const Sample s = sample();
  const Interval& within = *range();
  if (s.n == 0 || censored() > 0) return Verdict::inconclusive;
  if (seeded && mark.empty()) {
    if (s.n < 3) return Verdict::inconclusive;
    const double width = within.high - within.low;
    if (std::isfinite(width) && s.half_width > width / 2) return Verdict::inconclusive;
    const double end = std::isfinite(within.low) ? within.low : within.high;
    if (!std::isfinite(width) && std::abs(s.mean - end) < s.half_width)
      return Verdict::inconclusive;
  }
  return within.low <= s.mean && s.mean <= within.high ? Verdict::reproduced
                                                       : Verdict::not_reproduced;
}

std::string QuantityLine::judgement() const {
  std::string text = mark.empty() ? "" : mark + ": ";
  for (const std::string& note : notes) text += note + "; ";
  if (censored() > 0) text += std::to_string(censored()) + " censored; ";
  if (values.empty()) {
    text += "not run";
  } else if (!range()) {
    text += mark.empty() && text.empty() ? "-" : "measured";
  } else if (mark.empty()) {
    text += name_of(verdict());
  } else {
    text += verdict() == Verdict::reproduced ? "as expected" : "NOT AS EXPECTED";
  }
  return text;
}

bool QuantityLine::passes() const {
  if (values.empty() || static_cast<int>(values.size()) < wanted) return false;
  return !range() || verdict() == Verdict::reproduced;
}

std::string render(const QuantityTable& table, Format format) {
  switch (format) {
    case Format::csv: return csv(table);
    case Format::latex: return latex(table);
    case Format::json: {
      json object = {{"title", table.title}, {"footer", table.footer}, {"lines", json::array()}};
      for (const QuantityLine& line : table.lines) object["lines"].push_back(line_json(line));
      return object.dump(2) + "\n";
    }
    case Format::markdown: break;
  }
  return markdown(table);
}

std::string csv_field(const std::string& value) {
  if (value.find_first_of(",\"\n") == std::string::npos) return value;
  std::string quoted = "\"";
  for (const char c : value) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string latex_escaped(const std::string& value) {
  std::string text;
  for (const char c : value) {
    if (std::string("%&_#$").find(c) != std::string::npos) text += '\\';
    text += c;
  }
  return text;
}

}  // namespace shatter::experiments
