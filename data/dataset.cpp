// Data sets as values: moving, picking images, loading by name.
#include <shatter/data/dataset.h>

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

void check_dataset(const char* op, const Dataset& dataset) {
  check(dataset.images.defined() && dataset.labels.defined(), op, ": the data set has no images");
  const Tensor& x = dataset.images;
  check(x.rank() == 4 && (x.dtype() == DType::uint8 || x.dtype() == DType::float32), op,
        ": images are ", x.str(), ", expected uint8 or float32 [n, h, w, c]");
  check(dataset.labels.shape() == Shape{x.dim(0)} && dataset.labels.dtype() == DType::int32, op,
        ": labels are ", dataset.labels.str(), ", expected int32 [", x.dim(0), "]");
}

void check_labels(const char* op, const Dataset& dataset) {
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

Dataset load(const std::string& name, const std::filesystem::path& folder, Split split) {
  if (name == "cifar10") return cifar10(folder, split);
  if (name == "cifar100") return cifar100(folder, split);
  if (name == "mnist" || name == "fashion-mnist" || name == "kmnist") {
    return mnist(folder, split, name);
  }
  if (name == "synthetic") return synthetic(split);
  fail(ErrorKind::usage, "unknown data set \"", name,
       "\", expected cifar10, cifar100, mnist, fashion-mnist, kmnist or synthetic");
}

std::filesystem::path data_folder(const std::filesystem::path& given) {
  if (!given.empty()) return given;
  const char* variable = std::getenv("SHATTER_DATA");
  return variable && *variable ? variable : "datasets";
}

}  // namespace shatter::data
