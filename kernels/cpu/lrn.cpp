// Local response normalisation across channels.
#include <shatter/kernels/functions.h>
#include <shatter/kernels/lrn.h>
#include <shatter/kernels/types.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// A row with `radius` zeros on both sides, so that window sums need no edge cases.
template <class W>
void clear_margins(W* padded, std::int64_t channels, std::int64_t radius) {
  for (std::int64_t i = 0; i < radius; ++i) padded[i] = padded[radius + channels + i] = W(0);
}

// sum[c] = padded[c] + .. + padded[c + 2 radius].
template <class W>
void window_sums(const W* padded, std::int64_t channels, std::int64_t radius, W* sum) {
  SHATTER_INDEPENDENT
  for (std::int64_t c = 0; c < channels; ++c) sum[c] = padded[c];
  for (std::int64_t j = 1; j <= 2 * radius; ++j) {
    SHATTER_INDEPENDENT
    for (std::int64_t c = 0; c < channels; ++c) sum[c] += padded[c + j];
  }
}

template <class T>
void square_row(const T* x, std::int64_t channels, wide_t<T>* y) {
  SHATTER_INDEPENDENT
  for (std::int64_t c = 0; c < channels; ++c) y[c] = wide_t<T>(x[c]) * wide_t<T>(x[c]);
}

}  // namespace

template <class T>
void lrn_forward(CpuContext& context, const LrnGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "lrn_forward", lrn_forward_work<T>(g));
  context.parallel_for(
      g.rows, rows_per_chunk(g.channels * 4), [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t channels = g.channels, radius = std::min(g.radius, g.channels);
        using W = wide_t<T>;
        const Workspace<W> space(2 * channels + 2 * radius);
        multiversion([=, padded = space.data(), sum = space.data() + channels + 2 * radius,
                      bias = W(g.bias), alpha = W(g.alpha), beta = W(g.beta),
                      roots = g.beta == 0.75] {
          clear_margins(padded, channels, radius);
          for (std::int64_t row = begin; row < end; ++row) {
            const T* const in = x + row * channels;
            T* const out = y + row * channels;
            square_row(in, channels, padded + radius);
            window_sums(padded, channels, radius, sum);
            SHATTER_INDEPENDENT
            for (std::int64_t c = 0; c < channels; ++c)
              out[c] = static_cast<T>(in[c] * lrn_scale(bias + alpha * sum[c], beta, roots));
          }
        });
      });
}

template <class T>
void lrn_backward(CpuContext& context, const LrnGeometry& g, const T* x, const T* dy, T* dx) {
  const ProfileScope scope(context, "lrn_backward", lrn_backward_work<T>(g));
  context.parallel_for(
      g.rows, rows_per_chunk(g.channels * 8), [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t channels = g.channels, radius = std::min(g.radius, g.channels);
        using W = wide_t<T>;
        const Workspace<W> space(3 * channels + 2 * radius);
        multiversion([=, padded = space.data(), sum = space.data() + channels + 2 * radius,
                      scale = space.data() + 2 * channels + 2 * radius, bias = W(g.bias),
                      alpha = W(g.alpha), beta = W(g.beta), factor = W(2 * g.alpha * g.beta),
                      roots = g.beta == 0.75] {
          clear_margins(padded, channels, radius);
          for (std::int64_t row = begin; row < end; ++row) {
            const T* const in = x + row * channels;
            const T* const gradient = dy + row * channels;
            T* const out = dx + row * channels;
            square_row(in, channels, padded + radius);
            window_sums(padded, channels, radius, sum);
            SHATTER_INDEPENDENT
            for (std::int64_t c = 0; c < channels; ++c) {
              const W s = bias + alpha * sum[c];
              scale[c] = lrn_scale(s, beta, roots);
              padded[radius + c] = gradient[c] * in[c] * scale[c] / s;
            }
            window_sums(padded, channels, radius, sum);
            SHATTER_INDEPENDENT
            for (std::int64_t c = 0; c < channels; ++c)
              out[c] = static_cast<T>(gradient[c] * scale[c] - factor * in[c] * sum[c]);
          }
        });
      });
}

template void lrn_forward(CpuContext&, const LrnGeometry&, const float*, float*);
template void lrn_forward(CpuContext&, const LrnGeometry&, const double*, double*);
template void lrn_forward(CpuContext&, const LrnGeometry&, const bfloat16*, bfloat16*);
template void lrn_backward(CpuContext&, const LrnGeometry&, const bfloat16*, const bfloat16*,
                           bfloat16*);
template void lrn_backward(CpuContext&, const LrnGeometry&, const float*, const float*, float*);
template void lrn_backward(CpuContext&, const LrnGeometry&, const double*, const double*, double*);

}  // namespace shatter::kernels
