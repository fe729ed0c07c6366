// Tables of text, as Markdown, CSV and LaTeX.
#pragma once

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

std::string markdown(const TextTable& table);
/// Columns and rows only.
std::string csv(const TextTable& table);
/// A tabular, its title and footer as comments. Entries with "\pm" are set as mathematics;
/// `alignment` holds a letter for each column.
std::string latex(const TextTable& table, const std::string& alignment);

/// `document` with what stands between "<!-- name:begin -->" and "<!-- name:end -->" replaced.
/// Throws (usage) when the marks are missing.
std::string replace_section(const std::string& document, const std::string& name,
                            const std::string& section);

}  // namespace shatter::experiments
