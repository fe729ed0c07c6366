// Storage of a symmetric matrix's lower triangle.
#include <shatter/experiments/linear_algebra/packed_matrix.h>

#include <new>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

PackedLower::PackedLower(std::int64_t n, std::int64_t block) : n_(n), block_(block) {
  check(n >= 1 && block >= 1, "PackedLower: n ", n, ", block ", block, "; both must be at least 1");
  try {
    for (std::int64_t first = 0; first < n; first += block) {
      const auto elements = std::size_t(n - first) * std::size_t(std::min(block, n - first));
      columns_.push_back(std::make_unique_for_overwrite<float[]>(elements));
    }
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::unexpected, "no memory for a matrix of ", n, " x ", n,
         ": its lower triangle takes ", bytes(n, block) / 1e9, " GB");
  }
}

double PackedLower::bytes(std::int64_t n, std::int64_t block) {
  double elements = 0;
  for (std::int64_t first = 0; first < n; first += block)
    elements += double(n - first) * double(std::min(block, n - first));
  return 4 * elements;
}

}  // namespace shatter::experiments
