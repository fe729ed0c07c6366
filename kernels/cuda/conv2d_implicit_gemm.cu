// Convolution as a matrix product on tensor cores whose patches are never stored: how each
// direction is such a product, and the choice of its tiles. docs/kernels.md has the whole picture.
#include <algorithm>

#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/cuda/implicit_gemm.h>
#include <shatter/kernels/cuda/workspace.h>

namespace shatter::kernels {
namespace {

using namespace implicit_gemm;

// y [rows, columns] = the sum of `parts` arrays of that size, in their order, and bias (may be
// null).
template <class T>
__global__ void add_parts(int parts, std::int64_t rows, int columns, const float* part,
                          const float* bias, std::int64_t step, T* y) {
  const std::int64_t i = thread_index();
  if (i >= rows * columns) return;
  const std::int64_t row = i / columns;
  const int column = static_cast<int>(i - row * columns);
  float sum = bias ? bias[column] : 0;
#pragma unroll 8
  for (int p = 0; p < parts; ++p) sum += part[p * rows * columns + i];
  y[row * step + column] = T(sum);
}

// Tile and parts of a product. They follow from its shape and the number of multiprocessors alone,
// so that results do, too.
struct Plan {
  int tile_m = 64, tile_n = 64, parts = 1;
};

std::int64_t tiles(std::int64_t extent, int tile) {
  return (extent + tile - 1) / tile;
}

// The width with the least padding, of equal ones the largest.
int tile_width(std::int64_t n) {
  int best = 32;
  for (const int width : {48, 64, 80, 96, 112, 128})
    if (tiles(n, width) * width <= tiles(n, best) * best) best = width;
  return best;
}

// Parts so that there are two blocks for each multiprocessor, of at least `least` steps each.
template <class T>
int parts_for(const CudaContext& context, std::int64_t blocks, std::int64_t k, std::int64_t least) {
  const int multiprocessors = context.properties().multiprocessors;
  if (blocks >= multiprocessors) return 1;
  const std::int64_t most = tiles(k, step_depth<T>) / least;
  return static_cast<int>(std::clamp<std::int64_t>(most, 1, 2 * multiprocessors / blocks));
}

// Of a forward convolution or data gradient: small tiles come before parts, whose sums cost a pass.
template <class T>
Plan plan_for_pixels(const CudaContext& context, std::int64_t pixels, std::int64_t channels,
                     std::int64_t k, int count, bool vectors) {
  Plan plan;
  if (vectors) plan.tile_n = tile_width(channels);
  const std::int64_t columns = tiles(channels, plan.tile_n) * count;
  if (vectors && tiles(pixels, 128) * columns >= 2 * context.properties().multiprocessors)
    plan.tile_m = 128;
  plan.parts = parts_for<T>(context, tiles(pixels, plan.tile_m) * columns, k, 16);
  return plan;
}

// Of a weight gradient: k is long, and only parts give enough blocks.
template <class T>
Plan plan_for_weights(const CudaContext& context, std::int64_t filter_size, std::int64_t filters,
                      std::int64_t k, bool vectors) {
  Plan plan;
  if (vectors) {
    plan.tile_n = tile_width(filters);
    if (tiles(filter_size, 128) * 128 <= tiles(filter_size, 64) * 64) plan.tile_m = 128;
  }
  plan.parts =
      parts_for<T>(context, tiles(filter_size, plan.tile_m) * tiles(filters, plan.tile_n), k, 8);
  return plan;
}

template <class T, int tile_m, int tile_n, bool vectors, class Product, int most>
void launch_tiles(CudaContext& context, const char* name, const Products<Product, most>& products) {
  std::int64_t rows = 0;
  for (int i = 0; i < products.count; ++i)
    rows = std::max<std::int64_t>(rows, products.product[i].m);
  const std::int64_t blocks = tiles(rows, tile_m) * tiles(products.product[0].n, tile_n);
  LaunchShape shape{dim3(static_cast<unsigned>(blocks), 1,
                         static_cast<unsigned>(products.count * products.parts)),
                    dim3(block_threads)};
  shape.shared_bytes = stages * (Tile<T, tile_m, Product::a_k_along_rows>::bytes +
                                 Tile<T, tile_n, Product::b_k_along_rows>::bytes);
  launch(context, name, shape, multiply_tiles<T, tile_m, tile_n, vectors, Product, most>, products);
}

template <class T, int tile_m, class Product, int most>
void launch_width(CudaContext& context, const char* name, const Plan& plan,
                  const Products<Product, most>& products) {
  switch (plan.tile_n) {
    case 32: return launch_tiles<T, tile_m, 32, true>(context, name, products);
    case 48: return launch_tiles<T, tile_m, 48, true>(context, name, products);
    case 64: return launch_tiles<T, tile_m, 64, true>(context, name, products);
    case 80: return launch_tiles<T, tile_m, 80, true>(context, name, products);
    case 96: return launch_tiles<T, tile_m, 96, true>(context, name, products);
    case 112: return launch_tiles<T, tile_m, 112, true>(context, name, products);
    default: return launch_tiles<T, tile_m, 128, true>(context, name, products);
  }
}

template <class T, class Product, int most>
void launch_plan(CudaContext& context, const char* name, const Plan& plan, bool vectors,
                 const Products<Product, most>& products) {
  if (!vectors)
    launch_tiles<T, 64, 64, false>(context, name, products);
  else if (plan.tile_m == 64)
    launch_width<T, 64>(context, name, plan, products);
  else
    launch_width<T, 128>(context, name, plan, products);
}

template <class T>
bool in_chunks(const T* data, std::initializer_list<std::int64_t> lengths) {
  return reinterpret_cast<std::uintptr_t>(data) % chunk_bytes == 0 &&
         std::all_of(lengths.begin(), lengths.end(),
                     [](std::int64_t length) { return length % chunk_size<T> == 0; });
}

void check_size(const char* op, const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const std::int64_t most = (std::int64_t{1} << 31) - 4096;  // tiles reach beyond the last index
  check(win.n * win.h * win.w <= most && win.n * win.out_h() * win.out_w() <= most &&
            win.r * win.s * g.c * g.k <= most,
        op, ": more than 2^31 pixels or weights; use Conv2dAlgorithm::im2col");
}

int as_int(std::int64_t value) {
  return static_cast<int>(value);
}

// x as the windows of the forward convolution.
template <class T>
Windowed<T> windows_of(const Conv2dGeometry& g, const T* x) {
  const Windows& win = g.windows;
  return {.data = x,
          .step = g.x_step(),
          .height = as_int(win.h),
          .width = as_int(win.w),
          .rows = as_int(win.n * win.out_h() * win.out_w()),
          .columns = as_int(win.r * win.s * g.c),
          .places = Divisor(win.out_h() * win.out_w()),
          .places_w = Divisor(win.out_w()),
          .taps_w = Divisor(win.s),
          .channels = Divisor(g.c),
          .first_h = as_int(-win.padding.top),
          .first_w = as_int(-win.padding.left),
          .stride_h = as_int(win.stride_h),
          .stride_w = as_int(win.stride_w),
          .direction = 1};
}

// Whether pairs of channels can be written at once.
template <class T>
bool in_pairs(const T* y, std::int64_t channels, std::int64_t step) {
  return channels % 2 == 0 && step % 2 == 0 && reinterpret_cast<std::uintptr_t>(y) % 8 == 0;
}

}  // namespace

template <class T>
void conv2d_forward_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                  const T* w, const wide_t<T>* bias, T* y) {
  check_size("conv2d_forward", g);
  const Windows& win = g.windows;
  const std::int64_t pixels = win.n * win.out_h() * win.out_w(), taps = win.r * win.s * g.c;
  const int filters = as_int(g.k);
  const bool vectors = in_chunks(x, {g.c, g.x_step()}) && in_chunks(w, {});
  const Plan plan = plan_for_pixels<T>(context, pixels, g.k, taps, 1, vectors);
  const CudaWorkspace<float> parts(context, plan.parts > 1 ? plan.parts * pixels * g.k : 0);

  using Forward = Product<Windowed<T>, false, Matrix<T>, false, PixelOutput<T>>;
  const Forward product{.a = windows_of(g, x),
                        .b = {.data = w, .step = taps, .rows = filters, .columns = as_int(taps)},
                        .output = {.y = y,
                                   .step = g.y_step(),
                                   .bias = bias,
                                   .parts = plan.parts > 1 ? parts.data() : nullptr,
                                   .channels = filters,
                                   .pairs = in_pairs(y, g.k, g.y_step()),
                                   .height = as_int(win.out_h()),
                                   .width = as_int(win.out_w()),
                                   .places = Divisor(win.out_h() * win.out_w()),
                                   .places_w = Divisor(win.out_w()),
                                   .first_h = 0,
                                   .first_w = 0,
                                   .stride_h = 1,
                                   .stride_w = 1,
                                   .pixels = pixels},
                        .m = as_int(pixels),
                        .n = filters,
                        .k = as_int(taps)};
  const Products<Forward, 1> products{.product = {product}, .count = 1, .parts = plan.parts};
  launch_plan<T>(context, "conv2d_forward_implicit_gemm", plan, vectors, products);
  if (plan.parts > 1)
    launch(context, "conv2d_forward_add_parts", one_thread_each(pixels * g.k), add_parts<T>,
           plan.parts, pixels, filters, parts.data(), bias, g.y_step(), y);
}

