// Child processes for tests: the real program, its output and its end.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/files.h"

/// A program running with its output in files; killed and reaped when it goes out of scope.
class Process {
 public:
  Process(const std::string& program, const std::vector<std::string>& arguments,
          const std::filesystem::path& output)
      : out_(output.string() + ".out"), err_(output.string() + ".err") {
    std::vector<char*> words{const_cast<char*>(program.c_str())};
    for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    id_ = ::fork();
    REQUIRE(id_ >= 0);
    if (id_ == 0) {
      redirect(out_, STDOUT_FILENO);
      redirect(err_, STDERR_FILENO);
      ::execv(program.c_str(), words.data());
      ::_exit(127);
    }
  }
  ~Process() {
    if (id_ > 0) signal(SIGKILL), wait();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) const { ::kill(id_, number); }
  /// The exit status, or minus the signal that ended it.
  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    id_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string out() const { return get(out_); }
  std::string err() const { return get(err_); }

 private:
  static void redirect(const std::string& path, int target) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file < 0 || ::dup2(file, target) < 0) ::_exit(127);
    ::close(file);
  }

  std::string out_, err_;
  pid_t id_ = -1;
};

inline void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

/// What a finished program said.
struct Finished {
  int status = 0;
  std::string out, err;
};
inline Finished run_program(const std::string& program, const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  Process process(program, arguments, folder / "output");
  const int status = process.wait();
  return {status, process.out(), process.err()};
}

/// What `body` prints in this process, with the status it returns.
inline Finished captured(const std::function<int()>& body) {
  std::ostringstream out, err;
  std::streambuf* const cout = std::cout.rdbuf(out.rdbuf());
  std::streambuf* const cerr = std::cerr.rdbuf(err.rdbuf());
  const int status = body();
  std::cout.rdbuf(cout);
  std::cerr.rdbuf(cerr);
  return {status, out.str(), err.str()};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
