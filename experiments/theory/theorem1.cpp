// The networks of Theorem 1 and Corollary 1 and their weights.
#include <shatter/experiments/theory/theorem1.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter::experiments {
namespace {

Tensor column(const Tensor& v) {
  return v.reshape({v.numel(), 1});
}

/// <a, z>, [m, 1].
Tensor projection(const Tensor& z, const Tensor& a) {
  return matmul(z, column(a));
}

/// sum_j w_j max(p - b_j, 0) for p [m, 1], [m, 1].
Tensor kinks(const Tensor& p, const Tensor& b, const Tensor& w) {
  return matmul(relu(p - b), column(w));
}

/// Stops when the growth changes by less than this, relatively, in ten steps.
constexpr double power_tolerance = 1e-12;
constexpr int power_steps = 20000;

/// The factor by which repeated `step` comes to multiply a random vector's norm.
double growth(std::int64_t n, std::uint64_t seed,
              const std::function<std::vector<double>(const std::vector<double>&)>& step) {
  std::vector<double> v =
      random_normal({seed, Stream::user, 1000}, Shape{n}, 0, 1, DType::float64).values<double>();
  double factor = 0, before = 0;
  for (int i = 1; i <= power_steps; ++i) {
    const double norm = euclidean_norm(v);
    for (double& value : v) value /= norm;
    v = step(v);
    factor = euclidean_norm(v);
    if (i % 10 != 0) continue;
    if (std::abs(factor - before) <= power_tolerance * factor) break;
    before = factor;
  }
  return factor;
}

double smallest_difference(const std::vector<double>& sorted) {
  double smallest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    smallest = std::min(smallest, sorted[i] - sorted[i - 1]);
  }
  return smallest;
}

Tensor normal_direction(std::uint64_t seed, int index, std::int64_t d) {
  return random_normal({seed, Stream::user, static_cast<std::uint32_t>(index)}, Shape{d}, 0, 1,
                       DType::float64);
}

/// The direction whose smallest gap is largest; undefined when stopped.
Tensor best_direction(const PointSet& points, const InterpolationOptions& options,
                      const std::function<bool(double)>& stopped) {
  std::vector<double> columns;
  std::vector<Tensor> directions;
  for (int i = 0; i < options.directions; ++i) {
    directions.push_back(normal_direction(options.seed, i, points.d));
    const std::vector<double> values = directions.back().values<double>();
    columns.insert(columns.end(), values.begin(), values.end());
  }
  const Tensor all = Tensor::from(columns, Shape{options.directions, points.d});
  std::vector<std::vector<double>> x(directions.size());
  constexpr std::int64_t batch = 512;
  for (std::int64_t begin = 0; begin < points.n; begin += batch) {
    if (stopped && stopped(0)) return {};
    const Tensor z = points.batch(begin, std::min(batch, points.n - begin));
    const std::vector<double> values = matmul(z, all, false, true).values<double>();
    for (std::size_t i = 0; i < values.size(); ++i) x[i % x.size()].push_back(values[i]);
  }
  std::size_t best = 0;
  double largest = -1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::sort(x[i].begin(), x[i].end());
    const double gap = smallest_difference(x[i]);
    if (gap > largest) largest = gap, best = i;
  }
  if (!(largest > 0)) {
    fail(ErrorKind::data, "two points coincide in all of ", options.directions,
         " random directions: they are not distinct");
  }
  return directions[best];
}

}  // namespace

TwoLayerNet::TwoLayerNet(Tensor a_, Tensor b_, Tensor w_)
    : a(std::move(a_)), b(std::move(b_)), w(std::move(w_)) {
  check(a.rank() == 1 && b.rank() == 1 && b.shape() == w.shape(), "TwoLayerNet: a ", a.str(),
        ", b ", b.str(), ", w ", w.str(), "; want a [d], b [n], w [n]");
}

Tensor TwoLayerNet::operator()(const Tensor& z) const {
  return kinks(projection(z, a), b, w).reshape({z.dim(0)});
}

void TwoLayerNet::visit(Visitor& visitor) {
  visitor.parameter("a", a, init::zeros());
  visitor.parameter("b", b, init::zeros());
  visitor.parameter("w", w, init::zeros());
}

