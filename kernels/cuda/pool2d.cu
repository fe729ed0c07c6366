// Max and average pooling on CUDA: one thread for a vector of channels of an output pixel, and
// backward of an input pixel, which looks at every window that covers it.
#include <limits>

#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/error.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/pool2d.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// A range of places of a window, or of windows.
struct Span {
  std::int64_t begin, end;
};

// The places of window `out` that lie inside the image.
__device__ Span inside(std::int64_t out, std::int64_t stride, std::int64_t before,
                       std::int64_t window, std::int64_t size) {
  const std::int64_t start = out * stride - before;
  return {std::max<std::int64_t>(0, -start), std::min(window, size - start)};
}

// The windows that cover pixel i.
__device__ Span covering(std::int64_t i, std::int64_t stride, std::int64_t before,
                         std::int64_t window, std::int64_t out) {
  const std::int64_t first = i + before - window + 1;  // the first window may start here
  return {first > 0 ? (first + stride - 1) / stride : 0, std::min(out, (i + before) / stride + 1)};
}

// Geometry as the kernels need it: channels in vectors, output sizes computed once.
struct Pool {
  Windows win;
  std::int64_t out_h, out_w, channels, x_step, y_step, vectors;
  bool count_padding;

  Pool(const Pool2dGeometry& g, int width)
      : win(g.windows),
        out_h(win.out_h()),
        out_w(win.out_w()),
        channels(g.c),
        x_step(g.x_step()),
        y_step(g.y_step()),
        vectors(g.c / width),
        count_padding(g.count_padding) {}

  std::int64_t inputs() const { return win.n * win.h * win.w * vectors; }
  std::int64_t outputs() const { return win.n * out_h * out_w * vectors; }

  __device__ Span rows(std::int64_t p) const {
    return inside(p, win.stride_h, win.padding.top, win.r, win.h);
  }
  __device__ Span columns(std::int64_t q) const {
    return inside(q, win.stride_w, win.padding.left, win.s, win.w);
  }
  // What an average is over.
  __device__ std::int64_t pixels(std::int64_t p, std::int64_t q) const {
    if (count_padding) return win.r * win.s;
    const Span r = rows(p), s = columns(q);
    return (r.end - r.begin) * (s.end - s.begin);
  }
};

// Pixel (n, i, j) of images of h x w pixels, and the first channel of a thread's vector.
struct Place {
  std::int64_t n, i, j, c;
  template <int width>
  __device__ static Place of(std::int64_t thread, std::int64_t h, std::int64_t w,
                             std::int64_t vectors) {
    const std::int64_t pixel = thread / vectors, row = pixel / w, n = row / h;
    return {n, row - n * h, pixel - row * w, (thread - pixel * vectors) * width};
  }
};

// Calls use(place in the window, offset of the pixel) for the window of an output pixel.
template <class Use>
__device__ void each_pixel(const Pool& pool, const Place& at, Use use) {
  const Windows& win = pool.win;
  const Span rows = pool.rows(at.i), columns = pool.columns(at.j);
  for (std::int64_t r = rows.begin; r < rows.end; ++r)
    for (std::int64_t s = columns.begin; s < columns.end; ++s) {
      const std::int64_t i = at.i * win.stride_h - win.padding.top + r;
      const std::int64_t j = at.j * win.stride_w - win.padding.left + s;
      use(static_cast<int>(r * win.s + s), ((at.n * win.h + i) * win.w + j) * pool.x_step + at.c);
    }
}

// Calls use(p, q, output pixel, place in the window) for the windows that cover an input pixel.
template <class Use>
__device__ void each_window(const Pool& pool, const Place& at, Use use) {
  const Windows& win = pool.win;
  const Span rows = covering(at.i, win.stride_h, win.padding.top, win.r, pool.out_h);
  const Span columns = covering(at.j, win.stride_w, win.padding.left, win.s, pool.out_w);
  for (std::int64_t p = rows.begin; p < rows.end; ++p)
    for (std::int64_t q = columns.begin; q < columns.end; ++q) {
      const std::int64_t r = at.i + win.padding.top - p * win.stride_h;
      const std::int64_t s = at.j + win.padding.left - q * win.stride_w;
      use(p, q, (at.n * pool.out_h + p) * pool.out_w + q, static_cast<int>(r * win.s + s));
    }
}

