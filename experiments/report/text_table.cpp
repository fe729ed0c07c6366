// Quoting and joining the entries of a table.
#include <shatter/experiments/report/text_table.h>

#include <nlohmann/json.hpp>

#include <shatter/kernels/error.h>

namespace shatter::experiments {
namespace {

std::string csv_field(const std::string& value) {
  if (value.find_first_of(",\"\n") == std::string::npos) return value;
  std::string quoted = "\"";
  for (const char c : value) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i) line += (i ? "," : "") + csv_field(fields[i]);
  return line + "\n";
}

std::string markdown_line(const std::vector<std::string>& entries) {
  std::string line = "|";
  for (const std::string& entry : entries) line += " " + entry + " |";
  return line + "\n";
}

std::string latex_entry(const std::string& value) {
  if (value.find("\\pm") != std::string::npos) return "$" + value + "$";
  std::string text;
  for (const char c : value) {
    if (std::string("%&_#$").find(c) != std::string::npos) text += '\\';
    text += c;
  }
  return text;
}

std::string latex_line(const std::vector<std::string>& entries) {
  std::string line;
  for (std::size_t i = 0; i < entries.size(); ++i)
    line += (i ? " & " : "") + latex_entry(entries[i]);
  return line + " \\\\\n";
}

std::string markdown(const TextTable& table) {
  std::string text = "**" + table.title + "**\n\n" + markdown_line(table.columns) + "|";
  for (std::size_t i = 0; i < table.columns.size(); ++i) text += "---|";
  text += "\n";
  for (const auto& row : table.rows) text += markdown_line(row);
  text += "\n";
  for (const std::string& line : table.footer) text += "- " + line + "\n";
  return text;
}

std::string csv(const TextTable& table) {
  std::string text = csv_line(table.columns);
  for (const auto& row : table.rows) text += csv_line(row);
  return text;
}

std::string latex(const TextTable& table, const std::string& alignment) {
  std::string text = "% " + table.title + "\n";
  for (const std::string& line : table.footer) text += "% " + line + "\n";
  text +=
      "\\begin{tabular}{" + alignment + "}\n\\hline\n" + latex_line(table.columns) + "\\hline\n";
  for (const auto& row : table.rows) text += latex_line(row);
  return text + "\\hline\n\\end{tabular}\n";
}

}  // namespace

const std::map<std::string, Format>& formats() {
  static const std::map<std::string, Format> all{{"md", Format::markdown},
                                                 {"csv", Format::csv},
                                                 {"json", Format::json},
                                                 {"latex", Format::latex}};
  return all;
}

const char* plus_minus(Format format) {
  return format == Format::latex ? " \\pm " : " ± ";
}

std::string text_of(const TextTable& table, Format format, const std::string& alignment) {
  switch (format) {
    case Format::csv: return csv(table);
    case Format::latex: return latex(table, alignment);
    case Format::json:
      return nlohmann::json{{"title", table.title},
                            {"columns", table.columns},
                            {"rows", table.rows},
                            {"footer", table.footer}}
                 .dump(2) +
             "\n";
    case Format::markdown: break;
  }
  return markdown(table);
}

std::string replace_section(const std::string& document, const std::string& name,
                            const std::string& section) {
  const std::string first = "<!-- " + name + ":begin -->", last = "<!-- " + name + ":end -->";
  const std::size_t begin = document.find(first), end = document.find(last);
  check(begin != std::string::npos && end != std::string::npos && begin < end,
        "the document has no ", first, " ... ", last);
  return document.substr(0, begin + first.size()) + "\n" + section + document.substr(end);
}

}  // namespace shatter::experiments
