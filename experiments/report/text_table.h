// Tables of text, as Markdown, CSV and LaTeX.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace shatter::experiments {

/// How a table is printed.
enum class Format { markdown, csv, json, latex };

struct TextTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  ///< an entry for each column
  std::vector<std::string> footer;             ///< "commit: 1a2b3c"
};

/// The formats by the names programs know them by: "md", "csv", "json", "latex".
const std::map<std::string, Format>& formats();
/// What stands between a mean and its deviation.
const char* plus_minus(Format format);
/// The table in a format of text; JSON is an object {"title", "columns", "rows", "footer"}. CSV
/// holds columns and rows only. LaTeX is a tabular with a letter of `alignment` for each column,
/// title and footer as comments; entries with "\\pm" are set as mathematics.
std::string text_of(const TextTable& table, Format format, const std::string& alignment);

/// `document` with what stands between "<!-- name:begin -->" and "<!-- name:end -->" replaced.
/// Throws (usage) when the marks are missing.
std::string replace_section(const std::string& document, const std::string& name,
                            const std::string& section);

}  // namespace shatter::experiments
