// Whole files, written so that a crash leaves the old one or the new one.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace shatter {

/// Writes a temporary file beside `path`, syncs it, renames it over `path` and syncs the folder.
/// Throws (data) with the path and the system's reason; the temporary file is removed.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// The file's bytes. Throws (data) with the path and the system's reason.
std::string read_file(const std::filesystem::path& path);

}  // namespace shatter
