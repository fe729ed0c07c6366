// Winograd's minimal filtering F(4x4, 3x3) on tiles of NHWC images: the transforms, and the matrix
// products between them. Included once for each instruction set, by conv2d_winograd.cpp, with
// SHATTER_WINOGRAD_NAMESPACE, SHATTER_WINOGRAD_TARGET (attributes of every function) and
// SHATTER_WINOGRAD_LANES (floats in a register); hence no include guard and no includes.
//
// The points are 0, a, -a, b, -b and infinity (Lavin and Gray, arXiv:1509.09308, section 4, take
// a = 1, b = 2):
//   A^T, 4 x 6:  p^i of each finite point p, and (0, 0, 0, 1) of infinity
//   G,   6 x 3:  (1, p, p^2) / prod_{q != p} (p - q), and (0, 0, 1)
//   B^T, 6 x 6:  the coefficients of prod_{q != p} (x - q), and of prod_q (x - q)
// so that A^T [(G g G^T) * (B^T d B)] A is the 4 x 4 convolution of the 6 x 6 tile d with g.

namespace shatter::kernels::SHATTER_WINOGRAD_NAMESPACE {

constexpr std::int64_t lanes = SHATTER_WINOGRAD_LANES;

using Vector [[gnu::vector_size(4 * lanes)]] = float;
using Unaligned [[gnu::vector_size(4 * lanes), gnu::aligned(4), gnu::may_alias]] = float;

#define SHATTER_INLINE SHATTER_WINOGRAD_TARGET [[gnu::always_inline]] inline

SHATTER_INLINE Vector load(const float* from) {
  return *reinterpret_cast<const Unaligned*>(from);
}
SHATTER_INLINE void store(float* to, const Vector& value) {
  *reinterpret_cast<Unaligned*>(to) = value;
}

/// The first `count` lanes; the others are 0.
SHATTER_INLINE Vector load_part(const float* from, std::int64_t count) {
  Vector value{};
  for (std::int64_t i = 0; i < count; ++i) value[i] = from[i];
  return value;
}
SHATTER_INLINE void store_part(float* to, const Vector& value, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = value[i];
}

// Six vectors in place of d: B^T d.
SHATTER_INLINE void transform_input(Vector (&d)[6]) {
  const Vector t0 = pp * d[0] - ss * d[2] + d[4];
  const Vector t5 = pp * d[1] - ss * d[3] + d[5];
  const Vector u = d[4] - bb * d[2], v = pa * d[3] - (pa * bb) * d[1];
  const Vector s = d[4] - aa * d[2], t = pb * d[3] - (pb * aa) * d[1];
  d[0] = t0;
  d[1] = u + v;
  d[2] = u - v;
  d[3] = s + t;
  d[4] = s - t;
  d[5] = t5;
}

// A y: four vectors into six.
SHATTER_INLINE void transform_gradient(const Vector (&y)[4], Vector (&t)[6]) {
  const Vector even_a = y[0] + aa * y[2], odd_a = pa * y[1] + (pa * aa) * y[3];
  const Vector even_b = y[0] + bb * y[2], odd_b = pb * y[1] + (pb * bb) * y[3];
  t[0] = y[0];
  t[1] = even_a + odd_a;
  t[2] = even_a - odd_a;
  t[3] = even_b + odd_b;
  t[4] = even_b - odd_b;
  t[5] = y[3];
}

// A^T m: six vectors into four.
SHATTER_INLINE void transform_output(const Vector (&m)[6], Vector (&y)[4]) {
  const Vector even_a = m[1] + m[2], odd_a = m[1] - m[2];
  const Vector even_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + even_a + even_b;
  y[1] = pa * odd_a + pb * odd_b;
  y[2] = aa * even_a + bb * even_b;
  y[3] = (pa * aa) * odd_a + (pb * bb) * odd_b + m[5];
}

// G g: three vectors into six.
SHATTER_INLINE void transform_weight(const Vector (&g)[3], Vector (&t)[6]) {
  const Vector even_a = (g[0] + aa * g[2]) * (1 / na), odd_a = (pa / na) * g[1];
  const Vector even_b = (g[0] + bb * g[2]) * (1 / nb), odd_b = (pb / nb) * g[1];
  t[0] = (1 / pp) * g[0];
  t[1] = even_a + odd_a;
  t[2] = even_a - odd_a;
  t[3] = even_b + odd_b;
  t[4] = even_b - odd_b;
  t[5] = g[2];
}

// G^T t: six vectors into three.
SHATTER_INLINE void transform_weight_gradient(const Vector (&t)[6], Vector (&g)[3]) {
  const Vector even_a = (t[1] + t[2]) * (1 / na), odd_a = (t[1] - t[2]) * (pa / na);
  const Vector even_b = (t[3] + t[4]) * (1 / nb), odd_b = (t[3] - t[4]) * (pb / nb);
  g[0] = (1 / pp) * t[0] + even_a + even_b;
  g[1] = odd_a + odd_b;
  g[2] = aa * even_a + bb * even_b + t[5];
}

// Loads the tile's pixels of channels [c, c + lanes); those outside the image are 0.
template <int size>
SHATTER_INLINE void load_tile(const TileImages& images, const float* (&pixels)[size][size],
                              std::int64_t c, Vector (&d)[size][size]) {
  const std::int64_t count = images.channels - c;
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      if (!pixels[i][j])
        d[i][j] = Vector{};
      else if (count >= lanes)
        d[i][j] = load(pixels[i][j] + c);
      else
        d[i][j] = load_part(pixels[i][j] + c, count);
    }
}

