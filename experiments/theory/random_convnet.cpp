// Random filters, their features, and the Gram matrix block of filters by block of filters.
#include <shatter/experiments/theory/random_convnet.h>

#include <Eigen/Dense>
#include <cmath>
#include <set>

#include <shatter/core/random.h>
#include <shatter/kernels/cpu/gemm.h>
#include <shatter/kernels/cpu/multiversion.h>
#include <shatter/kernels/error.h>

namespace shatter::experiments {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct ImageSize {
  std::int64_t h, w, c;
};
ImageSize size_of_images(const data::Dataset& images, const RandomConvnet& net) {
  data::check_images("random conv-net", images);
  check(images.size() > 0, "random conv-net: no images");
  const ImageSize size{images.images.dim(1), images.images.dim(2), images.images.dim(3)};
  check(net.patch >= 1 && net.pool >= 1 && net.stride >= 1 &&
            std::min(size.h, size.w) >= net.patch + net.pool - 1,
        "random conv-net: patches of ", net.patch, " and windows of ", net.pool, " on images of ",
        size.h, " x ", size.w);
  return size;
}

/// The windows along one side, in pieces that no window cuts.
struct Windows1d {
  std::vector<std::int64_t> cuts;                           // first positions, and the end
  std::vector<std::pair<std::size_t, std::size_t>> pieces;  // of each window
  Windows1d(std::int64_t extent, std::int64_t pool, std::int64_t stride) {
    std::set<std::int64_t> points;
    for (std::int64_t first = 0; first + pool <= extent; first += stride)
      points.insert({first, first + pool});
    cuts.assign(points.begin(), points.end());
    const auto place = [&](std::int64_t point) {
      return std::size_t(std::lower_bound(cuts.begin(), cuts.end(), point) - cuts.begin());
    };
    for (std::int64_t first = 0; first + pool <= extent; first += stride)
      pieces.emplace_back(place(first), place(first + pool));
  }
  std::int64_t count() const { return std::int64_t(pieces.size()); }
};

/// sums[0][f] += max(z[f] - bias, 0), sums[1][f] += max(-z[f] - bias, 0) over `pixels` rows of z.
void rectify_and_add(std::int64_t pixels, std::int64_t filters, float bias, const float* z,
                     float* sums) {
  kernels::multiversion([=] {
    for (std::int64_t p = 0; p < pixels; ++p) {
      const float* const row = z + p * filters;
      SHATTER_INDEPENDENT
      for (std::int64_t f = 0; f < filters; ++f) {
        const float value = row[f];
        sums[f] += value > bias ? value - bias : 0.f;
        sums[filters + f] += -value > bias ? -value - bias : 0.f;
      }
    }
  });
}

void add_products(CpuContext& context, const Features& features, PackedLower& gram) {
  // Pairs of tiles in one list: no thread waits before all are done.
  const std::int64_t tiles = gram.block_columns();
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;
  for (std::int64_t j = 0; j < tiles; ++j)
    for (std::int64_t i = j; i < tiles; ++i) pairs.emplace_back(i, j);
  context.parallel(std::int64_t(pairs.size()), [&](std::int64_t task) {
    const auto [i, j] = pairs[std::size_t(task)];
    kernels::gemm(false, true, gram.width(i), gram.width(j), features.d, 1.f,
                  features.row(gram.begin(i)), features.d, features.row(gram.begin(j)), features.d,
                  1.f, gram.row(gram.begin(i), j), gram.width(j));
  });
}

void add_products(CpuContext& context, const Features& test, const Features& train,
                  std::vector<float>& products) {
  const std::int64_t tile = PackedLower::default_block;
  const std::int64_t rows = (test.n + tile - 1) / tile, columns = (train.n + tile - 1) / tile;
  context.parallel(rows * columns, [&](std::int64_t task) {
    const std::int64_t i = task / columns * tile, j = task % columns * tile;
    kernels::gemm(false, true, std::min(tile, test.n - i), std::min(tile, train.n - j), test.d, 1.f,
                  test.row(i), test.d, train.row(j), train.d, 1.f,
                  products.data() + i * train.n + j, train.n);
  });
}

}  // namespace

std::vector<float> random_filters(const data::Dataset& images, const RandomConvnet& net) {
  const ImageSize size = size_of_images(images, net);
  check(net.filters >= 1 && net.filters <= net.patches, "random conv-net: ", net.filters,
        " filters of ", net.patches, " patches");
  const std::int64_t d = net.patch * net.patch * size.c;
  const Features all = pixels(images);
  Matrix patches(net.patches, d);
  const RandomKey key{derive_seed(net.seed, "random patches")};
  for (std::int64_t p = 0; p < net.patches; ++p) {
    const Words4 a = random_words(key, std::uint32_t(p)),
                 b = random_words(key, std::uint32_t(p), 1);
    const float* const image = all.row(below(std::uint32_t(all.n), a[0], a[1]));
    const auto y = std::int64_t(below(std::uint32_t(size.h - net.patch + 1), a[2], a[3]));
    const auto x = std::int64_t(below(std::uint32_t(size.w - net.patch + 1), b[0], b[1]));
    for (std::int64_t r = 0; r < net.patch; ++r)
      for (std::int64_t e = 0; e < net.patch * size.c; ++e)
        patches(p, r * net.patch * size.c + e) = image[((y + r) * size.w + x) * size.c + e];
    patches.row(p).array() -= patches.row(p).mean();
    const double norm = patches.row(p).norm();
    if (norm >= 1e-8) patches.row(p) /= norm;
  }
  const Matrix moments = patches.transpose() * patches / double(net.patches);
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(moments);
  // Whitened twice, so that a raw patch's product with the filter is that of whitened patches.
  const Matrix twice =
      eigen.eigenvectors() *
      (eigen.eigenvalues().array() + net.whitening).inverse().matrix().asDiagonal() *
      eigen.eigenvectors().transpose();
  const std::vector<std::int64_t> order =
      random_permutation({derive_seed(net.seed, "random filters")}, net.patches);
  std::vector<float> filters(std::size_t(net.filters * d));
  for (std::int64_t f = 0; f < net.filters; ++f) {
    const Eigen::VectorXd filter = twice * patches.row(order[std::size_t(f)]).transpose();
    for (std::int64_t e = 0; e < d; ++e) filters[std::size_t(f * d + e)] = float(filter(e));
  }
  return filters;
}

