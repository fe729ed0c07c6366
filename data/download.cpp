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
void fetch(const Download& what, const DownloadFile& file, const fs::path& part, bool show) {
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

void unpack(const Download& what, const fs::path& archive, const fs::path& folder,
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

void get(const Download& what, const DownloadFile& file, const fs::path& folder,
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

/// The four files of the MNIST family, MD5 in the order train images, train labels, test images,
/// test labels.
Download mnist_family(const std::string& name, const std::string& host,
                      const std::vector<std::string>& checksums) {
  Download result{name, name, {}};
  const char* files[] = {"train-images-idx3", "train-labels-idx1", "t10k-images-idx3",
                         "t10k-labels-idx1"};
  for (std::size_t i = 0; i < 4; ++i) {
    result.files.push_back({host + files[i] + "-ubyte.gz", checksums[i]});
  }
  return result;
}

}  // namespace

const std::vector<Download>& known_downloads() {
  static const std::vector<Download> known = {
      {"cifar10",
       "cifar-10-batches-bin",
       {{"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
         "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", true}}},
      {"cifar100",
       "cifar-100-binary",
       {{"https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
         "03b5dce01913d631647c71ecec9e9cb8", true}}},
      mnist_family("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist/",
                   {"f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                    "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"}),
      mnist_family("fashion-mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                   {"8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"}),
      mnist_family("kmnist", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                   {"bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
                    "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"}),
  };
  return known;
}

const Download& find_download(const std::string& name) {
  std::string names;
  for (const Download& known : known_downloads()) {
    if (known.name == name) return known;
    names += text(names.empty() ? "" : ", ", known.name);
  }
  fail(ErrorKind::usage, "no source is known for a data set \"", name, "\", only for ", names);
}

void download(const Download& what, const fs::path& folder, std::ostream* log) {
  try {
    for (const DownloadFile& file : what.files) get(what, file, folder, log);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorKind::data, what.name, ": ", error.what());
  }
}

}  // namespace shatter::data
