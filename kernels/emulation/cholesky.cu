// What stands for cuSOLVER in emulation: the textbook's loops, by one thread.
#include <shatter/kernels/cuda/cholesky.h>

#include <cmath>
#include <numeric>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/profile.h>

namespace shatter::kernels {
namespace {

__global__ void factor(std::int64_t n, float* a, std::int64_t* failed) {
  *failed = -1;
  for (std::int64_t i = 0; i < n; ++i) {
    float* const row = a + i * n;
    for (std::int64_t j = 0; j <= i; ++j) {
      const float* const other = a + j * n;
      const float left = row[j] - std::inner_product(row, row + j, other, 0.f);
      if (i == j && !(left > 0)) {
        *failed = i;
        return;
      }
      row[j] = i == j ? std::sqrt(left) : left / other[j];
    }
  }
}

__global__ void solve(std::int64_t n, std::int64_t columns, const float* l, float* b) {
  for (float* x = b; x != b + columns * n; x += n) {
    for (std::int64_t i = 0; i < n; ++i)
      x[i] = (x[i] - std::inner_product(x, x + i, l + i * n, 0.f)) / l[i * n + i];
    for (std::int64_t i = n - 1; i >= 0; --i) {
      x[i] /= l[i * n + i];
      for (std::int64_t j = 0; j < i; ++j) x[j] -= l[i * n + j] * x[i];
    }
  }
}

}  // namespace

std::int64_t cholesky(CudaContext& context, std::int64_t n, float* a) {
  const ProfileScope scope(context, "cholesky", {n * n * n / 3, 2 * n * n * 4});
  const CudaWorkspace<std::int64_t> failed(context, 1);
  launch(context, "cholesky", {dim3(1), dim3(1)}, factor, n, a, failed.data());
  std::int64_t row = 0;
  context.copy_to_host(&row, failed.data(), sizeof row);
  return row;
}

void cholesky_solve(CudaContext& context, std::int64_t n, std::int64_t columns, const float* l,
                    float* b) {
  const ProfileScope scope(context, "cholesky_solve", {2 * n * n * columns, n * n * 4});
  launch(context, "cholesky_solve", {dim3(1), dim3(1)}, solve, n, columns, l, b);
}

}  // namespace shatter::kernels
