// Progress on stderr: a bar with images/s and time left, or whole lines at intervals.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <ostream>
#include <string>

namespace shatter::experiments {

enum class ProgressMode { automatic, bar, plain, none };

/// What a training run says about itself.
struct CellProgress {
  std::int64_t epoch = 0, epochs = 0;  ///< epochs finished, and at most to come
  std::int64_t images = 0, total = 0;  ///< training images of the whole run: done, at most
  double loss = 0, accuracy = 0;       ///< of the epoch so far; accuracy in [0, 1]
};

/// Thread safe; nothing is written to `out` but whole lines and, with a bar, the last line redrawn.
class Progress {
 public:
  using Clock = std::function<double()>;  ///< seconds
  /// `mode` must be settled (see settle). interval: seconds between plain lines of a cell.
  Progress(std::ostream& out, ProgressMode mode, double interval = 10, Clock clock = {});
  ~Progress();
  /// automatic becomes bar if stderr is a terminal, else plain.
  static ProgressMode settle(ProgressMode mode);

  void set_cells(std::int64_t total);
  /// A cell begins, having done `images` in earlier sessions.
  void begin(const std::string& cell, std::int64_t images);
  void update(const std::string& cell, const CellProgress& progress);
  /// For work that is not training: the part done, in [0, 1], and what it does ("Cholesky").
  void update(const std::string& cell, double part, const std::string& what);
  /// A cell ends; `line` is printed in every mode but none.
  void end(const std::string& cell, const std::string& line);
  /// A message; printed in every mode but none.
  void say(const std::string& line);

 private:
  struct Running {
    CellProgress latest;
    double begin = 0, last_line = 0;
    std::int64_t first_images = 0;
    double part = 0;   ///< of work that is not training
    std::string what;  ///< empty for training
  };
  void show(const std::string& cell, Running& running);
  std::string describe(const std::string& cell, const Running& running) const;
  void draw_bar(const std::string& cell, const Running& running);
  void write_line(const std::string& line);
  void erase_bar();

  std::ostream& out_;
  ProgressMode mode_;
  double interval_;
  Clock clock_;
  std::mutex mutex_;
  std::map<std::string, Running> running_;
  std::int64_t cells_ = 0, ended_ = 0;
  double last_bar_ = -1;
  bool bar_shown_ = false;
};

}  // namespace shatter::experiments