template <int size>
SHATTER_INLINE void find_pixels(const TileImages& images, std::int64_t tile,
                                const float* (&pixels)[size][size]) {
  const TilePlace place = place_of(images, tile);
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      const std::int64_t h = place.top + i, w = place.left + j;
      const bool inside = h >= 0 && h < images.h && w >= 0 && w < images.w;
      pixels[i][j] = inside ? place.image + (h * images.w + w) * images.step : nullptr;
    }
}

SHATTER_WINOGRAD_TARGET inline void input_tiles(const TileImages& images, std::int64_t first,
                                                std::int64_t count, const TileMatrices& v) {
  for (std::int64_t tile = 0; tile < count; ++tile) {
    const float* pixels[6][6];
    find_pixels(images, first + tile, pixels);
    for (std::int64_t c = 0; c < v.columns; c += lanes) {
      Vector d[6][6];
      load_tile(images, pixels, c, d);
      for (int j = 0; j < 6; ++j) {
        Vector column[6] = {d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]};
        transform_input(column);
        for (int i = 0; i < 6; ++i) d[i][j] = column[i];
      }
      float* const target = v.data + tile * v.columns + c;
      for (int i = 0; i < 6; ++i) {
        transform_input(d[i]);
        for (int j = 0; j < 6; ++j) store(target + (i * 6 + j) * v.plane, d[i][j]);
      }
    }
  }
}

SHATTER_WINOGRAD_TARGET inline void gradient_tiles(const TileImages& images, std::int64_t first,
                                                   std::int64_t count, const TileMatrices& m) {
  for (std::int64_t tile = 0; tile < count; ++tile) {
    const float* pixels[4][4];
    find_pixels(images, first + tile, pixels);
    for (std::int64_t c = 0; c < m.columns; c += lanes) {
      Vector d[4][4], half[6][4];
      load_tile(images, pixels, c, d);
      for (int j = 0; j < 4; ++j) {
        const Vector column[4] = {d[0][j], d[1][j], d[2][j], d[3][j]};
        Vector t[6];
        transform_gradient(column, t);
        for (int i = 0; i < 6; ++i) half[i][j] = t[i];
      }
      float* const target = m.data + tile * m.columns + c;
      for (int i = 0; i < 6; ++i) {
        Vector t[6];
        transform_gradient(half[i], t);
        for (int j = 0; j < 6; ++j) store(target + (i * 6 + j) * m.plane, t[j]);
      }
    }
  }
}

