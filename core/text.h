// Numbers, times and names as text: what tables, progress lines and command lines are made of.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace shatter {

/// "a, b"
std::string joined(const std::set<std::string>& words, const char* separator = ", ");
/// "1.50"; "nan" as it is.
std::string fixed(double value, int digits = 2);
/// As printf's %g.
std::string shortest(double value);

/// "45 s", "3 min 20 s", "2 h 5 min".
std::string duration(double seconds);
/// "87", "1,234", "12,345": whole numbers with separators.
std::string grouped(std::int64_t value);

/// The candidate with the fewest edits to `word` (letters put in, left out, changed, or exchanged
/// with their neighbours), if they are few; else empty.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

/// Whether `name` matches one of the comma-separated globs; * matches slashes too.
bool matches(const std::string& name, const std::string& globs);

/// Throws (usage) where none of the names matches the globs, naming all and the nearest.
void check_matched(const std::vector<std::string>& names, const std::string& globs);

/// The arguments as one line for a shell, quoted where it must be.
std::string command_line(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace shatter
