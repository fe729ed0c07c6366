// Files of one run: locking, appending, saving.
#include <shatter/experiments/runs/run_folder.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include <shatter/core/file.h>
#include <shatter/experiments/runs/result.h>
#include <shatter/experiments/train/cell.h>

namespace shatter::experiments {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

[[noreturn]] void refuse(const fs::path& path, const char* what) {
  fail(ErrorKind::data, path.string(), ": ", what, ": ", std::strerror(errno));
}

void check_configuration(const fs::path& path, const json& expected) {
  const json found = read_json(path);
  if (found == expected) return;
  std::string keys;
  for (const std::string& line : differences(expected, found)) keys += "\n  " + line;
  fail(ErrorKind::data, path.string(), " is not the configuration this folder is named for:", keys,
       "\nPut it back, or move the folder away to train the cell afresh.");
}

}  // namespace

RunFolder::RunFolder(fs::path path, int lock, std::string hash)
    : path_(std::move(path)), hash_(std::move(hash)), lock_(lock) {}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      hash_(std::move(other.hash_)),
      lock_(std::exchange(other.lock_, -1)),
      metrics_(std::exchange(other.metrics_, -1)) {}

RunFolder::~RunFolder() {
  if (metrics_ >= 0) ::close(metrics_);
  if (lock_ >= 0) ::close(lock_);
}

std::optional<RunFolder> RunFolder::open(const fs::path& runs, const std::string& name,
                                         const json& expected) {
  const fs::path path = runs / name;
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(ErrorKind::data, path.string(), ": cannot make the folder: ", error.message());
  const int lock = ::open((path / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock < 0) refuse(path / "lock", "cannot open");
  RunFolder folder(path, lock, hash8(expected));
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    refuse(path / "lock", "cannot lock");
  }
  const fs::path config_path = path / "config.json";
  if (fs::exists(config_path)) {
    check_configuration(config_path, expected);
  } else {
    write_file_atomically(config_path, expected.dump(2) + "\n");
  }
  return folder;
}

bool RunFolder::has_result() const {
  return fs::exists(path_ / "result.json");
}

void RunFolder::start_over() {
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const fs::path name = entry.path().filename();
    if (name != "config.json" && name != "lock") old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove_all(path);
}

void RunFolder::add_session(const json& session) {
  const fs::path path = path_ / "env.json";
  json content = fs::exists(path) ? read_json(path) : json{{"sessions", json::array()}};
  content["sessions"].push_back(session);
  write_file_atomically(path, content.dump(2) + "\n");
}

void RunFolder::open_metrics(std::uintmax_t length) {
  const fs::path path = path_ / "metrics.jsonl";
  if (metrics_ < 0)
    metrics_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (metrics_ < 0) refuse(path, "cannot open");
  if (fs::file_size(path) < length) {
    fail(ErrorKind::data, path.string(), ": ", fs::file_size(path), " bytes, the checkpoint knows ",
         length,
         "; put the file back, or remove the folder or pass --resume never to train the "
         "cell afresh");
  }
  if (::ftruncate(metrics_, static_cast<off_t>(length)) != 0) refuse(path, "cannot cut");
}

void RunFolder::append_metrics(std::string_view line) {
  const std::string text = std::string(line) + "\n";
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(metrics_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse(path_ / "metrics.jsonl", "cannot write");
    done += std::size_t(written);
  }
}

void RunFolder::save(NamedTensors state, double seconds) {
  if (::fsync(metrics_) != 0) refuse(path_ / "metrics.jsonl", "cannot sync");
  state.metadata["metrics_bytes"] = std::to_string(fs::file_size(path_ / "metrics.jsonl"));
  state.metadata["cell"] = hash_;
  state.metadata["seconds"] = std::to_string(seconds);
  save_safetensors(checkpoint_path(), state);
}

std::optional<RunFolder::Saved> RunFolder::load() {
  if (!fs::exists(checkpoint_path())) {
    open_metrics(0);
    return std::nullopt;
  }
  const std::string mend = "; remove this file or pass --resume never to train the cell afresh";
  Saved saved;
  try {
    saved.state = load_safetensors(checkpoint_path());
  } catch (const Error& error) {
    fail(error.kind(), error.what(), mend);
  }
  const std::string where = checkpoint_path().string();
  const auto& metadata = saved.state.metadata;
  for (const char* key : {"cell", "metrics_bytes", "seconds"}) {
    if (!metadata.contains(key)) fail(ErrorKind::data, where, ": no ", key, " in it", mend);
  }
  if (metadata.at("cell") != hash_) {
    fail(ErrorKind::data, where, ": of cell ", metadata.at("cell"), ", not ", hash_, mend);
  }
  const std::string& bytes = metadata.at("metrics_bytes");
  std::uintmax_t length = 0;
  const auto [end, error] = std::from_chars(bytes.data(), bytes.data() + bytes.size(), length);
  if (error != std::errc() || *end != '\0')
    fail(ErrorKind::data, where, ": metrics_bytes is \"", bytes, '"', mend);
  saved.seconds = std::strtod(metadata.at("seconds").c_str(), nullptr);
  open_metrics(length);
  return saved;
}

json RunFolder::plans() const {
  const fs::path path = path_ / "plans.json";
  return fs::exists(path) ? read_json(path) : json();
}

void RunFolder::save_plans(const json& plans) {
  write_file_atomically(path_ / "plans.json", plans.dump(2) + "\n");
}

void RunFolder::finish(const json& result, double seconds) {
  if (metrics_ >= 0 && ::fsync(metrics_) != 0) refuse(path_ / "metrics.jsonl", "cannot sync");
  write_file_atomically(path_ / "timing.json", json{{"seconds", seconds}}.dump() + "\n");
  write_file_atomically(path_ / "result.json", result.dump(2) + "\n");
  fs::remove_all(work_path());
}

}  // namespace shatter::experiments