SHATTER_WINOGRAD_TARGET inline void output_tiles(const TileMatrices& m, const float* bias,
                                                 std::int64_t first, std::int64_t count,
                                                 const TileImages& images) {
  for (std::int64_t tile = 0; tile < count; ++tile) {
    const TilePlace place = place_of(images, first + tile);
    const std::int64_t rows = std::min<std::int64_t>(4, images.h - place.top);
    const std::int64_t columns = std::min<std::int64_t>(4, images.w - place.left);
    float* const corner =
        const_cast<float*>(place.image) + (place.top * images.w + place.left) * images.step;
    for (std::int64_t c = 0; c < images.channels; c += lanes) {
      const float* const source = m.data + tile * m.columns + c;
      const std::int64_t left = images.channels - c;
      const bool whole = left >= lanes;
      Vector half[4][6];
      for (int j = 0; j < 6; ++j) {
        Vector column[6], y[4];
        for (int i = 0; i < 6; ++i) column[i] = load(source + (i * 6 + j) * m.plane);
        transform_output(column, y);
        for (int i = 0; i < 4; ++i) half[i][j] = y[i];
      }
      Vector add{};
      if (bias) add = whole ? load(bias + c) : load_part(bias + c, left);
      for (int i = 0; i < rows; ++i) {
        Vector y[4];
        transform_output(half[i], y);
        for (int j = 0; j < columns; ++j) {
          float* const target = corner + (i * images.w + j) * images.step + c;
          if (whole)
            store(target, y[j] + add);
          else
            store_part(target, y[j] + add, left);
        }
      }
    }
  }
}

// The 3 x 3 weights of channels [c, c + lanes) at w, transformed: u[i][j].
SHATTER_INLINE void weight_tile(const float* w, std::int64_t channels, std::int64_t c, bool rotated,
                                Vector (&u)[6][6]) {
  Vector g[3][3], half[6][3];
  const std::int64_t left = channels - c;
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s) {
      const float* const from = w + (rotated ? 8 - (r * 3 + s) : r * 3 + s) * channels + c;
      g[r][s] = left >= lanes ? load(from) : load_part(from, left);
    }
  for (int s = 0; s < 3; ++s) {
    const Vector column[3] = {g[0][s], g[1][s], g[2][s]};
    Vector t[6];
    transform_weight(column, t);
    for (int i = 0; i < 6; ++i) half[i][s] = t[i];
  }
  for (int i = 0; i < 6; ++i) transform_weight(half[i], u[i]);
}

// Of the forward pass: u[c][k] of channels [begin, end), whose first is a multiple of 16.
SHATTER_WINOGRAD_TARGET inline void forward_weights(const float* w, std::int64_t channels,
                                                    std::int64_t filters, std::int64_t begin,
                                                    std::int64_t end, const TileMatrices& u) {
  for (std::int64_t c = begin; c < end; c += lanes) {
    const std::int64_t count = std::min<std::int64_t>(lanes, end - c);
    for (std::int64_t k = 0; k < u.columns; ++k) {
      Vector t[6][6] = {};
      if (k < filters) weight_tile(w + k * 9 * channels, channels, c, false, t);
      for (int i = 0; i < 36; ++i) {
        float* const target = u.data + i * u.plane + c * u.columns + k;
        for (std::int64_t l = 0; l < count; ++l) target[l * u.columns] = t[i / 6][i % 6][l];
      }
    }
  }
}

// Of the data gradient: u[k][c], from the weights turned by 180 degrees, of filters [begin, end).
SHATTER_WINOGRAD_TARGET inline void backward_weights(const float* w, std::int64_t channels,
                                                     std::int64_t begin, std::int64_t end,
                                                     const TileMatrices& u) {
  for (std::int64_t k = begin; k < end; ++k)
    for (std::int64_t c = 0; c < u.columns; c += lanes) {
      Vector t[6][6];
      weight_tile(w + k * 9 * channels, channels, c, true, t);
      for (int i = 0; i < 36; ++i) store(u.data + i * u.plane + k * u.columns + c, t[i / 6][i % 6]);
    }
}

