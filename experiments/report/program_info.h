// What a program says of itself.
#pragma once

#include <string>
#include <vector>

#include <shatter/core/text.h>

namespace shatter::experiments {

struct ProgramInfo {
  std::string name, summary;
  std::vector<std::string> examples;        ///< command lines ready to copy
  std::string rows = "*";                   ///< those that run unless others are asked for
  std::vector<std::string> row_names = {};  ///< all there are, for --help
};

template <class Row>
std::vector<std::string> names_of(const std::vector<Row>& rows) {
  std::vector<std::string> names;
  for (const Row& row : rows) names.push_back(row.name);
  return names;
}

/// The rows whose names match the globs. Throws (usage) where none does, naming all and the
/// nearest.
template <class Row>
std::vector<Row> matching_rows(std::vector<Row> rows, const std::string& globs) {
  check_matched(names_of(rows), globs);
  std::erase_if(rows, [&](const Row& row) { return !matches(row.name, globs); });
  return rows;
}

}  // namespace shatter::experiments
