// Data sets as values: moving, picking images, loading by name.
#include <shatter/data/dataset.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include <shatter/kernels/context.h>

namespace shatter::data {
namespace {

/// Items of a packed CPU tensor at the given places, which are valid.
Tensor pick(const Tensor& x, const std::vector<std::int64_t>& indices) {
  const Tensor source = x.to(Device::cpu()).packed();
  const Tensor y = Tensor::empty(x.shape().with(0, std::int64_t(indices.size())), x.dtype());
  const std::size_t item = x.dim(0) > 0 ? source.bytes() / std::size_t(x.dim(0)) : 0;
  cpu_context().parallel_for(
      std::int64_t(indices.size()), 256, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          if (item == 0) continue;
          std::memcpy(y.raw() + std::size_t(i) * item,
                      source.raw() + std::size_t(indices[std::size_t(i)]) * item, item);
        }
      });
  return y.to(x.device());
}

}  // namespace

Dataset Dataset::from(const Tensor& x, const Tensor& y, std::int64_t classes,
                      const std::string& name) {
  const char* const op = "Dataset::from";
  check(x.defined() && y.defined() && x.rank() >= 1, op, ": x and y must have elements");
  Dataset dataset;
  dataset.name = name;
  dataset.images = x.detach();
  dataset.labels = y.dtype() == DType::int64 ? y.to(DType::int32) : y.detach();
  const bool whole = dataset.labels.dtype() == DType::int32;
  check(classes >= 0 && (whole || classes == 0), op, ": classes is ", classes, ", y is ", y.str(),
        whole ? "" : "; targets have none");
  if (whole) {
    std::int64_t largest = -1;
    for (const std::int64_t label : y.values<std::int64_t>()) largest = std::max(largest, label);
    dataset.classes = classes > 0 ? classes : std::max<std::int64_t>(1, largest + 1);
    check(largest < dataset.classes, op, ": label ", largest, " lies outside [0, ", classes, ")");
  }
  check_dataset(op, dataset);
  check_labels(op, dataset);
  return dataset;
}

bool Dataset::has_images() const {
  return images.defined() && images.rank() == 4 &&
         (images.dtype() == DType::uint8 || images.dtype() == DType::float32);
}

void check_dataset(const char* op, const Dataset& dataset) {
  check(dataset.images.defined() && dataset.labels.defined(), op, ": the data set has no images");
  const Tensor &x = dataset.images, &y = dataset.labels;
  const auto floating = [](const Tensor& t) {
    return t.dtype() == DType::float32 || t.dtype() == DType::float64;
  };
  check(dataset.has_images() || (x.rank() >= 1 && floating(x)), op, ": images are ", x.str(),
        ", expected uint8 or float32 [n, h, w, c], or float32 or float64 [n, ...]");
  check(y.dtype() == DType::int32 ? y.shape() == Shape{x.dim(0)}
                                  : floating(y) && y.rank() >= 1 && y.dim(0) == x.dim(0),
        op, ": labels are ", y.str(), ", expected int32 [", x.dim(0),
        "], or float32 or float64 targets [", x.dim(0), ", ...]");
}

void check_images(const char* op, const Dataset& dataset) {
  check_dataset(op, dataset);
  check(dataset.has_images(), op, ": ", dataset.name, " holds ", dataset.images.str(),
        ", expected images: uint8 or float32 [n, h, w, c]");
}

void check_labels(const char* op, const Dataset& dataset) {
  if (dataset.labels.dtype() != DType::int32) return;
  const std::vector<std::int32_t> labels = dataset.labels.values<std::int32_t>();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    check(labels[i] >= 0 && labels[i] < dataset.classes, op, ": label ", labels[i], " of image ", i,
          " lies outside [0, ", dataset.classes, "), the classes of ", dataset.name,
          "; set Dataset::classes");
  }
}

Dataset Dataset::to(Device device) const {
  Dataset result = *this;
  if (images.defined()) result.images = images.to(device);
  if (labels.defined()) result.labels = labels.to(device);
  if (true_labels.defined()) result.true_labels = true_labels.to(device);
  return result;
}

Dataset subset(const Dataset& dataset, const std::vector<std::int64_t>& indices) {
  for (const std::int64_t i : indices) {
    check(i >= 0 && i < dataset.size(), "subset: index ", i, " is outside ", dataset.name, " of ",
          dataset.size(), " images");
  }
  check(!indices.empty(), "subset: no index given for ", dataset.name);
  Dataset result = dataset;
  result.name += text("; subset of ", indices.size());
  result.images = pick(dataset.images, indices);
  result.labels = pick(dataset.labels, indices);
  if (dataset.true_labels.defined()) result.true_labels = pick(dataset.true_labels, indices);
  return result;
}

Dataset first(const Dataset& dataset, std::int64_t n) {
  check(n >= 1 && n <= dataset.size(), "first: ", n, " images asked of ", dataset.name,
        ", which has ", dataset.size());
  if (n == dataset.size()) return dataset;
  Dataset result = dataset;
  result.name += text("; first ", n);
  result.images = dataset.images.slice_items(0, n);
  result.labels = dataset.labels.slice_items(0, n);
  if (dataset.true_labels.defined()) result.true_labels = dataset.true_labels.slice_items(0, n);
  return result;
}

std::filesystem::path data_folder(const std::filesystem::path& given) {
  if (!given.empty()) return given;
  const char* variable = std::getenv("SHATTER_DATA");
  return variable && *variable ? variable : "datasets";
}

}  // namespace shatter::data
