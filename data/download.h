// Fetches data sets from their official hosts: downloaded aside, checked, then put in place.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace shatter::data {

/// One file to fetch.
struct DownloadFile {
  std::string url;
  std::string checksum;  ///< MD5 (32 hexadecimal digits) or SHA-256 (64)
  bool unpack = false;   ///< a .tar.gz that holds the data set's subfolder; else kept as it is
};

/// A data set: where its files are, and the subfolder of the data folder they go to.
struct Download {
  std::string name;       ///< as in load()
  std::string subfolder;  ///< as the loader expects it
  std::vector<DownloadFile> files;
};

/// The data sets with a known public source: all that load() reads but "synthetic".
const std::vector<Download>& known_downloads();
/// The one of that name; throws (usage) with the names there are.
const Download& find_download(const std::string& name);

/// Fetches the files with curl into `folder`/subfolder, an archive unpacked with tar. Nothing
/// appears there before its checksum is right; a plain file that is already there and right is not
/// fetched again; a subfolder in the way of an archive's is kept beside it as "<subfolder>.old".
/// `log` (may be null) gets a line for each step; with it, curl shows its progress on a terminal.
/// Throws (data) naming the URL and what failed; partial files are removed.
void download(const Download& what, const std::filesystem::path& folder, std::ostream* log);

}  // namespace shatter::data