DeepNet::DeepNet(const TwoLayerNet& net, int blocks) : a(net.a) {
  const std::int64_t n = net.b.numel();
  check(blocks >= 1 && blocks <= n, "DeepNet: ", blocks, " blocks for ", n, " kinks");
  for (std::int64_t j = 0; j < blocks; ++j) {
    const std::int64_t begin = j * n / blocks, count = (j + 1) * n / blocks - begin;
    b.push_back(net.b.slice_items(begin, count).clone());
    w.push_back(net.w.slice_items(begin, count).clone());
  }
}

Tensor DeepNet::operator()(const Tensor& z) const {
  Tensor p = projection(z, a), sum;
  for (std::size_t j = 0; j < b.size(); ++j) {
    const Tensor block = kinks(p, b[j], w[j]);
    sum = sum.defined() ? relu(sum) - relu(-sum) + block : block;
    p = relu(p) - relu(-p);
  }
  return sum.reshape({z.dim(0)});
}

void DeepNet::visit(Visitor& visitor) {
  visitor.parameter("a", a, init::zeros());
  for (std::size_t j = 0; j < b.size(); ++j) {
    visitor.parameter("b" + std::to_string(j), b[j], init::zeros());
    visitor.parameter("w" + std::to_string(j), w[j], init::zeros());
  }
}

std::int64_t DeepNet::width() const {
  std::int64_t widest = 0;
  for (std::size_t j = 0; j < b.size(); ++j) {
    const std::int64_t carries = (j + 1 < b.size() ? 2 : 0) + (j > 0 ? 2 : 0);
    widest = std::max(widest, b[j].numel() + carries);
  }
  return widest;
}

PointSet points_of(const data::Dataset& images) {
  const Tensor all = images.images;
  const std::int64_t n = all.dim(0), d = all.numel() / n;
  const double scale = all.dtype() == DType::uint8 ? 1.0 / 255 : 1;
  return {n, d, [all, d, scale](std::int64_t begin, std::int64_t count) {
            return affine(all.slice_items(begin, count).to(DType::float64), scale, 0)
                .reshape({count, d});
          }};
}

PointSet points_of(const Tensor& points) {
  return {points.dim(0), points.dim(1), [points](std::int64_t begin, std::int64_t count) {
            return points.slice_items(begin, count);
          }};
}

std::vector<std::int64_t> distinct_images(const data::Dataset& images) {
  data::check_images("distinct_images", images);
  const Tensor pixels = images.images.packed();
  const std::size_t bytes = pixels.bytes() / std::size_t(images.size());
  const auto* data = reinterpret_cast<const char*>(pixels.raw());
  const std::vector<int> labels = images.labels.values<int>();
  std::unordered_map<std::string_view, std::size_t> seen;
  std::vector<std::int64_t> distinct;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto [place, added] = seen.try_emplace(std::string_view(data + i * bytes, bytes), i);
    if (added) {
      distinct.push_back(std::int64_t(i));
    } else if (labels[place->second] != labels[i]) {
      fail(ErrorKind::data, images.name, ": images ", place->second, " and ", i,
           " are equal and have labels ", labels[place->second], " and ", labels[i],
           ": no function fits both");
    }
  }
  return distinct;
}

