// The one failure type of the library and the checks that throw it.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace shatter {

/// What went wrong, in the words a program's exit code needs.
enum class ErrorKind { unexpected, usage, data, device, diverged };

/// Thrown by everything in shatter, before anything the caller owns is written.
/// The message names the op, the offending values and, where there is one, the mend.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ErrorKind kind = ErrorKind::usage)
      : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

/// The parts streamed one after another: text("rank ", 3) == "rank 3".
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws Error of the given kind with the parts as its message.
template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(text(parts...), kind);
}

/// Throws Error (kind usage) unless `ok`; the message is built only then.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) fail(ErrorKind::usage, parts...);
}

}  // namespace shatter
