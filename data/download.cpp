// Downloads by curl and tar: programs every system has, which know proxies and certificates.
#include <shatter/data/download.h>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ostream>
#include <system_error>

#include <shatter/core/file.h>
#include <shatter/data/checksum.h>
#include <shatter/kernels/error.h>

extern char** environ;

namespace shatter::data {
namespace {

namespace fs = std::filesystem;

/// Runs a program found in PATH and waits for it; returns its exit status, 128 + n after signal n.
int run(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ);
  if (error == ENOENT) {
    fail(ErrorKind::data, words[0], " is not installed; install it, or fetch the files by hand");
  }
  if (error != 0) {
    fail(ErrorKind::data, "cannot run ", words[0], ": ", std::generic_category().message(error));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      fail(ErrorKind::data, "cannot wait for ", words[0], ": ",
           std::generic_category().message(errno));
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Removes a file or folder of ours when left early.
class Scratch {
 public:
  explicit Scratch(fs::path path) : path_(std::move(path)) { remove(); }
  ~Scratch() { remove(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& path() const { return path_; }

 private:
  void remove() noexcept {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path path_;
};

/// Makes a folder where there is none, and removes it if it is still empty at the end: to a loader
/// an empty one looks like a damaged data set rather than none.
class NewFolder {
 public:
  explicit NewFolder(const fs::path& path) : path_(path), made_(fs::create_directories(path)) {}
  ~NewFolder() {
    if (made_) ::rmdir(path_.c_str());
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

 private:
  fs::path path_;
  bool made_;
};

std::string digest_of(const fs::path& path, const std::string& expected) {
  const std::string bytes = read_file(path);
  return expected.size() == 32 ? md5(bytes) : sha256(bytes);
}

std::string file_name(const std::string& url) {
  return url.substr(url.rfind('/') + 1);
}

/// Fetches to `part` and checks it.
void fetch(const KnownDataset& what, const DownloadFile& file, const fs::path& part, bool show) {
  const int status =
      run({"curl", "--fail", "--location", "--retry", "3", show ? "--progress-bar" : "--silent",
           "--show-error", "--output", part.string(), "--url", file.url});
  if (status != 0) {
    fail(ErrorKind::data, what.name, ": ", file.url, " could not be fetched (curl ended with ",
         status, "); run the command again, or put the file's contents into ", what.subfolder,
         " by hand");
  }
  const std::string digest = digest_of(part, file.checksum);
  if (digest != file.checksum) {
    fail(ErrorKind::data, what.name, ": ", file.url, " has the wrong checksum: ", digest,
         ", expected ", file.checksum, " (", fs::file_size(part),
         " bytes); the transfer was cut or the file has changed, run the command again");
  }
}

/// A free name for what is in the way: "x.old", "x.old2", ...
fs::path old_name(const fs::path& path) {
  for (int i = 1;; ++i) {
    fs::path result = path;
    result += i == 1 ? std::string(".old") : text(".old", i);
    if (!fs::exists(result)) return result;
  }
}

void unpack(const KnownDataset& what, const fs::path& archive, const fs::path& folder,
            std::ostream* log) {
  const Scratch scratch(folder / (what.subfolder + ".unpacking"));
  fs::create_directory(scratch.path());
  // A name with a colon would mean another machine to tar, unless it begins with a slash or dot.
  const int status = run(
      {"tar", "-xzf", fs::absolute(archive).string(), "-C", fs::absolute(scratch.path()).string()});
  const fs::path unpacked = scratch.path() / what.subfolder;
  if (status != 0 || !fs::is_directory(unpacked)) {
    fail(ErrorKind::data, what.name, ": ", archive.string(), " does not unpack to a folder ",
         what.subfolder, " (tar ended with ", status, ")");
  }
  const fs::path target = folder / what.subfolder;
  if (fs::exists(target)) {
    const fs::path old = old_name(target);
    fs::rename(target, old);
    if (log) *log << what.name << ": kept the former folder as " << old.string() << '\n';
  }
  fs::rename(unpacked, target);
}

void get(const KnownDataset& what, const DownloadFile& file, const fs::path& folder,
         std::ostream* log) {
  const std::string name = file_name(file.url);
  check(!name.empty() && (file.checksum.size() == 32 || file.checksum.size() == 64),
        "download: ", file.url, " has no file name or no MD5 or SHA-256");
  const fs::path home = file.unpack ? folder : folder / what.subfolder;
  const fs::path target = home / name;
  if (!file.unpack && fs::exists(target) && digest_of(target, file.checksum) == file.checksum) {
    if (log) *log << what.name << ": " << target.string() << " is already there\n";
    return;
  }
  if (log) *log << what.name << ": fetching " << file.url << '\n' << std::flush;
  const NewFolder unless_there(home);
  const Scratch part(home / (name + ".part"));
  fetch(what, file, part.path(), log && ::isatty(STDERR_FILENO));
  if (file.unpack)
    unpack(what, part.path(), folder, log);
  else
    fs::rename(part.path(), target);
  if (log) {
    *log << what.name << ": wrote " << (file.unpack ? folder / what.subfolder : target).string()
         << '\n';
  }
}

}  // namespace

void download(const KnownDataset& what, const fs::path& folder, std::ostream* log) {
  try {
    for (const DownloadFile& file : what.files) get(what, file, folder, log);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorKind::data, what.name, ": ", error.what());
  }
}

}  // namespace shatter::data
