// 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): 36 multiplications for 16 outputs
// where the sums take 144. A tile's 36 places become the rows of 36 matrices, one product of
// [tiles, channels] and [channels, filters] each. The transforms: winograd_tiles.h.
#include "conv2d_winograd.h"

#include <cmath>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

/// Images cut into tiles: tile (i, j) begins at pixel (4 i - top, 4 j - left). Tiles are numbered
/// through all images.
struct TileImages {
  const float* data;
  std::int64_t h, w, channels, step;
  std::int64_t top, left;
  std::int64_t tiles_h, tiles_w;
};

struct TilePlace {
  const float* image;
  std::int64_t top, left;  // of the tile's first pixel, perhaps outside
};

TilePlace place_of(const TileImages& images, std::int64_t tile) {
  const std::int64_t per_image = images.tiles_h * images.tiles_w, n = tile / per_image;
  const std::int64_t in_image = tile % per_image;
  return {images.data + n * images.h * images.w * images.step,
          in_image / images.tiles_w * 4 - images.top, in_image % images.tiles_w * 4 - images.left};
}

/// 36 matrices of rows of `columns` (a multiple of 16), `plane` elements apart.
struct TileMatrices {
  float* data;
  std::int64_t columns, plane;
};

// Each function of winograd_tiles.h for one instruction set.
struct WinogradKernels {
  void (*input_tiles)(const TileImages&, std::int64_t, std::int64_t, const TileMatrices&);
  void (*gradient_tiles)(const TileImages&, std::int64_t, std::int64_t, const TileMatrices&);
  void (*output_tiles)(const TileMatrices&, const float*, std::int64_t, std::int64_t,
                       const TileImages&);
  void (*forward_weights)(const float*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                          const TileMatrices&);
  void (*backward_weights)(const float*, std::int64_t, std::int64_t, std::int64_t,
                           const TileMatrices&);
  void (*weight_gradients)(const TileMatrices&, std::int64_t, std::int64_t, std::int64_t, float*);
  void (*multiply)(std::int64_t, std::int64_t, const float*, std::int64_t, const float*,
                   std::int64_t, bool, float*);
  void (*multiply_transposed)(std::int64_t, std::int64_t, const float*, std::int64_t, const float*,
                              std::int64_t, bool, float*);
};

// The points a and b (winograd_tiles.h), their squares, and the products of the differences. With
// 5/8 and 3/2 the error is half of that with 1 and 2.
constexpr float pa = 0.625f, pb = 1.5f;
constexpr float aa = pa * pa, bb = pb * pb, pp = aa * bb, ss = aa + bb;
constexpr float na = 2 * aa * (aa - bb), nb = 2 * bb * (bb - aa);

}  // namespace
}  // namespace shatter::kernels

#if defined(__x86_64__)
#define SHATTER_WINOGRAD_NAMESPACE winograd_avx512
#define SHATTER_WINOGRAD_TARGET [[gnu::target(SHATTER_AVX512)]]
#define SHATTER_WINOGRAD_LANES 16
#include "winograd_tiles.h"
#undef SHATTER_WINOGRAD_NAMESPACE
#undef SHATTER_WINOGRAD_TARGET
#undef SHATTER_WINOGRAD_LANES
#define SHATTER_WINOGRAD_NAMESPACE winograd_avx2
#define SHATTER_WINOGRAD_TARGET [[gnu::target(SHATTER_AVX2)]]
#define SHATTER_WINOGRAD_LANES 8
#include "winograd_tiles.h"
#undef SHATTER_WINOGRAD_NAMESPACE
#undef SHATTER_WINOGRAD_TARGET
#undef SHATTER_WINOGRAD_LANES
#endif
#define SHATTER_WINOGRAD_NAMESPACE winograd_baseline
#define SHATTER_WINOGRAD_TARGET
#define SHATTER_WINOGRAD_LANES 4
#include "winograd_tiles.h"

namespace shatter::kernels {

namespace {

const WinogradKernels& winograd_kernels() {
#if defined(__x86_64__)
  switch (instruction_set()) {
    case InstructionSet::avx512: return winograd_avx512::kernels;
    case InstructionSet::avx2: return winograd_avx2::kernels;
    case InstructionSet::baseline: break;
  }
#endif
  return winograd_baseline::kernels;
}

std::int64_t padded(std::int64_t channels) {
  return ceil_div(channels, 16) * 16;
}

/// Room for 36 matrices of `rows` rows. A cache line more between them than they need: equal
/// places of all 36 would otherwise fall into the same set of the cache.
class Matrices {
 public:
  Matrices(std::int64_t rows, std::int64_t columns)
      : columns_(columns), plane_(rows * columns + 16), space_(36 * plane_) {}
  TileMatrices view() const { return {space_.data(), columns_, plane_}; }
  float* of(std::int64_t place) const { return space_.data() + place * plane_; }

  /// Rows [begin, end) of every matrix.
  void clear(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = 0; i < 36; ++i)
      std::fill_n(of(i) + begin * columns_, (end - begin) * columns_, 0.0f);
  }

