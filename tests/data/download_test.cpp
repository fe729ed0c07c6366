// Downloads of small files made here, over file:// URLs.
#include <shatter/data/download.h>

#include <cstdio>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <vector>

#include <shatter/data/checksum.h>

#include "tests/support/files.h"

using namespace shatter;

namespace {

namespace fs = std::filesystem;

std::string url_of(const fs::path& path) {
  return "file://" + path.string();
}

/// An archive like CIFAR's: a folder "set-bin" with two files.
fs::path make_archive(const fs::path& folder, const std::string& content) {
  put(folder / "set-bin" / "batch.bin", content);
  put(folder / "set-bin" / "readme.html", "read me");
  const fs::path archive = folder / "set.tar.gz";
  const std::string command =
      "tar -czf '" + archive.string() + "' -C '" + folder.string() + "' set-bin";
  REQUIRE(std::system(command.c_str()) == 0);
  return archive;
}

data::KnownDataset archive_download(const fs::path& archive, const std::string& checksum) {
  return {.name = "set", .subfolder = "set-bin", .files = {{url_of(archive), checksum, true}}};
}

/// Names in a folder.
std::string names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::string result;
  for (const std::string& name : names) result += name + " ";
  return result;
}

}  // namespace

TEST_CASE("download: an archive is checked, unpacked and put in place") {
  const TemporaryFolder source, target;
  const fs::path archive = make_archive(source.path(), "the records");
  const fs::path folder = target / "new";
  for (const std::string& checksum : {data::sha256(get(archive)), data::md5(get(archive))}) {
    fs::remove_all(folder);
    data::download(archive_download(archive, checksum), folder, nullptr);
    CHECK(get(folder / "set-bin" / "batch.bin") == "the records");
    CHECK(get(folder / "set-bin" / "readme.html") == "read me");
    CHECK(names_in(folder) == "set-bin ");
  }
}

TEST_CASE("download: a folder in the way is kept, leftovers of a killed run are not") {
  const TemporaryFolder source, target;
  const fs::path archive = make_archive(source.path(), "new");
  const data::KnownDataset what = archive_download(archive, data::sha256(get(archive)));
  put(target / "set-bin/batch.bin", "old");
  put(target / "set.tar.gz.part", "half a transfer");
  put(target / "set-bin.unpacking/set-bin/batch.bin", "half an archive");
  std::ostringstream log;
  data::download(what, target.path(), &log);
  CHECK(get(target / "set-bin/batch.bin") == "new");
  CHECK(get(target / "set-bin.old/batch.bin") == "old");
  CHECK(names_in(target.path()) == "set-bin set-bin.old ");
  CHECK_THAT(log.str(), Contains("kept the former folder") && Contains("set: fetching file://"));
  data::download(what, target.path(), nullptr);
  CHECK(names_in(target.path()) == "set-bin set-bin.old set-bin.old2 ");
}

TEST_CASE("download: a wrong checksum leaves nothing and changes nothing") {
  const TemporaryFolder source, target;
  const fs::path archive = make_archive(source.path(), "the records");
  const std::string checksum = data::sha256(get(archive));
  put(target / "set-bin/batch.bin", "old");
  // The same for a transfer that was cut: bytes that are not those expected.
  for (const bool cut : {false, true}) {
    std::string bytes = get(archive);
    if (cut)
      bytes.resize(bytes.size() / 2);
    else
      bytes.back() = char(bytes.back() ^ 1);
    put(archive, bytes);
    const std::string message = message_of(
        [&] { data::download(archive_download(archive, checksum), target.path(), nullptr); });
    CHECK_THAT(message, Contains(url_of(archive)) && Contains("wrong checksum") &&
                            Contains(data::sha256(bytes)) && Contains(checksum));
    CHECK(names_in(target.path()) == "set-bin ");
    CHECK(get(target / "set-bin/batch.bin") == "old");
  }
}

