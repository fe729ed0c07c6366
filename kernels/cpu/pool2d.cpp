// Max and average pooling, vectorised over blocks of channels.
#include <limits>
#include <type_traits>

#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/pool2d.h>
#include <shatter/kernels/types.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "wide_rows.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// Channels that are worked on together, their running results in registers or the first cache.
constexpr std::int64_t block = 64;

// A place in the window, as wide as T's arithmetic, so that both are selected by one mask.
template <class T>
using Place = std::conditional_t<sizeof(wide_t<T>) == 4, std::int32_t, std::int64_t>;

// The part of a window's range that lies inside the image.
struct Span {
  std::int64_t begin, end;
};

constexpr Span inside(std::int64_t out, std::int64_t stride, std::int64_t before,
                      std::int64_t window, std::int64_t size) {
  const std::int64_t start = out * stride - before;
  return {std::max<std::int64_t>(0, -start), std::min(window, size - start)};
}

// Output rows (n, p) in chunks; each body call does one row of windows.
template <class Body>
void for_output_rows(CpuContext& context, const Pool2dGeometry& g, Body body) {
  const Windows& win = g.windows;
  if (win.n <= 0 || g.c <= 0 || win.out_h() <= 0 || win.out_w() <= 0) return;
  const std::int64_t cost = win.out_w() * g.c * win.r * win.s;
  context.parallel_for(win.n * win.out_h(), rows_per_chunk(cost),
                       [&](std::int64_t begin, std::int64_t end) {
                         multiversion([=] {
                           for (std::int64_t row = begin; row < end; ++row) body(row);
                         });
                       });
}

}  // namespace

template <class T>
void max_pool2d_forward(CpuContext& context, const Pool2dGeometry& g, const T* x, T* y,
                        std::uint8_t* index) {
  const ProfileScope scope(context, "max_pool2d_forward", pool2d_work<T>(g, true, 1));
  const Windows win = g.windows;
  check(win.r * win.s <= 255, "max_pool2d: a window of ", win.r, " x ", win.s,
        " has more than 255 places");
  using W = wide_t<T>;
  for_output_rows(context, g,
                  [=, channels = g.c, x_step = g.x_step(), y_step = g.y_step(), out_h = win.out_h(),
                   out_w = win.out_w()](std::int64_t row) {
                    const std::int64_t n = row / out_h, p = row % out_h;
                    const Span rows = inside(p, win.stride_h, win.padding.top, win.r, win.h);
                    for (std::int64_t q = 0; q < out_w; ++q) {
                      const Span columns = inside(q, win.stride_w, win.padding.left, win.s, win.w);
                      const std::int64_t output = row * out_w + q;
                      for (std::int64_t c0 = 0; c0 < channels; c0 += block) {
                        const std::int64_t width = std::min(block, channels - c0);
                        W best[block];
                        Place<T> place[block];
                        for (std::int64_t c = 0; c < block; ++c) {
                          best[c] = -std::numeric_limits<W>::infinity();
                          place[c] = 0;
                        }
                        bool first = true;
                        for (std::int64_t r = rows.begin; r < rows.end; ++r)
                          for (std::int64_t s = columns.begin; s < columns.end; ++s) {
                            const std::int64_t i = p * win.stride_h - win.padding.top + r;
                            const std::int64_t j = q * win.stride_w - win.padding.left + s;
                            const T* const pixel = x + ((n * win.h + i) * win.w + j) * x_step + c0;
                            const auto here = static_cast<Place<T>>(r * win.s + s);
                            if (first) {
                              for (std::int64_t c = 0; c < width; ++c) {
                                best[c] = pixel[c];
                                place[c] = here;
                              }
                              first = false;
                              continue;
                            }
                            for (std::int64_t c = 0; c < width; ++c) {
                              const W value = pixel[c];
                              const bool take = Exceeds{}(value, best[c]);
                              best[c] = take ? value : best[c];
                              place[c] = take ? here : place[c];
                            }
                          }
                        for (std::int64_t c = 0; c < width; ++c)
                          y[output * y_step + c0 + c] = static_cast<T>(best[c]);
                        for (std::int64_t c = 0; c < width; ++c)
                          index[output * channels + c0 + c] = static_cast<std::uint8_t>(place[c]);
                      }
                    }
                  });
}

