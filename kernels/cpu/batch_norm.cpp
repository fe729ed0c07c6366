// Batch normalisation: statistics, normalisation (with ReLU), and their gradients.
#include <cmath>

#include <shatter/kernels/batch_norm.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// Rows of one chunk of the two passes that only sum; each chunk has sums of its own.
std::int64_t rows_per_sum(const BatchNormGeometry& g) {
  return 8 * rows_per_chunk(g.channels);
}

// The forward value before the ReLU. Backward takes its mask from this very expression.
template <class T>
T normalized(T x, T mean, T scale, T shift) {
  return (x - mean) * scale + shift;
}

// Per channel: 1 / sqrt(variance + epsilon), gamma times that, and beta.
template <class T>
struct Scales {
  Workspace<T> space;
  T* inverse;
  T* scale;
  T* shift;

  Scales(std::int64_t channels, double epsilon, const T* variance, const T* gamma, const T* beta)
      : space(3 * channels),
        inverse(space.data()),
        scale(inverse + channels),
        shift(scale + channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      inverse[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(variance[c]) + epsilon));
      scale[c] = gamma ? gamma[c] * inverse[c] : inverse[c];
      shift[c] = beta ? beta[c] : T(0);
    }
  }
};

// Two sums per channel over all rows, [2, channels] in double: chunks by shape, added in order.
// add(begin, end, sums) adds rows [begin, end) to a chunk's sums.
template <class Add>
void sum_rows(CpuContext& context, const BatchNormGeometry& g, double* total, Add add) {
  const std::int64_t width = 2 * g.channels, grain = rows_per_sum(g);
  const std::int64_t chunks = ceil_div(g.rows, grain);
  const Workspace<double> partials(chunks * width);
  context.parallel(chunks, [&](std::int64_t chunk) {
    double* const sums = partials.data() + chunk * width;
    std::fill_n(sums, width, 0.0);
    add(chunk * grain, std::min(g.rows, (chunk + 1) * grain), sums);
  });
  std::fill_n(total, width, 0.0);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
    for (std::int64_t i = 0; i < width; ++i) total[i] += partials[chunk * width + i];
}

}  // namespace

template <class T>
void batch_norm_statistics(CpuContext& context, const BatchNormGeometry& g, const T* x,
                           wide_t<T>* mean, wide_t<T>* variance) {
  const ProfileScope scope(context, "batch_norm_statistics", batch_norm_statistics_work<T>(g));
  const Workspace<double> total(2 * g.channels);
  // Sums are of x less the first row: no cancellation where the mean is large.
  sum_rows(context, g, total.data(), [=](std::int64_t begin, std::int64_t end, double* sums) {
    multiversion([=, channels = g.channels, step = g.x_step()] {
      double* const sum = sums;
      double* const square = sums + channels;
      std::int64_t row = begin;
      for (; row + 4 <= end; row += 4) {
        const T* const r = x + row * step;
        SHATTER_INDEPENDENT
        for (std::int64_t c = 0; c < channels; ++c) {
          const double origin = static_cast<double>(x[c]);
          const double a = static_cast<double>(r[c]) - origin;
          const double b = static_cast<double>(r[step + c]) - origin;
          const double d = static_cast<double>(r[2 * step + c]) - origin;
          const double e = static_cast<double>(r[3 * step + c]) - origin;
          sum[c] += (a + b) + (d + e);
          square[c] += (a * a + b * b) + (d * d + e * e);
        }
      }
      for (; row < end; ++row) {
        const T* const r = x + row * step;
        SHATTER_INDEPENDENT
        for (std::int64_t c = 0; c < channels; ++c) {
          const double a = static_cast<double>(r[c]) - static_cast<double>(x[c]);
          sum[c] += a;
          square[c] += a * a;
        }
      }
    });
  });
  const auto rows = static_cast<double>(g.rows);
  for (std::int64_t c = 0; c < g.channels; ++c) {
    const double difference = total[c] / rows;
    const double spread = total[g.channels + c] / rows - difference * difference;
    mean[c] = static_cast<wide_t<T>>(static_cast<double>(x[c]) + difference);
    variance[c] = static_cast<wide_t<T>>(spread < 0 ? 0.0 : spread);
  }
}

