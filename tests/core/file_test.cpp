// Whole files: reading, atomic writing, and what happens when the system refuses.
#include <shatter/core/file.h>

#include <signal.h>
#include <sys/resource.h>

#include <thread>
#include <vector>

#include "tests/support/files.h"

using namespace shatter;

namespace {

std::size_t files_in(const std::filesystem::path& folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

/// No file may grow beyond `bytes` while it lives: what a full disk looks like to write().
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_) == 0);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("files are written and read whole") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  std::string big(3'000'001, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = char(i * 7 + i / 251);
  for (const std::string& content : {std::string(), std::string("a\0b\n", 4), big}) {
    write_file_atomically(path, content);
    CHECK(get(path) == content);
    CHECK(read_file(path) == content);
    CHECK(files_in(folder.path()) == 1);
  }
}

TEST_CASE("a file without a known size is read whole") {
  const std::string status = read_file("/proc/self/status");
  CHECK_THAT(status, Contains("Name:"));
}

TEST_CASE("a bare name is written to the current folder") {
  const TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_file_atomically("bare", "content");
  std::filesystem::current_path(before);
  CHECK(get(folder / "bare") == "content");
}

TEST_CASE("refusals name the path and the system's reason") {
  const TemporaryFolder folder;
  const auto missing = folder / "none" / "file";
  std::string message = message_of([&] { read_file(missing); });
  CHECK_THAT(message, Contains(missing.string()) && Contains("No such file"));
  message = message_of([&] { write_file_atomically(missing, "x"); });
  CHECK_THAT(message, Contains(missing.string()) && Contains("No such file"));
  message = message_of([&] { read_file(folder.path()); });
  CHECK_THAT(message, Contains(folder.path().string()) && Contains("directory"));
  message = message_of([&] { write_file_atomically(folder.path(), "x"); });
  CHECK_THAT(message, Contains(folder.path().string()) && Contains("irectory"));
}

TEST_CASE("a write that fails half way leaves the old file and nothing else") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint";
  write_file_atomically(path, "the old content");
  std::string message;
  {
    const FileSizeLimit limit(4096);
    message = message_of([&] { write_file_atomically(path, std::string(100'000, 'x')); });
  }
  CHECK_THAT(message, Contains(path.string()) && Contains("File too large"));
  CHECK(get(path) == "the old content");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("writers of one path at once leave one of their files") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  std::vector<std::thread> writers;
  for (char name = 'a'; name < 'e'; ++name) {
    writers.emplace_back([&path, name] {
      for (int i = 0; i < 20; ++i) write_file_atomically(path, std::string(50'000, name));
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string content = get(path);
  CHECK(content == std::string(50'000, content.at(0)));
  CHECK(files_in(folder.path()) == 1);
}
