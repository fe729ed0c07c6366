// Tensors in NumPy's .npy files (format 1.0 and 2.0, little-endian, C order).
#pragma once

#include <filesystem>

#include <shatter/core/tensor.h>

namespace shatter {

/// Types: f4, f8, u1, i4, i8; bfloat16 is written as f4. Atomic like save_safetensors.
void save_npy(const std::filesystem::path& path, const Tensor& x);
/// Throws (data) naming the path for anything but the types above in C order.
Tensor load_npy(const std::filesystem::path& path);

}  // namespace shatter
