// Fetches data sets from their official hosts: downloaded aside, checked, then put in place.
#pragma once

#include <filesystem>
#include <iosfwd>

#include <shatter/data/known_datasets.h>

namespace shatter::data {

/// Fetches the files with curl into `folder`/subfolder, an archive unpacked with tar. Nothing
/// appears there before its checksum is right; a plain file that is already there and right is not
/// fetched again; a subfolder in the way of an archive's is kept beside it as "<subfolder>.old".
/// `log` (may be null) gets a line for each step; with it, curl shows its progress on a terminal.
/// Throws (data) naming the URL and what failed; partial files are removed.
void download(const KnownDataset& what, const std::filesystem::path& folder, std::ostream* log);

}  // namespace shatter::data