TEST_CASE("download: what cannot be fetched or unpacked is said") {
  const TemporaryFolder source, target;
  const std::string none(64, '0');
  std::string message = message_of([&] {
    data::download(archive_download(source / "none.tar.gz", none), target.path(), nullptr);
  });
  CHECK_THAT(message, Contains("set: ") && Contains("none.tar.gz") && Contains("curl ended with"));
  CHECK(names_in(target.path()).empty());

  put(source / "bad.tar.gz", "no archive");
  message = message_of([&] {
    data::download(archive_download(source / "bad.tar.gz", data::md5("no archive")), target.path(),
                   nullptr);
  });
  CHECK_THAT(message, Contains("does not unpack to a folder set-bin"));
  CHECK(names_in(target.path()).empty());

  const fs::path archive = make_archive(source.path(), "x");
  data::KnownDataset other = archive_download(archive, data::md5(get(archive)));
  other.subfolder = "other";
  message = message_of([&] { data::download(other, target.path(), nullptr); });
  CHECK_THAT(message, Contains("does not unpack to a folder other"));
  CHECK(names_in(target.path()).empty());

  put(target / "file", "in the way");
  message = message_of([&] { data::download(other, target / "file", nullptr); });
  CHECK_THAT(message, Contains("set: "));
}

TEST_CASE("download: plain files are kept as they are, and not fetched twice") {
  const TemporaryFolder source, target;
  put(source / "a.gz", "first");
  put(source / "b.gz", "second");
  const data::KnownDataset what{.name = "digits",
                                .subfolder = "digits",
                                .files = {{url_of(source / "a.gz"), data::md5("first")},
                                          {url_of(source / "b.gz"), data::md5("second")}}};
  data::download(what, target.path(), nullptr);
  CHECK(get(target / "digits/a.gz") == "first");
  CHECK(get(target / "digits/b.gz") == "second");
  CHECK(names_in(target / "digits") == "a.gz b.gz ");

  // The right file stays although its source is gone; the damaged one is mended.
  fs::remove(source / "a.gz");
  put(target / "digits/b.gz", "damaged");
  std::ostringstream log;
  data::download(what, target.path(), &log);
  CHECK_THAT(log.str(), Contains("a.gz is already there"));
  CHECK(get(target / "digits/b.gz") == "second");
}

TEST_CASE("download: a data set that cannot be fetched leaves no empty folder") {
  const TemporaryFolder target;
  const data::KnownDataset what{.name = "digits",
                                .subfolder = "digits",
                                .files = {{url_of(target / "none.gz"), data::md5("")}}};
  CHECK_THAT(message_of([&] { data::download(what, target.path(), nullptr); }),
             Contains("none.gz") && Contains("could not be fetched"));
  CHECK(names_in(target.path()).empty());  // and an empty folder of the user's stays
}

TEST_CASE("download: the known sources are complete") {
  for (const data::KnownDataset& known : data::known_datasets()) {
    CHECK(&data::known_dataset(known.name) == &known);
    CHECK(static_cast<bool>(known.read));
    CHECK(known.train_size > 0);
    CHECK(!known.title.empty());
    for (const data::DownloadFile& file : known.files) {
      CHECK((file.checksum.size() == 32 || file.checksum.size() == 64));
      CHECK(file.checksum.find_first_not_of("0123456789abcdef") == std::string::npos);
      CHECK(file.url.starts_with("http"));
      CHECK(file.unpack == file.url.ends_with(".tar.gz"));
    }
  }
  CHECK_THAT(message_of([] { data::known_dataset("synthetic"); }, ErrorKind::usage),
             Contains("cifar10, cifar100, mnist, fashion-mnist, kmnist"));
}

TEST_CASE("every known data set that is here is whole", "[.real]") {
  const fs::path folder = data::data_folder();
  for (const data::KnownDataset& known : data::known_datasets()) {
    if (!data::is_available(known, folder)) continue;
    INFO(known.name);
    for (const data::Split split : {data::Split::train, data::Split::test}) {
      const data::Dataset set = data::load(known.name, folder, split);
      CHECK(set.size() == (split == data::Split::train ? known.train_size : known.test_size));
      CHECK_NOTHROW(data::check_labels("test", set));
    }
    std::printf("%s: whole\n", known.title.c_str());
  }
}