template <int width, class T>
__global__ void max_forward(Pool pool, std::int64_t threads, const T* x, T* y,
                            std::uint8_t* index) {
  using A = wide_t<T>;
  const std::int64_t thread = thread_index();
  if (thread >= threads) return;
  const Place at = Place::of<width>(thread, pool.out_h, pool.out_w, pool.vectors);
  Values<A, width> best;
  Values<std::uint8_t, width> place;
  bool first = true;
  for (int k = 0; k < width; ++k) {
    best[k] = -std::numeric_limits<A>::infinity();
    place[k] = 0;
  }
  each_pixel(pool, at, [&](int here, std::int64_t offset) {
    const auto v = load<width>(x + offset);
    for (int k = 0; k < width; ++k) {
      const bool take = first || Exceeds{}(v[k], best[k]);
      best[k] = take ? v[k] : best[k];
      place[k] = take ? static_cast<std::uint8_t>(here) : place[k];
    }
    first = false;
  });
  const std::int64_t output = thread / pool.vectors;
  store(best, y + output * pool.y_step + at.c);
  store(place, index + output * pool.channels + at.c);
}

template <int width, class T>
__global__ void max_backward(Pool pool, std::int64_t threads, const T* dy,
                             const std::uint8_t* index, T* dx) {
  const std::int64_t thread = thread_index();
  if (thread >= threads) return;
  const Place at = Place::of<width>(thread, pool.win.h, pool.win.w, pool.vectors);
  Values<wide_t<T>, width> sum{};
  each_window(pool, at, [&](std::int64_t, std::int64_t, std::int64_t output, int here) {
    const auto chosen = load<width>(index + output * pool.channels + at.c);
    const auto gradient = load<width>(dy + output * pool.y_step + at.c);
    for (int k = 0; k < width; ++k)
      if (chosen[k] == here) sum[k] += gradient[k];
  });
  store(sum, dx + thread / pool.vectors * pool.x_step + at.c);
}

template <int width, class T>
__global__ void max_chosen(Pool pool, std::int64_t threads, const T* x, const std::uint8_t* index,
                           T* y) {
  const std::int64_t thread = thread_index();
  if (thread >= threads) return;
  const Place at = Place::of<width>(thread, pool.out_h, pool.out_w, pool.vectors);
  const Windows& win = pool.win;
  const std::int64_t output = thread / pool.vectors;
  for (int k = 0; k < width; ++k) {
    const int place = index[output * pool.channels + at.c + k];
    const std::int64_t i = at.i * win.stride_h - win.padding.top + place / win.s;
    const std::int64_t j = at.j * win.stride_w - win.padding.left + place % win.s;
    y[output * pool.y_step + at.c + k] =
        x[((at.n * win.h + i) * win.w + j) * pool.x_step + at.c + k];
  }
}

template <int width, class T>
__global__ void avg_forward(Pool pool, std::int64_t threads, const T* x, T* y) {
  using A = wide_t<T>;
  const std::int64_t thread = thread_index();
  if (thread >= threads) return;
  const Place at = Place::of<width>(thread, pool.out_h, pool.out_w, pool.vectors);
  Values<A, width> sum{};
  each_pixel(pool, at, [&](int, std::int64_t offset) {
    const auto v = load<width>(x + offset);
    for (int k = 0; k < width; ++k) sum[k] += v[k];
  });
  const auto count = static_cast<A>(std::max<std::int64_t>(1, pool.pixels(at.i, at.j)));
  for (int k = 0; k < width; ++k) sum[k] /= count;
  store(sum, y + thread / pool.vectors * pool.y_step + at.c);
}

template <int width, class T>
__global__ void avg_backward(Pool pool, std::int64_t threads, const T* dy, T* dx) {
  using A = wide_t<T>;
  const std::int64_t thread = thread_index();
  if (thread >= threads) return;
  const Place at = Place::of<width>(thread, pool.win.h, pool.win.w, pool.vectors);
  Values<A, width> sum{};
  each_window(pool, at, [&](std::int64_t p, std::int64_t q, std::int64_t output, int) {
    const auto gradient = load<width>(dy + output * pool.y_step + at.c);
    const auto count = static_cast<A>(pool.pixels(p, q));
    for (int k = 0; k < width; ++k) sum[k] += gradient[k] / count;
  });
  store(sum, dx + thread / pool.vectors * pool.x_step + at.c);
}

// Calls use(width) with the vector width, a compile-time constant, that pitches and pointers allow.
template <class T, class Use>
void with_width(const Pool2dGeometry& g, const T* x, const T* y, const std::uint8_t* index,
                Use use) {
  constexpr int width = vector_width<T>;
  if (g.windows.out_h() <= 0 || g.windows.out_w() <= 0) return;
  if (multiples<width>(g.c, g.x_step(), g.y_step()) && vectors_at<width>(x, y) &&
      vectors_at<width>(index))
    use(std::integral_constant<int, width>{});
  else
    use(std::integral_constant<int, 1>{});
}

}  // namespace