template <class T>
void conv2d_backward_data_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, const T* dy,
                                        const T* w, T* dx) {
  check_size("conv2d_backward_data", g);
  const Windows& win = g.windows;
  const int channels = as_int(g.c);
  const std::int64_t pixels = win.n * win.h * win.w;
  const bool vectors = in_chunks(dy, {g.k, g.y_step()}) && in_chunks(w, {g.c});
  const auto classes_h = std::min(win.stride_h, win.h), classes_w = std::min(win.stride_w, win.w);
  constexpr int most = 4;
  const int count = as_int(std::min<std::int64_t>(classes_h * classes_w, most));
  const std::int64_t most_taps =
      tiles(win.r, static_cast<int>(win.stride_h)) * tiles(win.s, static_cast<int>(win.stride_w));
  const Plan plan = plan_for_pixels<T>(context, pixels / (classes_h * classes_w), g.c,
                                       most_taps * g.k, count, vectors);
  const CudaWorkspace<float> parts(context, plan.parts > 1 ? plan.parts * pixels * g.c : 0);

  // Pixels whose row h has the same h + top modulo the stride are covered by the same rows of the
  // window, and likewise for columns: each such class is a convolution of dy of stride 1 with some
  // of the taps, its windows running backwards.
  using Data = Product<Windowed<T>, false, FilterTaps<T>, true, PixelOutput<T>>;
  const auto product_of = [&](std::int64_t class_h, std::int64_t class_w) -> Data {
    struct Side {
      std::int64_t first, places, first_tap, taps, window;
    };
    const auto side = [](std::int64_t first, std::int64_t extent, std::int64_t stride,
                         std::int64_t padding, std::int64_t taps) -> Side {
      const std::int64_t tap = (first + padding) % stride;
      return {.first = first,
              .places = (extent - first + stride - 1) / stride,
              .first_tap = tap,
              .taps = tap < taps ? (taps - tap + stride - 1) / stride : 0,
              .window = (first + padding) / stride};
    };
    const Side h = side(class_h, win.h, win.stride_h, win.padding.top, win.r);
    const Side v = side(class_w, win.w, win.stride_w, win.padding.left, win.s);
    const std::int64_t rows = win.n * h.places * v.places, taps = h.taps * v.taps * g.k;
    const Divisor places(h.places * v.places), places_w(v.places);
    const Divisor tap_columns(std::max<std::int64_t>(v.taps, 1));
    return {.a = {.data = dy,
                  .step = g.y_step(),
                  .height = as_int(win.out_h()),
                  .width = as_int(win.out_w()),
                  .rows = as_int(rows),
                  .columns = as_int(taps),
                  .places = places,
                  .places_w = places_w,
                  .taps_w = tap_columns,
                  .channels = Divisor(g.k),
                  .first_h = as_int(h.window),
                  .first_w = as_int(v.window),
                  .stride_h = 1,
                  .stride_w = 1,
                  .direction = -1},
            .b = {.data = w,
                  .rows = as_int(taps),
                  .columns = channels,
                  .taps_w = tap_columns,
                  .count = Divisor(g.k),
                  .r = as_int(win.r),
                  .s = as_int(win.s),
                  .first_r = as_int(h.first_tap),
                  .first_s = as_int(v.first_tap),
                  .stride_h = as_int(win.stride_h),
                  .stride_w = as_int(win.stride_w)},
            .output = {.y = dx,
                       .step = g.x_step(),
                       .bias = nullptr,
                       .parts = plan.parts > 1 ? parts.data() : nullptr,
                       .channels = channels,
                       .pairs = in_pairs(dx, g.c, g.x_step()),
                       .height = as_int(win.h),
                       .width = as_int(win.w),
                       .places = places,
                       .places_w = places_w,
                       .first_h = as_int(h.first),
                       .first_w = as_int(v.first),
                       .stride_h = as_int(win.stride_h),
                       .stride_w = as_int(win.stride_w),
                       .pixels = pixels},
            .m = as_int(rows),
            .n = channels,
            .k = as_int(taps)};
  };
  Products<Data, most> products{.product = {}, .count = 0, .parts = plan.parts};
  const auto give = [&] {
    if (products.count)
      launch_plan<T>(context, "conv2d_backward_data_implicit_gemm", plan, vectors, products);
    products.count = 0;
  };
  for (std::int64_t i = 0; i < classes_h; ++i)
    for (std::int64_t j = 0; j < classes_w; ++j) {
      products.product[products.count++] = product_of(i, j);
      if (products.count == most) give();
    }
  give();
  if (plan.parts > 1)
    launch(context, "conv2d_backward_data_add_parts", one_thread_each(pixels * g.c), add_parts<T>,
           plan.parts, pixels, channels, parts.data(), nullptr, g.x_step(), dx);
}