Features convnet_features(CpuContext& context, const data::Dataset& images,
                          const RandomConvnet& net, const float* filters, std::int64_t count) {
  const ImageSize size = size_of_images(images, net);
  const std::int64_t h = size.h - net.patch + 1, w = size.w - net.patch + 1;
  const std::int64_t row_elements = net.patch * size.c, d = net.patch * row_elements;
  const Windows1d down(h, net.pool, net.stride), across(w, net.pool, net.stride);
  const auto part = 2 * count;  // both signs of every filter
  Features features{images.size(), down.count() * across.count() * part, {}};
  features.values.resize(std::size_t(features.n * features.d));
  const Features all = pixels(images);
  context.parallel(all.n, [&](std::int64_t n) {
    thread_local std::vector<float> columns, z, cells;
    columns.resize(std::size_t(h * w * d));
    z.resize(std::size_t(h * w * count));
    const float* const image = all.row(n);
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x)
        for (std::int64_t r = 0; r < net.patch; ++r)
          std::copy_n(image + ((y + r) * size.w + x) * size.c, row_elements,
                      columns.data() + (y * w + x) * d + r * row_elements);
    kernels::gemm(false, true, h * w, count, d, 1.f, columns.data(), d, filters, d, 0.f, z.data(),
                  count);
    const std::size_t cells_across = across.cuts.size() - 1;
    cells.assign((down.cuts.size() - 1) * cells_across * std::size_t(part), 0);
    const auto cell = [&](std::size_t i, std::size_t j) {
      return cells.data() + (i * cells_across + j) * std::size_t(part);
    };
    for (std::size_t i = 0; i + 1 < down.cuts.size(); ++i)
      for (std::int64_t y = down.cuts[i]; y < down.cuts[i + 1]; ++y)
        for (std::size_t j = 0; j < cells_across; ++j)
          rectify_and_add(across.cuts[j + 1] - across.cuts[j], count, float(net.bias),
                          z.data() + (y * w + across.cuts[j]) * count, cell(i, j));
    float* out = features.values.data() + n * features.d;
    const float share = 1.f / float(net.pool * net.pool);
    for (const auto& [top, bottom] : down.pieces)
      for (const auto& [left, right] : across.pieces) {
        std::fill(out, out + part, 0.f);
        for (std::size_t i = top; i < bottom; ++i)
          for (std::size_t j = left; j < right; ++j)
            for (std::int64_t f = 0; f < part; ++f) out[f] += cell(i, j)[f];
        for (std::int64_t f = 0; f < part; ++f) out[f] *= share;
        out += part;
      }
  });
  return features;
}

std::optional<ConvnetGram> convnet_gram(CpuContext& context, const data::Dataset& train,
                                        const data::Dataset& test, const RandomConvnet& net,
                                        const std::function<bool(double)>& each) {
  check(net.filter_block >= 1, "random conv-net: blocks of ", net.filter_block, " filters");
  const ImageSize size = size_of_images(train, net);
  const std::vector<float> filters = random_filters(train, net);
  const std::int64_t d = net.patch * net.patch * size.c, n = train.size();
  ConvnetGram gram{PackedLower(n), std::vector<float>(std::size_t(test.size() * n)), 1};
  for (std::int64_t j = 0; j < gram.train.block_columns(); ++j)
    std::fill_n(gram.train.row(gram.train.begin(j), j),
                (n - gram.train.begin(j)) * gram.train.width(j), 0.f);
  for (std::int64_t first = 0; first < net.filters; first += net.filter_block) {
    if (each && each(double(first) / double(net.filters))) return std::nullopt;
    const std::int64_t count = std::min(net.filter_block, net.filters - first);
    const float* const block = filters.data() + first * d;
    const Features features = convnet_features(context, train, net, block, count);
    add_products(context, features, gram.train);
    add_products(context, convnet_features(context, test, net, block, count), features, gram.test);
  }
  double diagonal = 0;
  for (std::int64_t i = 0; i < n; ++i) diagonal += double(gram.train.at(i, i));
  gram.scale = diagonal / double(n);
  check(gram.scale > 0, "random conv-net: all features are 0");
  const auto divide = float(1 / gram.scale);
  for (std::int64_t j = 0; j < gram.train.block_columns(); ++j) {
    float* const column = gram.train.row(gram.train.begin(j), j);
    const std::int64_t elements = (n - gram.train.begin(j)) * gram.train.width(j);
    for (std::int64_t e = 0; e < elements; ++e) column[e] *= divide;
  }
  for (float& value : gram.test) value *= divide;
  return gram;
}

}  // namespace shatter::experiments
