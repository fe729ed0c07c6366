// Whole files through POSIX calls: the standard streams can neither sync nor say why they failed.
#include <shatter/core/file.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

#include <shatter/kernels/error.h>

namespace shatter {
namespace {

[[noreturn]] void refuse(const char* deed, const std::filesystem::path& path, int error) {
  fail(ErrorKind::data, "cannot ", deed, " ", path.string(), ": ",
       std::generic_category().message(error));
}

/// An open file descriptor, closed once.
class File {
 public:
  File(const std::filesystem::path& path, int flags) {
    do fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    while (fd_ < 0 && errno == EINTR);
  }
  ~File() { close(); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  /// Closes, and tells whether that worked: some file systems report a full disk only here.
  bool close() {
    if (fd_ < 0) return true;
    const int fd = fd_;
    fd_ = -1;
    return ::close(fd) == 0 || errno == EINTR;
  }

 private:
  int fd_;
};

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    content.remove_prefix(std::size_t(written));
  }
  return true;
}

bool sync(int fd) {
  while (::fsync(fd) != 0) {
    if (errno == EINTR) continue;
    return errno == EINVAL || errno == ENOTSUP;  // what cannot be synced needs no sync
  }
  return true;
}

/// A name beside `path` that no other thread or process uses.
std::filesystem::path temporary_beside(const std::filesystem::path& path) {
  static std::atomic<unsigned> counter{0};
  std::filesystem::path temporary = path;
  temporary += text(".tmp-", ::getpid(), "-", counter++);
  return temporary;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path temporary = temporary_beside(path);
  // A leftover of a killed process with our number would be in the way: O_TRUNC, not O_EXCL.
  File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.is_open()) refuse("write", path, errno);
  if (!write_all(file.fd(), content) || !sync(file.fd()) || !file.close() ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    refuse("write", path, error);
  }
  // The rename itself must reach the disk. A folder that may be written but not read cannot be
  // opened here; the file is complete all the same.
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  File folder(parent, O_RDONLY | O_DIRECTORY);
  if (folder.is_open() && !sync(folder.fd())) refuse("sync the folder of", path, errno);
}

std::string read_file(const std::filesystem::path& path) {
  File file(path, O_RDONLY);
  if (!file.is_open()) refuse("read", path, errno);
  struct stat status {};
  if (::fstat(file.fd(), &status) != 0) refuse("read", path, errno);
  if (S_ISDIR(status.st_mode)) refuse("read", path, EISDIR);

  // The size is a hint only: pipes have none, and a file may grow while it is read.
  std::string content(std::size_t(status.st_size > 0 ? status.st_size : 0), '\0');
  std::size_t size = 0;
  for (;;) {
    char spare;  // at the expected end, one more byte tells whether there is more
    const bool full = size == content.size();
    const ssize_t got = full ? ::read(file.fd(), &spare, 1)
                             : ::read(file.fd(), content.data() + size, content.size() - size);
    if (got < 0) {
      if (errno == EINTR) continue;
      refuse("read", path, errno);
    }
    if (got == 0) break;
    if (full) {
      content.resize(content.size() * 2 + 4096);
      content[size] = spare;
    }
    size += std::size_t(got);
  }
  content.resize(size);
  return content;
}

}  // namespace shatter