template <class T>
void batch_norm_forward(CpuContext& context, const BatchNormGeometry& g, double epsilon, const T* x,
                        const wide_t<T>* mean, const wide_t<T>* variance, const wide_t<T>* gamma,
                        const wide_t<T>* beta, T* y) {
  const ProfileScope scope(context, "batch_norm_forward", batch_norm_forward_work<T>(g));
  const Scales<wide_t<T>> scales(g.channels, epsilon, variance, gamma, beta);
  const auto rows = [&](auto relu) {
    context.parallel_for(
        g.rows, rows_per_chunk(g.channels), [&](std::int64_t begin, std::int64_t end) {
          multiversion([=, channels = g.channels, x_step = g.x_step(), y_step = g.y_step(),
                        scale = scales.scale, shift = scales.shift] {
            for (std::int64_t row = begin; row < end; ++row) {
              const T* const in = x + row * x_step;
              T* const out = y + row * y_step;
              SHATTER_INDEPENDENT
              for (std::int64_t c = 0; c < channels; ++c) {
                const wide_t<T> z = normalized(wide_t<T>(in[c]), mean[c], scale[c], shift[c]);
                if constexpr (decltype(relu)::value)
                  out[c] = static_cast<T>(z <= 0 ? 0 : z);
                else
                  out[c] = static_cast<T>(z);
              }
            }
          });
        });
  };
  if (g.relu)
    rows(std::true_type{});
  else
    rows(std::false_type{});
}

namespace {

// dy behind the ReLU's mask.
template <bool relu, class W>
W masked(W dy, W x, W mean, W scale, W shift) {
  if constexpr (relu)
    return normalized(x, mean, scale, shift) <= W(0) ? W(0) : dy;
  else
    return dy;
}

template <bool relu, class T>
void backward(CpuContext& context, const BatchNormGeometry& g, const Scales<wide_t<T>>& scales,
              const T* x, const T* dy, const wide_t<T>* mean, T* dx, wide_t<T>* dgamma,
              wide_t<T>* dbeta) {
  using W = wide_t<T>;
  const std::int64_t channels = g.channels;
  const Workspace<W> terms(2 * channels);
  if (g.training || dgamma || dbeta) {
    // Sums of dz and of dz * (x - mean).
    const Workspace<double> total(2 * channels);
    sum_rows(context, g, total.data(), [&](std::int64_t begin, std::int64_t end, double* sums) {
      multiversion([=, x_step = g.x_step(), y_step = g.y_step(), scale = scales.scale,
                    shift = scales.shift] {
        double* const sum = sums;
        double* const product = sums + channels;
        std::int64_t row = begin;
        for (; row + 4 <= end; row += 4) {
          const T* const r = x + row * x_step;
          const T* const d = dy + row * y_step;
          SHATTER_INDEPENDENT
          for (std::int64_t c = 0; c < channels; ++c) {
            const W m = mean[c], a = scale[c], b = shift[c];
            const W x0 = r[c], x1 = r[x_step + c], x2 = r[2 * x_step + c], x3 = r[3 * x_step + c];
            const W z0 = masked<relu>(W(d[c]), x0, m, a, b);
            const W z1 = masked<relu>(W(d[y_step + c]), x1, m, a, b);
            const W z2 = masked<relu>(W(d[2 * y_step + c]), x2, m, a, b);
            const W z3 = masked<relu>(W(d[3 * y_step + c]), x3, m, a, b);
            const W p0 = z0 * (x0 - m), p1 = z1 * (x1 - m);
            const W p2 = z2 * (x2 - m), p3 = z3 * (x3 - m);
            sum[c] += (double(z0) + double(z1)) + (double(z2) + double(z3));
            product[c] += (double(p0) + double(p1)) + (double(p2) + double(p3));
          }
        }
        for (; row < end; ++row) {
          const T* const r = x + row * x_step;
          const T* const d = dy + row * y_step;
          SHATTER_INDEPENDENT
          for (std::int64_t c = 0; c < channels; ++c) {
            const W z = masked<relu>(W(d[c]), W(r[c]), mean[c], scale[c], shift[c]);
            sum[c] += double(z);
            product[c] += double(z * (r[c] - mean[c]));
          }
        }
      });
    });
    const auto rows = static_cast<double>(g.rows);
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto inverse = static_cast<double>(scales.inverse[c]);
      if (dbeta) dbeta[c] = static_cast<W>(total[c]);
      if (dgamma) dgamma[c] = static_cast<W>(total[channels + c] * inverse);
      terms[c] = g.training ? static_cast<W>(total[c] / rows) : W(0);
      terms[channels + c] =
          g.training ? static_cast<W>(total[channels + c] / rows * inverse * inverse) : W(0);
    }
  } else {
    std::fill_n(terms.data(), 2 * channels, W(0));
  }
  context.parallel_for(g.rows, rows_per_chunk(channels), [&](std::int64_t begin, std::int64_t end) {
    multiversion([=, x_step = g.x_step(), y_step = g.y_step(), scale = scales.scale,
                  shift = scales.shift, mean_dz = terms.data(), slope = terms.data() + channels] {
      for (std::int64_t row = begin; row < end; ++row) {
        const T* const r = x + row * x_step;
        const T* const d = dy + row * y_step;
        T* const out = dx + row * x_step;
        SHATTER_INDEPENDENT
        for (std::int64_t c = 0; c < channels; ++c) {
          const W in = r[c], dz = masked<relu>(W(d[c]), in, mean[c], scale[c], shift[c]);
          out[c] = static_cast<T>(scale[c] * (dz - mean_dz[c] - (in - mean[c]) * slope[c]));
        }
      }
    });
  });
}

}  // namespace