template <class T>
void max_pool2d_forward(CudaContext& context, const Pool2dGeometry& g, const T* x, T* y,
                        std::uint8_t* index) {
  const ProfileScope scope(context, "max_pool2d_forward", pool2d_work<T>(g, true, 1));
  const Windows& win = g.windows;
  check(win.r * win.s <= 255, "max_pool2d: a window of ", win.r, " x ", win.s,
        " has more than 255 places");
  with_width(g, x, y, index, [&](auto width) {
    const Pool pool(g, width);
    launch(context, "max_pool2d_forward", one_thread_each(pool.outputs()),
           max_forward<decltype(width)::value, T>, pool, pool.outputs(), x, y, index);
  });
}

template <class T>
void max_pool2d_backward(CudaContext& context, const Pool2dGeometry& g, const T* dy,
                         const std::uint8_t* index, T* dx) {
  const ProfileScope scope(context, "max_pool2d_backward", pool2d_work<T>(g, false, 1));
  with_width(g, dx, dy, index, [&](auto width) {
    const Pool pool(g, width);
    launch(context, "max_pool2d_backward", one_thread_each(pool.inputs()),
           max_backward<decltype(width)::value, T>, pool, pool.inputs(), dy, index, dx);
  });
}

template <class T>
void max_pool2d_chosen(CudaContext& context, const Pool2dGeometry& g, const T* x,
                       const std::uint8_t* index, T* y) {
  const ProfileScope scope(context, "max_pool2d_chosen", pool2d_work<T>(g, true, 1));
  with_width(g, x, y, index, [&](auto width) {
    const Pool pool(g, width);
    launch(context, "max_pool2d_chosen", one_thread_each(pool.outputs()),
           max_chosen<decltype(width)::value, T>, pool, pool.outputs(), x, index, y);
  });
}

template <class T>
void avg_pool2d_forward(CudaContext& context, const Pool2dGeometry& g, const T* x, T* y) {
  const ProfileScope scope(context, "avg_pool2d_forward", pool2d_work<T>(g, true, 0));
  with_width(g, x, y, nullptr, [&](auto width) {
    const Pool pool(g, width);
    launch(context, "avg_pool2d_forward", one_thread_each(pool.outputs()),
           avg_forward<decltype(width)::value, T>, pool, pool.outputs(), x, y);
  });
}

template <class T>
void avg_pool2d_backward(CudaContext& context, const Pool2dGeometry& g, const T* dy, T* dx) {
  const ProfileScope scope(context, "avg_pool2d_backward", pool2d_work<T>(g, true, 0));
  with_width(g, dx, dy, nullptr, [&](auto width) {
    const Pool pool(g, width);
    launch(context, "avg_pool2d_backward", one_thread_each(pool.inputs()),
           avg_backward<decltype(width)::value, T>, pool, pool.inputs(), dy, dx);
  });
}

template void max_pool2d_forward(CudaContext&, const Pool2dGeometry&, const float*, float*,
                                 std::uint8_t*);
template void max_pool2d_forward(CudaContext&, const Pool2dGeometry&, const double*, double*,
                                 std::uint8_t*);
template void max_pool2d_forward(CudaContext&, const Pool2dGeometry&, const bfloat16*, bfloat16*,
                                 std::uint8_t*);
template void max_pool2d_backward(CudaContext&, const Pool2dGeometry&, const float*,
                                  const std::uint8_t*, float*);
template void max_pool2d_backward(CudaContext&, const Pool2dGeometry&, const double*,
                                  const std::uint8_t*, double*);
template void max_pool2d_backward(CudaContext&, const Pool2dGeometry&, const bfloat16*,
                                  const std::uint8_t*, bfloat16*);
template void max_pool2d_chosen(CudaContext&, const Pool2dGeometry&, const float*,
                                const std::uint8_t*, float*);
template void max_pool2d_chosen(CudaContext&, const Pool2dGeometry&, const double*,
                                const std::uint8_t*, double*);
template void max_pool2d_chosen(CudaContext&, const Pool2dGeometry&, const bfloat16*,
                                const std::uint8_t*, bfloat16*);
template void avg_pool2d_forward(CudaContext&, const Pool2dGeometry&, const float*, float*);
template void avg_pool2d_forward(CudaContext&, const Pool2dGeometry&, const double*, double*);
template void avg_pool2d_forward(CudaContext&, const Pool2dGeometry&, const bfloat16*, bfloat16*);
template void avg_pool2d_backward(CudaContext&, const Pool2dGeometry&, const float*, float*);
template void avg_pool2d_backward(CudaContext&, const Pool2dGeometry&, const double*, double*);
template void avg_pool2d_backward(CudaContext&, const Pool2dGeometry&, const bfloat16*, bfloat16*);

}  // namespace shatter::kernels
