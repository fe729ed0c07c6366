// The data sets the library knows, in one table: what loads, downloads, checks and names them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <shatter/data/dataset.h>

namespace shatter::data {

/// One file to fetch.
struct DownloadFile {
  std::string url;
  std::string checksum;  ///< MD5 (32 hexadecimal digits) or SHA-256 (64)
  bool unpack = false;   ///< a .tar.gz that holds the data set's subfolder; else kept as it is
};

struct KnownDataset {
  std::string name;        ///< as in load()
  std::string title = {};  ///< as printed: "CIFAR-10"
  std::int64_t train_size = 0, test_size = 0;
  std::string subfolder = {};   ///< of the data folder
  std::string first_file = {};  ///< which tells that the data folder is itself that subfolder
  std::vector<DownloadFile> files = {};
  /// Reads a split from the data folder; throws (data) for missing or damaged files.
  std::function<Dataset(const std::filesystem::path& folder, Split split)> read = {};
};

/// All but "synthetic", which needs no files.
const std::vector<KnownDataset>& known_datasets();
/// The one of that name; throws (usage) with the names there are.
const KnownDataset& known_dataset(const std::string& name);
/// Whether the data folder holds the data set's files or its subfolder, whole or not.
bool is_available(const KnownDataset& dataset, const std::filesystem::path& folder);

}  // namespace shatter::data
