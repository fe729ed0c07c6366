// What a program says of itself.
#pragma once

#include <string>
#include <vector>

namespace shatter::experiments {

struct ProgramInfo {
  std::string name, summary;
  std::vector<std::string> examples;        ///< command lines ready to copy
  std::string rows = "*";                   ///< those that run unless others are asked for
  std::vector<std::string> row_names = {};  ///< all there are, for --help
};

}  // namespace shatter::experiments
