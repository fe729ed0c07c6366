// Where the files of a data set lie, and what to say when they do not.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <shatter/data/dataset.h>

namespace shatter::data {

/// "train" or "test".
const char* name_of(Split split);

/// "fetch it again with: download_data --data datasets cifar10", for files in `place`, which is the
/// data set's usual subfolder of the data folder or that folder itself.
std::string fetch_again(const std::string& name, const std::filesystem::path& place,
                        const std::string& subfolder);

/// `folder`/`subfolder` if it exists, else `folder` if it holds one of `files`. Throws (data) with
/// both places and the command that fetches the data set.
std::filesystem::path find_data(const std::string& name, const std::filesystem::path& folder,
                                const std::string& subfolder,
                                const std::vector<std::string>& files);

/// The file's bytes. Throws (data) naming the data set, the path and the command.
std::string read_data_file(const std::string& name, const std::filesystem::path& path,
                           const std::string& subfolder);

/// provenance.txt of the folder without the white space around it; empty when there is none.
std::string read_provenance(const std::filesystem::path& folder);

}  // namespace shatter::data