template <class T>
void max_pool2d_backward(CpuContext& context, const Pool2dGeometry& g, const T* dy,
                         const std::uint8_t* index, T* dx) {
  const ProfileScope scope(context, "max_pool2d_backward", pool2d_work<T>(g, false, 1));
  const Windows win = g.windows;
  // Windows overlap within an image only. Every place of a window is visited and the chosen one
  // selected: more work than scattering, but it vectorises.
  context.parallel(win.n, [=, &g](std::int64_t n) {
    using W = wide_t<T>;
    const WideRows<T> sums(dx + n * win.h * win.w * g.x_step(), win.h * win.w, g.c, g.x_step());
    multiversion([=, &sums, channels = g.c, x_step = sums.step(), y_step = g.y_step(),
                  out_h = win.out_h(), out_w = win.out_w()] {
      W* const image = sums.data();
      sums.clear();
      for (std::int64_t p = 0; p < out_h; ++p) {
        const Span rows = inside(p, win.stride_h, win.padding.top, win.r, win.h);
        for (std::int64_t q = 0; q < out_w; ++q) {
          const Span columns = inside(q, win.stride_w, win.padding.left, win.s, win.w);
          const std::int64_t output = (n * out_h + p) * out_w + q;
          for (std::int64_t c0 = 0; c0 < channels; c0 += block) {
            const std::int64_t width = std::min(block, channels - c0);
            const T* const gradient = dy + output * y_step + c0;
            Place<T> chosen[block];  // widened once, not for every place
            for (std::int64_t c = 0; c < width; ++c) chosen[c] = index[output * channels + c0 + c];
            for (std::int64_t r = rows.begin; r < rows.end; ++r)
              for (std::int64_t s = columns.begin; s < columns.end; ++s) {
                const std::int64_t i = p * win.stride_h - win.padding.top + r;
                const std::int64_t j = q * win.stride_w - win.padding.left + s;
                W* const pixel = image + (i * win.w + j) * x_step + c0;
                const auto here = static_cast<Place<T>>(r * win.s + s);
                SHATTER_INDEPENDENT
                for (std::int64_t c = 0; c < width; ++c)
                  pixel[c] += chosen[c] == here ? W(gradient[c]) : W(0);
              }
          }
        }
      }
      sums.store();
    });
  });
}

template <class T>
void max_pool2d_chosen(CpuContext& context, const Pool2dGeometry& g, const T* x,
                       const std::uint8_t* index, T* y) {
  const ProfileScope scope(context, "max_pool2d_chosen", pool2d_work<T>(g, true, 1));
  for_output_rows(context, g,
                  [=, win = g.windows, channels = g.c, x_step = g.x_step(), y_step = g.y_step(),
                   out_h = g.windows.out_h(), out_w = g.windows.out_w()](std::int64_t row) {
                    const std::int64_t n = row / out_h, p = row % out_h;
                    for (std::int64_t q = 0; q < out_w; ++q)
                      for (std::int64_t c = 0; c < channels; ++c) {
                        const std::int64_t output = row * out_w + q,
                                           place = index[output * channels + c];
                        const std::int64_t i = p * win.stride_h - win.padding.top + place / win.s;
                        const std::int64_t j = q * win.stride_w - win.padding.left + place % win.s;
                        y[output * y_step + c] = x[((n * win.h + i) * win.w + j) * x_step + c];
                      }
                  });
}

template <class T>
void avg_pool2d_forward(CpuContext& context, const Pool2dGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "avg_pool2d_forward", pool2d_work<T>(g, true, 0));
  using W = wide_t<T>;
  const Windows win = g.windows;
  for_output_rows(context, g,
                  [=, channels = g.c, x_step = g.x_step(), y_step = g.y_step(), out_h = win.out_h(),
                   out_w = win.out_w(), count_padding = g.count_padding](std::int64_t row) {
                    const std::int64_t n = row / out_h, p = row % out_h;
                    const Span rows = inside(p, win.stride_h, win.padding.top, win.r, win.h);
                    for (std::int64_t q = 0; q < out_w; ++q) {
                      const Span columns = inside(q, win.stride_w, win.padding.left, win.s, win.w);
                      const std::int64_t count =
                          count_padding ? win.r * win.s
                                        : (rows.end - rows.begin) * (columns.end - columns.begin);
                      const W divisor = static_cast<W>(std::max<std::int64_t>(1, count));
                      for (std::int64_t c0 = 0; c0 < channels; c0 += block) {
                        const std::int64_t width = std::min(block, channels - c0);
                        W sum[block] = {};
                        for (std::int64_t r = rows.begin; r < rows.end; ++r)
                          for (std::int64_t s = columns.begin; s < columns.end; ++s) {
                            const std::int64_t i = p * win.stride_h - win.padding.top + r;
                            const std::int64_t j = q * win.stride_w - win.padding.left + s;
                            const T* const pixel = x + ((n * win.h + i) * win.w + j) * x_step + c0;
                            for (std::int64_t c = 0; c < width; ++c) sum[c] += pixel[c];
                          }
                        T* const target = y + (row * out_w + q) * y_step + c0;
                        for (std::int64_t c = 0; c < width; ++c)
                          target[c] = static_cast<T>(sum[c] / divisor);
                      }
                    }
                  });
}

