// Finding and reading the files of a data set.
#include <shatter/data/files.h>

#include <system_error>

#include <shatter/core/file.h>

namespace shatter::data {

const char* name_of(Split split) {
  return split == Split::train ? "train" : "test";
}

std::string fetch_again(const std::string& name, const std::filesystem::path& place,
                        const std::string& subfolder) {
  const bool usual = place.filename() == subfolder;
  std::string folder = (usual ? place.parent_path() : place).string();
  if (folder.empty()) folder = ".";
  return "fetch it again with: download_data --data " + folder + " " + name;
}

std::filesystem::path find_data(const std::string& name, const std::filesystem::path& folder,
                                const std::string& subfolder,
                                const std::vector<std::string>& files) {
  std::error_code ignored;  // what cannot be asked about is as good as absent
  const std::filesystem::path usual = folder / subfolder;
  if (std::filesystem::is_directory(usual, ignored)) return usual;
  for (const std::string& file : files) {
    if (std::filesystem::exists(folder / file, ignored)) return folder;
  }
  fail(ErrorKind::data, name, ": there is no folder ", usual.string(), " and no ", files.front(),
       " in ", folder.string(), "; fetch it with: download_data --data ", folder.string(), " ",
       name);
}

std::string read_data_file(const std::string& name, const std::filesystem::path& path,
                           const std::string& subfolder) {
  try {
    return read_file(path);
  } catch (const Error& error) {
    fail(ErrorKind::data, name, ": ", error.what(), "; ",
         fetch_again(name, path.parent_path(), subfolder));
  }
}

std::string read_provenance(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "provenance.txt";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  const std::string content = read_file(path);
  const char* space = " \t\r\n";
  const std::size_t begin = content.find_first_not_of(space);
  if (begin == std::string::npos) return {};
  return content.substr(begin, content.find_last_not_of(space) + 1 - begin);
}

}  // namespace shatter::data