// dw[k][r][s][c] of filters [begin, end) from u[k][c].
SHATTER_WINOGRAD_TARGET inline void weight_gradients(const TileMatrices& u, std::int64_t channels,
                                                     std::int64_t begin, std::int64_t end,
                                                     float* dw) {
  for (std::int64_t k = begin; k < end; ++k)
    for (std::int64_t c = 0; c < channels; c += lanes) {
      const float* const source = u.data + k * u.columns + c;
      const std::int64_t left = channels - c;
      Vector half[3][6];
      for (int j = 0; j < 6; ++j) {
        Vector column[6], g[3];
        for (int i = 0; i < 6; ++i) column[i] = load(source + (i * 6 + j) * u.plane);
        transform_weight_gradient(column, g);
        for (int r = 0; r < 3; ++r) half[r][j] = g[r];
      }
      for (int r = 0; r < 3; ++r) {
        Vector g[3];
        transform_weight_gradient(half[r], g);
        for (int s = 0; s < 3; ++s) {
          float* const target = dw + (k * 9 + r * 3 + s) * channels + c;
          if (left >= lanes)
            store(target, g[s]);
          else
            store_part(target, g[s], left);
        }
      }
    }
}

// A block of rows x (width * lanes) of c [.., columns] = a b, or added to it; a(i, l) lies at
// a[i * row + l * step], b is [depth, columns].
template <int rows, int width>
SHATTER_INLINE void multiply_block(std::int64_t depth, const float* a, std::int64_t row,
                                   std::int64_t step, const float* b, std::int64_t columns,
                                   bool add, float* c) {
  Vector sum[rows][width];
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < width; ++j) sum[i][j] = add ? load(c + i * columns + j * lanes) : Vector{};
  for (std::int64_t l = 0; l < depth; ++l) {
    Vector right[width];
    for (int j = 0; j < width; ++j) right[j] = load(b + l * columns + j * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const float left = a[i * row + l * step];
#pragma GCC unroll 4
      for (int j = 0; j < width; ++j) sum[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < width; ++j) store(c + i * columns + j * lanes, sum[i][j]);
}

// Rows in a block: what the registers hold with three vectors beside.
constexpr int block_rows = lanes == 16 ? 8 : 4;

template <bool transposed, int width>
SHATTER_WINOGRAD_TARGET void multiply_columns(std::int64_t rows, std::int64_t depth, const float* a,
                                              std::int64_t pitch, const float* b,
                                              std::int64_t columns, bool add, float* c) {
  for (std::int64_t i = 0; i < rows; i += block_rows)
    multiply_block<block_rows, width>(depth, a + (transposed ? i : i * pitch),
                                      transposed ? 1 : pitch, transposed ? pitch : 1, b, columns,
                                      add, c + i * columns);
}

// c [rows, columns] = op(a) b or added to it, of packed rows; rows a multiple of 8, columns of 16.
// a is [rows, pitch], or transposed [depth, pitch].
template <bool transposed>
SHATTER_WINOGRAD_TARGET void multiply(std::int64_t rows, std::int64_t depth, const float* a,
                                      std::int64_t pitch, const float* b, std::int64_t columns,
                                      bool add, float* c) {
  std::int64_t left = columns / lanes;
  while (left > 0) {
    const std::int64_t width = left == 4 ? 2 : std::min<std::int64_t>(left, 3);
    if (width == 3)
      multiply_columns<transposed, 3>(rows, depth, a, pitch, b, columns, add, c);
    else if (width == 2)
      multiply_columns<transposed, 2>(rows, depth, a, pitch, b, columns, add, c);
    else
      multiply_columns<transposed, 1>(rows, depth, a, pitch, b, columns, add, c);
    b += width * lanes;
    c += width * lanes;
    left -= width;
  }
}

inline constexpr WinogradKernels kernels{input_tiles,     gradient_tiles,   output_tiles,
                                         forward_weights, backward_weights, weight_gradients,
                                         multiply<false>, multiply<true>};

#undef SHATTER_INLINE

}  // namespace shatter::kernels::SHATTER_WINOGRAD_NAMESPACE