template <class T>
void avg_pool2d_backward(CpuContext& context, const Pool2dGeometry& g, const T* dy, T* dx) {
  const ProfileScope scope(context, "avg_pool2d_backward", pool2d_work<T>(g, true, 0));
  const Windows win = g.windows;
  context.parallel(win.n, [=, &g](std::int64_t n) {
    using W = wide_t<T>;
    const WideRows<T> sums(dx + n * win.h * win.w * g.x_step(), win.h * win.w, g.c, g.x_step());
    multiversion([=, &sums, channels = g.c, x_step = sums.step(), y_step = g.y_step(),
                  out_h = win.out_h(), out_w = win.out_w(), count_padding = g.count_padding] {
      W* const image = sums.data();
      sums.clear();
      for (std::int64_t p = 0; p < out_h; ++p) {
        const Span rows = inside(p, win.stride_h, win.padding.top, win.r, win.h);
        for (std::int64_t q = 0; q < out_w; ++q) {
          const Span columns = inside(q, win.stride_w, win.padding.left, win.s, win.w);
          const std::int64_t count = count_padding
                                         ? win.r * win.s
                                         : (rows.end - rows.begin) * (columns.end - columns.begin);
          const W divisor = static_cast<W>(count);
          const T* const gradient = dy + ((n * out_h + p) * out_w + q) * y_step;
          for (std::int64_t r = rows.begin; r < rows.end; ++r)
            for (std::int64_t s = columns.begin; s < columns.end; ++s) {
              const std::int64_t i = p * win.stride_h - win.padding.top + r;
              const std::int64_t j = q * win.stride_w - win.padding.left + s;
              W* const pixel = image + (i * win.w + j) * x_step;
              SHATTER_INDEPENDENT
              for (std::int64_t c = 0; c < channels; ++c) pixel[c] += gradient[c] / divisor;
            }
        }
      }
      sums.store();
    });
  });
}

template void max_pool2d_forward(CpuContext&, const Pool2dGeometry&, const float*, float*,
                                 std::uint8_t*);
template void max_pool2d_forward(CpuContext&, const Pool2dGeometry&, const double*, double*,
                                 std::uint8_t*);
template void max_pool2d_backward(CpuContext&, const Pool2dGeometry&, const float*,
                                  const std::uint8_t*, float*);
template void max_pool2d_backward(CpuContext&, const Pool2dGeometry&, const double*,
                                  const std::uint8_t*, double*);
template void max_pool2d_chosen(CpuContext&, const Pool2dGeometry&, const float*,
                                const std::uint8_t*, float*);
template void max_pool2d_chosen(CpuContext&, const Pool2dGeometry&, const double*,
                                const std::uint8_t*, double*);
template void max_pool2d_chosen(CpuContext&, const Pool2dGeometry&, const bfloat16*,
                                const std::uint8_t*, bfloat16*);
template void avg_pool2d_forward(CpuContext&, const Pool2dGeometry&, const float*, float*);
template void avg_pool2d_forward(CpuContext&, const Pool2dGeometry&, const double*, double*);
template void avg_pool2d_backward(CpuContext&, const Pool2dGeometry&, const float*, float*);
template void avg_pool2d_backward(CpuContext&, const Pool2dGeometry&, const double*, double*);
template void max_pool2d_forward(CpuContext&, const Pool2dGeometry&, const bfloat16*, bfloat16*,
                                 std::uint8_t*);
template void max_pool2d_backward(CpuContext&, const Pool2dGeometry&, const bfloat16*,
                                  const std::uint8_t*, bfloat16*);
template void avg_pool2d_forward(CpuContext&, const Pool2dGeometry&, const bfloat16*, bfloat16*);
template void avg_pool2d_backward(CpuContext&, const Pool2dGeometry&, const bfloat16*, bfloat16*);

}  // namespace shatter::kernels
