// The Gaussian kernel matrix.
#include <shatter/kernels/functions.h>
#include <shatter/kernels/gaussian_kernel.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

template <class T>
void row_squared_norms(CpuContext& context, std::int64_t rows, std::int64_t columns, const T* x,
                       T* norms) {
  const ProfileScope scope(context, "row_squared_norms",
                           rows_work<T>(rows, columns, 2, rows, sizeof(T)));
  context.parallel_for(rows, rows_per_chunk(columns), [=](std::int64_t begin, std::int64_t end) {
    multiversion([=] {
      for (std::int64_t row = begin; row < end; ++row) {
        // Eight running sums keep the order fixed and the lanes busy.
        double sums[8] = {};
        for (std::int64_t i = 0; i < columns; ++i) {
          const auto value = static_cast<double>(x[row * columns + i]);
          sums[i % 8] += value * value;
        }
        norms[row] = static_cast<T>(((sums[0] + sums[4]) + (sums[2] + sums[6])) +
                                    ((sums[1] + sums[5]) + (sums[3] + sums[7])));
      }
    });
  });
}

template <class T>
void gaussian_kernel(CpuContext& context, const GaussianKernelGeometry& g, const T* a_norms,
                     const T* b_norms, T* k) {
  const ProfileScope scope(context, "gaussian_kernel", gaussian_kernel_work<T>(g));
  // An exponential costs about as much as sixteen plain operations.
  context.parallel_for(
      g.m, rows_per_chunk(16 * g.n),
      [=, n = g.n, same = g.same_points, factor = static_cast<T>(gaussian_factor(g.sigma))](
          std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          T* const row = k + i * n;
          for (std::int64_t j = 0; j < n; ++j)
            row[j] = gaussian(a_norms[i], b_norms[j], row[j], factor);
          if (same) row[i] = T(1);
        }
      });
}

template void row_squared_norms(CpuContext&, std::int64_t, std::int64_t, const float*, float*);
template void row_squared_norms(CpuContext&, std::int64_t, std::int64_t, const double*, double*);
template void gaussian_kernel(CpuContext&, const GaussianKernelGeometry&, const float*,
                              const float*, float*);
template void gaussian_kernel(CpuContext&, const GaussianKernelGeometry&, const double*,
                              const double*, double*);

}  // namespace shatter::kernels
