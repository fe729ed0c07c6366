// Formatting of numbers and times; the nearest of some names.
#include <shatter/core/text.h>

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <shatter/kernels/error.h>

namespace shatter {
namespace {

std::string formatted(const char* format, int digits, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, digits, value);
  return text;
}

/// The distance of Damerau and Levenshtein (optimal string alignment).
std::size_t edits(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] =
          std::min({d[i - 1][j - 1] + (a[i - 1] != b[j - 1]), d[i - 1][j] + 1, d[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string fixed(double value, int digits) {
  return formatted("%.*f", digits, value);
}

std::string shortest(double value) {
  return formatted("%.*g", 6, value);
}

std::string joined(const std::set<std::string>& words, const char* separator) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : separator) + word;
  return all;
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value < 0 ? -value : value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return value < 0 ? "-" + digits : digits;
}

std::string duration(double seconds) {
  const std::int64_t whole = std::llround(std::max(0.0, seconds));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) {
    return std::to_string(whole / 60) + " min" +
           (whole % 60 ? " " + std::to_string(whole % 60) + " s" : "");
  }
  const std::int64_t minutes = (whole + 30) / 60;
  return grouped(minutes / 60) + " h" +
         (minutes % 60 ? " " + std::to_string(minutes % 60) + " min" : "");
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t fewest = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    if (const std::size_t count = edits(word, candidate); count < fewest) {
      fewest = count;
      best = candidate;
    }
  }
  return best;
}

void check_matched(const std::vector<std::string>& names, const std::string& globs) {
  const std::string stem = globs.substr(0, globs.find_first_of("*?[,"));
  std::vector<std::string> beginnings;
  std::string all;
  for (const std::string& name : names) {
    if (matches(name, globs)) return;
    beginnings.push_back(name.substr(0, stem.size()));
    all += "\n  " + name;
  }
  const std::string guess = stem == globs ? nearest(globs, names) : nearest(stem, beginnings);
  fail(ErrorKind::usage, "--rows ", globs, " matches none of:", all,
       guess.empty() ? "" : "\ndid you mean " + guess + (stem == globs ? "?" : "*?"));
}

bool matches(const std::string& name, const std::string& globs) {
  std::size_t begin = 0;
  while (begin <= globs.size()) {
    const std::size_t end = std::min(globs.find(',', begin), globs.size());
    if (fnmatch(globs.substr(begin, end - begin).c_str(), name.c_str(), 0) == 0) return true;
    begin = end + 1;
  }
  return false;
}

std::string command_line(const std::string& program, const std::vector<std::string>& arguments) {
  std::string line = program;
  for (const std::string& word : arguments) {
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-+=./:,@%") == std::string::npos;
    line += ' ';
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace shatter
