// Images as rows of numbers.
#include <shatter/experiments/linear_algebra/features.h>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

Features pixels(const data::Dataset& dataset) {
  data::check_images("pixels", dataset);
  const std::int64_t n = dataset.size(), elements = dataset.images.numel();
  Features features{n, n ? elements / n : 0, {}};
  features.values.resize(std::size_t(elements));
  if (dataset.images.dtype() == DType::uint8) {
    const auto* const bytes = dataset.images.data<std::uint8_t>();
    for (std::int64_t i = 0; i < elements; ++i)
      features.values[std::size_t(i)] = float(bytes[i]) / 255.f;
  } else {
    const float* const values = dataset.images.data<float>();
    std::copy(values, values + elements, features.values.begin());
  }
  return features;
}

Features rows(const Features& features, std::int64_t begin, std::int64_t end) {
  check(0 <= begin && begin <= end && end <= features.n, "rows: [", begin, ", ", end, ") of ",
        features.n);
  return {end - begin, features.d, {features.row(begin), features.row(end)}};
}

double mean_squared_distance(const Features& features) {
  check(features.n > 0, "mean_squared_distance: no rows");
  std::vector<double> mean(std::size_t(features.d));
  double squares = 0;
  for (std::int64_t i = 0; i < features.n; ++i)
    for (std::int64_t l = 0; l < features.d; ++l) {
      const double value = features.row(i)[l];
      mean[std::size_t(l)] += value;
      squares += value * value;
    }
  double of_mean = 0;
  for (const double sum : mean) of_mean += sum / double(features.n) * (sum / double(features.n));
  return 2 * (squares / double(features.n) - of_mean);
}

std::vector<int> labels(const data::Dataset& dataset) {
  const auto* const values = dataset.labels.data<std::int32_t>();
  return {values, values + dataset.size()};
}

}  // namespace shatter::experiments