template <class T>
void batch_norm_backward(CpuContext& context, const BatchNormGeometry& g, double epsilon,
                         const T* x, const T* dy, const wide_t<T>* mean, const wide_t<T>* variance,
                         const wide_t<T>* gamma, const wide_t<T>* beta, T* dx, wide_t<T>* dgamma,
                         wide_t<T>* dbeta) {
  const ProfileScope scope(context, "batch_norm_backward", batch_norm_backward_work<T>(g));
  const Scales<wide_t<T>> scales(g.channels, epsilon, variance, gamma, beta);
  if (g.relu)
    backward<true>(context, g, scales, x, dy, mean, dx, dgamma, dbeta);
  else
    backward<false>(context, g, scales, x, dy, mean, dx, dgamma, dbeta);
}

template <class T>
void running_average(CpuContext& context, std::int64_t n, double decay, double scale,
                     const T* batch, T* running) {
  const ProfileScope scope(context, "running_average", elementwise_work<T>(n, 3, 3));
  for (std::int64_t i = 0; i < n; ++i)
    running[i] = static_cast<T>(decay * static_cast<double>(running[i]) +
                                (1 - decay) * scale * static_cast<double>(batch[i]));
}

template void batch_norm_statistics(CpuContext&, const BatchNormGeometry&, const float*, float*,
                                    float*);
template void batch_norm_statistics(CpuContext&, const BatchNormGeometry&, const double*, double*,
                                    double*);
template void batch_norm_forward(CpuContext&, const BatchNormGeometry&, double, const float*,
                                 const float*, const float*, const float*, const float*, float*);
template void batch_norm_forward(CpuContext&, const BatchNormGeometry&, double, const double*,
                                 const double*, const double*, const double*, const double*,
                                 double*);
template void batch_norm_backward(CpuContext&, const BatchNormGeometry&, double, const float*,
                                  const float*, const float*, const float*, const float*,
                                  const float*, float*, float*, float*);
template void batch_norm_backward(CpuContext&, const BatchNormGeometry&, double, const double*,
                                  const double*, const double*, const double*, const double*,
                                  const double*, double*, double*, double*);
template void batch_norm_statistics(CpuContext&, const BatchNormGeometry&, const bfloat16*, float*,
                                    float*);
template void batch_norm_forward(CpuContext&, const BatchNormGeometry&, double, const bfloat16*,
                                 const float*, const float*, const float*, const float*, bfloat16*);
template void batch_norm_backward(CpuContext&, const BatchNormGeometry&, double, const bfloat16*,
                                  const bfloat16*, const float*, const float*, const float*,
                                  const float*, bfloat16*, float*, float*);
template void running_average(CpuContext&, std::int64_t, double, double, const float*, float*);
template void running_average(CpuContext&, std::int64_t, double, double, const double*, double*);

}  // namespace shatter::kernels
