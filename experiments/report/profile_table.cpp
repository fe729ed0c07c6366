// Lines of a profile, and what is left of the time.
#include <shatter/core/text.h>
#include <shatter/experiments/report/profile_table.h>

#include <algorithm>
#include <cstdio>

#include <shatter/experiments/report/text_table.h>

namespace shatter::experiments {
namespace {

template <class... Values>
std::string printed(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

/// 1e-9 amount / seconds; "-" where there is nothing to tell.
std::string rate(std::int64_t amount, double seconds) {
  return amount > 0 && seconds > 0 ? fixed(1e-9 * static_cast<double>(amount) / seconds, 1) : "-";
}

}  // namespace

double Profile::outside_kernels() const {
  double rest = base();
  for (const ProfileRow& row : rows) rest -= row.seconds;
  return rest;
}

std::string profile_table(const Profile& profile, std::int64_t steps) {
  const double base = profile.base();
  const double parts = static_cast<double>(std::max<std::int64_t>(1, steps));
  const double unit = (steps > 0 ? 1e3 : 1) / parts;
  std::size_t width = std::string("outside kernels").size();
  for (const ProfileRow& row : profile.rows) width = std::max(width, row.name.size());
  const auto line = [&](const std::string& name, const std::string& calls, double seconds,
                        const std::string& gflops, const std::string& gbs) {
    return printed("%-*s %10s %12.3f %7.2f %10s %10s\n", static_cast<int>(width), name.c_str(),
                   calls.c_str(), seconds * unit, base > 0 ? 100 * seconds / base : 0,
                   gflops.c_str(), gbs.c_str());
  };
  std::string text = printed("%-*s %10s %12s %7s %10s %10s\n", static_cast<int>(width), "kernel",
                             steps > 0 ? "calls/step" : "calls", steps > 0 ? "ms/step" : "seconds",
                             "share %", "GFLOP/s", "GB/s");
  for (const ProfileRow& row : profile.rows) {
    text += line(row.name, fixed(static_cast<double>(row.calls) / parts, steps > 0 ? 1 : 0),
                 row.seconds, rate(row.work.flop, row.seconds), rate(row.work.bytes, row.seconds));
  }
  text += line("outside kernels", "-", profile.outside_kernels(), "-", "-");
  const std::string times =
      profile.at_once > 1 ? " x " + std::to_string(profile.at_once) + " threads in kernels" : "";
  return text + "shares are of " + fixed(profile.seconds * unit, 3) +
         (steps > 0 ? " ms" : " seconds") + times + "\n";
}

}  // namespace shatter::experiments