 private:
  std::int64_t columns_, plane_;
  Workspace<float> space_;
};

// Tiles taken at once: their matrices, a megabyte or two, stay in a core's cache, and there are
// enough of them for each pass over the weights'.
std::int64_t tiles_per_chunk(std::int64_t channels, std::int64_t filters) {
  const std::int64_t fitting = 300'000 / (36 * (padded(channels) + padded(filters)));
  return std::clamp<std::int64_t>(fitting / 8 * 8, 32, 128);
}

// out = in convolved with the transformed weights u [channels in][filters out].
void convolve(CpuContext& context, std::int64_t n, const TileImages& in, const Matrices& u,
              const float* bias, const TileImages& out) {
  const WinogradKernels& kernels = winograd_kernels();
  const std::int64_t tiles = n * out.tiles_h * out.tiles_w;
  const std::int64_t grain = tiles_per_chunk(in.channels, out.channels);
  const std::int64_t depth = padded(in.channels), columns = padded(out.channels);
  context.parallel_for(tiles, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin, rows = ceil_div(count, 8) * 8;
    const Matrices v(rows, depth), m(rows, columns);
    v.clear(count, rows);
    kernels.input_tiles(in, begin, count, v.view());
    for (std::int64_t i = 0; i < 36; ++i)
      kernels.multiply(rows, in.channels, v.of(i), depth, u.of(i), columns, false, m.of(i));
    kernels.output_tiles(m.view(), bias, begin, count, out);
  });
}

TileImages tile_images(const float* data, std::int64_t h, std::int64_t w, std::int64_t channels,
                       std::int64_t step, std::int64_t top, std::int64_t left, std::int64_t out_h,
                       std::int64_t out_w) {
  return {data, h, w, channels, step, top, left, ceil_div(out_h, 4), ceil_div(out_w, 4)};
}

}  // namespace

bool prefers_winograd(const Conv2dGeometry& g) {
  return winograd_fits(g) && g.c >= 16 && g.k >= 16;
}

void conv2d_forward_winograd(CpuContext& context, const Conv2dGeometry& g, const float* x,
                             const float* w, const float* bias, float* y) {
  const Windows& win = g.windows;
  const std::int64_t out_h = win.out_h(), out_w = win.out_w();
  const Matrices u(g.c, padded(g.k));
  context.parallel_for(g.c, 16, [&](std::int64_t begin, std::int64_t end) {
    winograd_kernels().forward_weights(w, g.c, g.k, begin, end, u.view());
  });
  convolve(context, win.n,
           tile_images(x, win.h, win.w, g.c, g.x_step(), win.padding.top, win.padding.left, out_h,
                       out_w),
           u, bias, tile_images(y, out_h, out_w, g.k, g.y_step(), 0, 0, out_h, out_w));
}

void conv2d_backward_data_winograd(CpuContext& context, const Conv2dGeometry& g, const float* dy,
                                   const float* w, float* dx) {
  const Windows& win = g.windows;
  const Matrices u(g.k, padded(g.c));
  context.parallel_for(g.k, 16, [&](std::int64_t begin, std::int64_t end) {
    winograd_kernels().backward_weights(w, g.c, begin, end, u.view());
  });
  // dx[h] = sum_r dy[h + top - r] w[r]: the turned weights over dy padded by 2 - top.
  convolve(context, win.n,
           tile_images(dy, win.out_h(), win.out_w(), g.k, g.y_step(), 2 - win.padding.top,
                       2 - win.padding.left, win.h, win.w),
           u, nullptr, tile_images(dx, win.h, win.w, g.c, g.x_step(), 0, 0, win.h, win.w));
}

void conv2d_backward_weight_winograd(CpuContext& context, const Conv2dGeometry& g, const float* x,
                                     const float* dy, float* dw) {
  const WinogradKernels& kernels = winograd_kernels();
  const Windows& win = g.windows;
  const std::int64_t out_h = win.out_h(), out_w = win.out_w();
  const TileImages in = tile_images(x, win.h, win.w, g.c, g.x_step(), win.padding.top,
                                    win.padding.left, out_h, out_w);
  const TileImages gradient = tile_images(dy, out_h, out_w, g.k, g.y_step(), 0, 0, out_h, out_w);
  const std::int64_t tiles = win.n * in.tiles_h * in.tiles_w;
  const std::int64_t part = ceil_div(tiles, std::min<std::int64_t>(8, tiles));
  const std::int64_t columns = padded(g.c), rows = padded(g.k), size = 9 * g.k * g.c;
  const std::int64_t grain = tiles_per_chunk(g.c, g.k);
  // Few parts: each has a whole weight gradient of its own, added up below in order.
  const std::int64_t parts = ceil_div(tiles, part);
  const Workspace<float> partials(parts * size);
  context.parallel(parts, [&](std::int64_t p) {
    const Matrices u(rows, columns), v(grain, columns), m(grain, rows);
    const std::int64_t end = std::min(tiles, (p + 1) * part);
    for (std::int64_t first = p * part; first < end; first += grain) {
      const std::int64_t count = std::min(grain, end - first);
      kernels.input_tiles(in, first, count, v.view());
      kernels.gradient_tiles(gradient, first, count, m.view());
      for (std::int64_t i = 0; i < 36; ++i)
        kernels.multiply_transposed(rows, count, m.of(i), rows, v.of(i), columns, first > p * part,
                                    u.of(i));
    }
    kernels.weight_gradients(u.view(), g.c, 0, g.k, partials.data() + p * size);
  });
  context.parallel_for(size, elements_per_chunk, [&](std::int64_t begin, std::int64_t end) {
    multiversion([=, all = partials.data()] {
      for (std::int64_t j = begin; j < end; ++j) dw[j] = all[j];
      for (std::int64_t i = 1; i < parts; ++i) {
        SHATTER_INDEPENDENT
        for (std::int64_t j = begin; j < end; ++j) dw[j] += all[i * size + j];
      }
    });
  });
}

}  // namespace shatter::kernels
