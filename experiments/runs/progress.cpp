// The bar and the plain lines.
#include <shatter/core/text.h>
#include <shatter/experiments/runs/progress.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace shatter::experiments {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Columns of the terminal on stderr; 0 where there is none.
std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace

Progress::Progress(std::ostream& out, ProgressMode mode, double interval, Clock clock)
    : out_(out),
      mode_(mode),
      interval_(interval),
      clock_(clock ? std::move(clock) : steady_seconds) {}

Progress::~Progress() {
  erase_bar();
}

ProgressMode Progress::settle(ProgressMode mode) {
  if (mode != ProgressMode::automatic) return mode;
  return isatty(STDERR_FILENO) ? ProgressMode::bar : ProgressMode::plain;
}

void Progress::set_cells(std::int64_t total) {
  const std::lock_guard lock(mutex_);
  cells_ = total;
}

void Progress::begin(const std::string& cell, std::int64_t images) {
  const std::lock_guard lock(mutex_);
  const double now = clock_();
  running_[cell] = {.latest = {.images = images},
                    .begin = now,
                    .last_line = now,
                    .first_images = images,
                    .what = {}};
}

void Progress::update(const std::string& cell, const CellProgress& progress) {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(cell);
  if (found == running_.end()) return;
  found->second.latest = progress;
  show(cell, found->second);
}

void Progress::update(const std::string& cell, double part, const std::string& what) {
  const std::lock_guard lock(mutex_);
  const auto found = running_.find(cell);
  if (found == running_.end()) return;
  found->second.part = part;
  found->second.what = what;
  show(cell, found->second);
}

void Progress::show(const std::string& cell, Running& running) {
  const double now = clock_();
  if (mode_ == ProgressMode::plain && now - running.last_line >= interval_) {
    running.last_line = now;
    write_line(describe(cell, running));
  }
  if (mode_ == ProgressMode::bar && now - last_bar_ >= 0.1) {
    last_bar_ = now;
    draw_bar(cell, running);
  }
}

void Progress::end(const std::string& cell, const std::string& line) {
  const std::lock_guard lock(mutex_);
  running_.erase(cell);
  ++ended_;
  if (mode_ == ProgressMode::none) return;
  write_line("[" + std::to_string(ended_) + "/" + std::to_string(cells_) + "] " + line);
}

void Progress::say(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (mode_ != ProgressMode::none) write_line(line);
}

std::string Progress::describe(const std::string& cell, const Running& running) const {
  const CellProgress& p = running.latest;
  const double seconds = std::max(1e-9, clock_() - running.begin);
  if (!running.what.empty()) {
    const std::string line =
        cell + ": " + running.what + ", " + fixed(100 * running.part, 0) + " %";
    if (running.part <= 0) return line;
    return line + ", about " + duration(seconds * (1 - running.part) / running.part) + " left";
  }
  const double rate = static_cast<double>(p.images - running.first_images) / seconds;
  std::string line = cell + ": epoch " + std::to_string(std::min(p.epoch + 1, p.epochs)) + "/" +
                     std::to_string(p.epochs) + ", training " + fixed(100 * p.accuracy, 1) + " %, ";
  if (rate > 0)
    line += "at most " + duration(static_cast<double>(p.total - p.images) / rate) + " left, ";
  return line + "loss " + fixed(p.loss, 4) + ", " + grouped(std::llround(rate)) + " images/s";
}

void Progress::draw_bar(const std::string& cell, const Running& running) {
  constexpr int width = 20;
  const CellProgress& p = running.latest;
  const double part =
      p.total > 0 ? static_cast<double>(p.images) / static_cast<double>(p.total) : running.part;
  const int filled = std::clamp(static_cast<int>(part * width), 0, width);
  std::string line = "[" + std::to_string(ended_) + "/" + std::to_string(cells_) + "] " +
                     std::string(std::size_t(filled), '#') +
                     std::string(std::size_t(width - filled), '.') + ' ' + describe(cell, running);
  const std::size_t columns = terminal_width();
  if (columns > 1 && line.size() >= columns)
    line.resize(columns - 1);  // a wrapped line stays behind
  out_ << "\r\033[K" << line << std::flush;
  bar_shown_ = true;
}

void Progress::erase_bar() {
  if (bar_shown_) out_ << "\r\033[K" << std::flush;
  bar_shown_ = false;
}

void Progress::write_line(const std::string& line) {
  erase_bar();
  out_ << line + "\n" << std::flush;
}

}  // namespace shatter::experiments
