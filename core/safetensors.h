// Tensors in files: the safetensors format, exchangeable with PyTorch and NumPy.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include <shatter/core/tensor.h>

namespace shatter {

struct NamedTensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Writes all tensors (copied to the host, packed, little-endian) and the metadata beside `path`,
/// syncs, then renames: the file is the old one or the new one, never half. Types: F32, F64, BF16,
/// U8, I32, I64. Throws (data) naming the path when the system refuses.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& content);

/// Reads every tensor to the CPU; F16 becomes float32. Throws (data) naming the path and the fault
/// for: a missing or short file, a header that is not JSON or too long, an unknown type, a shape
/// that overflows or does not match its bytes, overlapping or unused bytes, duplicate keys.
NamedTensors load_safetensors(const std::filesystem::path& path);
/// The same from memory; `name` stands for the path in messages.
NamedTensors parse_safetensors(std::string_view bytes, std::string_view name);

}  // namespace shatter
