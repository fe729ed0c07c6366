// Checksums that tell a good copy of a file from a bad one: MD5 (RFC 1321), SHA-256 (FIPS 180-4).
#pragma once

#include <string>
#include <string_view>

namespace shatter::data {

/// The digest in lower-case hexadecimal. MD5 detects accidents only, not malice.
std::string md5(std::string_view bytes);
std::string sha256(std::string_view bytes);

}  // namespace shatter::data
