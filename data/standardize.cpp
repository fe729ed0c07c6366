// Means and deviations of features, in double and in the order of the items.
#include <shatter/data/standardize.h>

#include <cmath>

#include <shatter/kernels/context.h>

namespace shatter::data {
namespace {

struct Scale {
  std::vector<double> mean, factor;  ///< of each feature
};

/// Calls use(T()) with the type of x's elements: uint8_t, float or double.
template <class Use>
void with_type_of(const Tensor& x, const Use& use) {
  if (x.dtype() == DType::uint8)
    use(std::uint8_t());
  else if (x.dtype() == DType::float32)
    use(float());
  else
    use(double());
}

template <class T>
double value(T element) {
  return std::is_same_v<T, std::uint8_t> ? double(element) / 255 : double(element);
}

Scale scale_of(const Tensor& x) {
  const std::int64_t n = x.dim(0), features = x.numel() / n;
  Scale scale{std::vector<double>(std::size_t(features)),
              std::vector<double>(std::size_t(features))};
  with_type_of(x, [&]<class T>(T) {
    const T* const elements = x.data<T>();
    cpu_context().parallel_for(features, 64, [&](std::int64_t begin, std::int64_t end) {
      const auto over_items = [&](auto add) {
        for (std::int64_t i = 0; i < n; ++i) {
          for (std::int64_t k = begin; k < end; ++k)
            add(std::size_t(k), value(elements[i * features + k]));
        }
      };
      over_items([&](std::size_t k, double v) { scale.mean[k] += v; });
      for (std::int64_t k = begin; k < end; ++k) scale.mean[std::size_t(k)] /= double(n);
      over_items([&](std::size_t k, double v) {
        const double distance = v - scale.mean[k];
        scale.factor[k] += distance * distance;
      });
      for (std::int64_t k = begin; k < end; ++k) {
        double& factor = scale.factor[std::size_t(k)];
        factor = factor > 0 ? 1 / std::sqrt(factor / double(n)) : 1;
      }
    });
  });
  return scale;
}

Tensor scaled(const Tensor& x, const Scale& scale) {
  const std::int64_t n = x.dim(0), features = std::int64_t(scale.mean.size());
  const bool doubles = x.dtype() == DType::float64;
  const Tensor y = Tensor::empty(x.shape(), doubles ? DType::float64 : DType::float32);
  with_type_of(x, [&]<class T>(T) {
    using Out = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const T* const from = x.data<T>();
    Out* const to = y.data<Out>();
    cpu_context().parallel_for(n, 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t k = 0; k < features; ++k) {
          const auto at = std::size_t(k);
          to[i * features + k] =
              Out((value(from[i * features + k]) - scale.mean[at]) * scale.factor[at]);
        }
      }
    });
  });
  return y;
}

}  // namespace

TrainTest standardize_features(const TrainTest& data) {
  const char* const op = "standardize_features";
  check_dataset(op, data.train);
  check(data.train.size() > 0, op, ": the training set is empty");
  const Tensor train = data.train.images.to(Device::cpu()).packed();
  const Scale scale = scale_of(train);
  TrainTest result = data;
  for (Dataset* set : {&result.train, &result.test}) {
    if (set->size() == 0) continue;
    check_dataset(op, *set);
    const Tensor x = set->images.to(Device::cpu()).packed();
    check(x.shape().with(0, train.dim(0)) == train.shape(), op, ": inputs ", x.str(),
          ", the training set has ", train.str());
    set->images = scaled(x, scale).to(set->images.device());
    set->name += "; standardized features";
  }
  return result;
}

}  // namespace shatter::data