std::optional<std::vector<double>> values_at(const std::function<Tensor(const Tensor&)>& model,
                                             const PointSet& points, DType dtype,
                                             std::int64_t batch,
                                             const std::function<bool(double)>& stopped) {
  std::vector<double> all;
  for (std::int64_t begin = 0; begin < points.n; begin += batch) {
    if (stopped && stopped(double(begin) / double(points.n))) return std::nullopt;
    const Tensor z = points.batch(begin, std::min(batch, points.n - begin)).to(dtype);
    const std::vector<double> values = model(z).values<double>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

KinkSystem::KinkSystem(std::vector<double> x, double epsilon) : x_(std::move(x)) {
  check(epsilon > 0 && epsilon < 1, "KinkSystem: epsilon ", epsilon, " is not in (0, 1)");
  const std::size_t n = x_.size();
  check(n > 0, "KinkSystem: no points");
  const double mean_gap = n > 1 ? (x_.back() - x_.front()) / double(n - 1) : 1;
  for (std::size_t i = 0; i < n; ++i) {
    b_.push_back(i == 0 ? x_[0] - mean_gap : x_[i - 1] + epsilon * (x_[i] - x_[i - 1]));
    check(b_[i] < x_[i] && (i == 0 || x_[i - 1] < b_[i]), "KinkSystem: points ", i == 0 ? 0 : i - 1,
          " and ", i, " are closer than rounding: ", i == 0 ? x_[0] : x_[i - 1], ", ", x_[i]);
  }
}

double KinkSystem::entry(std::int64_t i, std::int64_t j) const {
  return std::max(x_[std::size_t(i)] - b_[std::size_t(j)], 0.0);
}

double KinkSystem::smallest_diagonal() const {
  double smallest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < x_.size(); ++i) smallest = std::min(smallest, x_[i] - b_[i]);
  return smallest;
}

std::vector<double> KinkSystem::solve(const std::vector<double>& y) const {
  const std::size_t n = x_.size();
  check(y.size() == n, "KinkSystem::solve: ", y.size(), " values for ", n, " points");
  std::vector<double> w(n);
  double slope = 0;  // left of x_i, of the kinks before b_i
  for (std::size_t i = 0; i < n; ++i) {
    const double rise = i == 0 ? y[0] : y[i] - y[i - 1] - slope * (x_[i] - x_[i - 1]);
    w[i] = rise / (x_[i] - b_[i]);
    slope += w[i];
  }
  return w;
}

std::vector<double> KinkSystem::solve_transposed(const std::vector<double>& v) const {
  const std::size_t n = x_.size();
  check(v.size() == n, "KinkSystem::solve_transposed: ", v.size(), " values for ", n, " points");
  std::vector<double> u(n);
  double sum = 0;  // u_i + ... + u_n
  for (std::size_t i = n; i-- > 0;) {
    const double rise = i + 1 == n ? v[i] : v[i] - v[i + 1] - (b_[i + 1] - b_[i]) * sum;
    u[i] = rise / (x_[i] - b_[i]);
    sum += u[i];
  }
  return u;
}

double KinkSystem::smallest_eigenvalue(std::uint64_t seed) const {
  return 1 / growth(size(), seed, [&](const std::vector<double>& v) { return solve(v); });
}

double KinkSystem::smallest_singular_value(std::uint64_t seed) const {
  return 1 / std::sqrt(growth(size(), seed, [&](const std::vector<double>& v) {
           return solve_transposed(solve(v));
         }));
}

std::optional<Interpolation> interpolate(const PointSet& points, const std::vector<double>& y,
                                         const InterpolationOptions& options,
                                         const std::function<bool(double)>& stopped) {
  check(std::int64_t(y.size()) == points.n && points.n > 0, "interpolate: ", y.size(),
        " values for ", points.n, " points");
  check(options.directions >= 1, "interpolate: ", options.directions, " directions");
  const Tensor a = best_direction(points, options, stopped);
  if (!a.defined()) return std::nullopt;
  const auto found =
      values_at([&a](const Tensor& z) { return projection(z, a).reshape({z.dim(0)}); }, points,
                DType::float64, 64, stopped);
  if (!found) return std::nullopt;
  std::vector<std::size_t> order(found->size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t i, std::size_t j) { return (*found)[i] < (*found)[j]; });
  std::vector<double> x, values;
  for (const std::size_t i : order) x.push_back((*found)[i]), values.push_back(y[i]);
  const double gap = smallest_difference(x);
  KinkSystem system(std::move(x), options.epsilon);
  const std::vector<double> w = system.solve(values);
  const Shape n{points.n};
  return Interpolation{TwoLayerNet(a, Tensor::from(system.b(), n), Tensor::from(w, n)),
                       std::move(system), gap};
}

double euclidean_norm(const std::vector<double>& v) {
  double squares = 0;
  for (const double value : v) squares += value * value;
  return std::sqrt(squares);
}

}  // namespace shatter::experiments