template <class T>
void conv2d_backward_weight_implicit_gemm(CudaContext& context, const Conv2dGeometry& g, const T* x,
                                          const T* dy, wide_t<T>* dw) {
  check_size("conv2d_backward_weight", g);
  const Windows& win = g.windows;
  const std::int64_t pixels = win.n * win.out_h() * win.out_w(), taps = win.r * win.s * g.c;
  const int filters = as_int(g.k), filter_size = as_int(taps);
  const bool vectors = in_chunks(x, {g.c, g.x_step()}) && in_chunks(dy, {g.k, g.y_step()});
  const Plan plan = plan_for_weights<T>(context, taps, g.k, pixels, vectors);
  const CudaWorkspace<float> parts(context, plan.parts > 1 ? plan.parts * taps * g.k : 0);

  using Weight = Product<Windowed<T>, true, Matrix<T>, true, FilterOutput>;
  const Weight product{
      .a = windows_of(g, x),
      .b = {.data = dy, .step = g.y_step(), .rows = as_int(pixels), .columns = filters},
      .output = {.dw = plan.parts > 1 ? parts.data() : dw,
                 .filters = filters,
                 .filter_size = filter_size},
      .m = filter_size,
      .n = filters,
      .k = as_int(pixels)};
  const Products<Weight, 1> products{.product = {product}, .count = 1, .parts = plan.parts};
  launch_plan<T>(context, "conv2d_backward_weight_implicit_gemm", plan, vectors, products);
  if (plan.parts > 1)
    launch(context, "conv2d_backward_weight_add_parts", one_thread_each(taps * g.k),
           add_parts<float>, plan.parts, std::int64_t{1}, static_cast<int>(taps * g.k),
           parts.data(), nullptr, taps * g.k, dw);
}

#define SHATTER_INSTANTIATE(T)                                                                    \
  template void conv2d_forward_implicit_gemm(CudaContext&, const Conv2dGeometry&, const T*,       \
                                             const T*, const wide_t<T>*, T*);                     \
  template void conv2d_backward_data_implicit_gemm(CudaContext&, const Conv2dGeometry&, const T*, \
                                                   const T*, T*);                                 \
  template void conv2d_backward_weight_implicit_gemm(CudaContext&, const Conv2dGeometry&,         \
                                                     const T*, const T*, wide_t<T>*);
SHATTER_INSTANTIATE(float)
SHATTER_INSTANTIATE(bfloat16)
#undef SHATTER_INSTANTIATE

}  // namespace shatter::kernels
