// Batches: the epoch's order, and one call of the augmentation kernel for each batch.
#include <shatter/data/batches.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <shatter/core/dispatch.h>
#include <shatter/core/random.h>
#include <shatter/kernels/augment.h>

namespace shatter::data {
namespace {

std::uint32_t checked_epoch(const char* op, std::int64_t epoch) {
  check(epoch >= 0 && epoch <= std::numeric_limits<std::uint32_t>::max(), op, ": epoch is ", epoch,
        ", expected 0 to 4294967295");
  return static_cast<std::uint32_t>(epoch);
}

kernels::AugmentGeometry geometry_of(const Dataset& dataset, const Pipeline& p) {
  const Tensor& x = dataset.images;
  kernels::AugmentGeometry g;
  g.h = x.dim(1);
  g.w = x.dim(2);
  g.c = x.dim(3);
  check(p.padding >= 0, "make_batch: padding is ", p.padding, ", expected 0 or more");
  check(p.crop >= 0 && p.crop <= std::min(g.h, g.w) + 2 * p.padding, "make_batch: crop is ", p.crop,
        ", images are ", g.h, " x ", g.w,
        p.padding ? text(" with ", p.padding, " pixels around") : "");
  g.crop_h = p.crop > 0 ? p.crop : g.h;
  g.crop_w = p.crop > 0 ? p.crop : g.w;
  g.scale = x.dtype() == DType::uint8 ? 1.0 / 255 : 1.0;
  g.padding = p.padding;
  g.random_crop = p.random_crop;
  g.flip = p.flip;
  const std::pair<const char*, double> amounts[] = {
      {"rotation", p.rotation}, {"brightness", p.brightness},
      {"contrast", p.contrast}, {"saturation", p.saturation},
      {"hue", p.hue},           {"noise", p.noise}};
  for (const auto& [name, value] : amounts) {
    check(std::isfinite(value) && value >= 0, "make_batch: ", name, " is ", value,
          ", expected a finite number, 0 or more");
  }
  check(g.c == 3 || (p.saturation == 0 && p.hue == 0),
        "make_batch: saturation and hue need 3 channels, the images have ", g.c);
  g.rotation = p.rotation;
  g.brightness = p.brightness;
  g.contrast = p.contrast;
  g.saturation = p.saturation;
  g.hue = p.hue;
  g.noise = p.noise;
  g.whiten = p.whiten;
  return g;
}

/// Of a batch of n, as the pipeline makes it. Throws (usage) for a pipeline that does not fit.
Shape input_shape(const Dataset& dataset, const Pipeline& pipeline, std::int64_t n) {
  if (dataset.has_images()) {
    const kernels::AugmentGeometry g = geometry_of(dataset, pipeline);
    return {n, g.crop_h, g.crop_w, g.c};
  }
  check(pipeline == Pipeline{}, "make_batch: the pipeline is for images, ", dataset.name, " holds ",
        dataset.images.str());
  return dataset.images.shape().with(0, n);
}

}  // namespace

Batch empty_batch(const Dataset& dataset, const Pipeline& pipeline, std::int64_t size) {
  const Tensor &x = dataset.images, &y = dataset.labels;
  return {.x = Tensor::empty(input_shape(dataset, pipeline, size),
                             dataset.has_images() ? DType::float32 : x.dtype(), x.device()),
          .y = Tensor::empty(y.shape().with(0, size), y.dtype(), y.device()),
          .index = {}};
}

void fill_batch(const Dataset& dataset, const Tensor& order, const Tensor& position,
                const Pipeline& pipeline, std::uint64_t seed, const Tensor& x, const Tensor& y) {
  const Device device = dataset.images.device();
  const std::int64_t n = x.dim(0);
  const Shape inputs = input_shape(dataset, pipeline, n);
  check(x.shape() == inputs && y.shape() == dataset.labels.shape().with(0, n) &&
            position.shape() == Shape{2} && n <= order.numel(),
        "fill_batch: x ", x.str(), ", y ", y.str(), ", position ", position.str(), ", order ",
        order.str(), " for inputs ", inputs);
  for (const Tensor& tensor : {dataset.labels, order, position, x, y}) {
    check(tensor.device() == device && tensor.is_packed(), "fill_batch: ", tensor.str(), " on ",
          tensor.device().name(), ", images on ", device.name());
  }
  check(dataset.images.is_packed(), "fill_batch: the images of ", dataset.name, " are not packed");
  // Two int64 are a BatchPosition: first, epoch.
  const auto* const at =
      reinterpret_cast<const kernels::BatchPosition*>(position.data<std::int64_t>());
  const auto* const places = order.data<std::int64_t>();
  on(device, [&](auto& context) {
    const auto gather = [&]<class T>(const Tensor& from, const Tensor& into) {
      kernels::gather_items(context, at, n, n > 0 ? into.numel() / n : 0, places, from.data<T>(),
                            into.data<T>());
    };
    const auto gather_floating = [&](const Tensor& from, const Tensor& into) {
      if (from.dtype() == DType::float64)
        gather.template operator()<double>(from, into);
      else
        gather.template operator()<float>(from, into);
    };
    const auto run = [&](const auto* images) {
      kernels::augment(context, geometry_of(dataset, pipeline), seed, at, n, places, images,
                       x.data<float>());
    };
    if (!dataset.has_images())
      gather_floating(dataset.images, x);
    else if (dataset.images.dtype() == DType::uint8)
      run(dataset.images.data<std::uint8_t>());
    else
      run(dataset.images.data<float>());
    if (dataset.labels.dtype() == DType::int32)
      gather.template operator()<std::int32_t>(dataset.labels, y);
    else
      gather_floating(dataset.labels, y);
  });
}

Batch make_batch(const Dataset& dataset, std::span<const std::int64_t> indices,
                 const Pipeline& pipeline, std::uint64_t seed, std::int64_t epoch) {
  check_dataset("make_batch", dataset);
  check(!indices.empty(), "make_batch: no index given");
  for (const std::int64_t i : indices) {
    check(i >= 0 && i < dataset.size(), "make_batch: index ", i, " is outside ", dataset.name,
          " of ", dataset.size(), " images");
  }
  const auto n = std::int64_t(indices.size());
  const Device device = dataset.images.device();
  const std::array<std::int64_t, 2> position{0, checked_epoch("make_batch", epoch)};
  Dataset packed = dataset;
  packed.images = dataset.images.packed();
  packed.labels = dataset.labels.packed();

  Batch batch = empty_batch(packed, pipeline, n);
  batch.index = Tensor::from(indices, {n});
  fill_batch(packed, batch.index.to(device),
             Tensor::from(std::span<const std::int64_t>(position), {2}, device), pipeline, seed,
             batch.x, batch.y);
  return batch;
}

Batches::Batches(Dataset dataset, const BatchOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
  check_dataset("batches", dataset_);
  check(options.size >= 1, "batches: size is ", options.size, ", expected 1 or more");
  const std::uint32_t epoch = checked_epoch("batches", options.epoch);
  check(count() >= 1, "batches: ", dataset_.name, " has ", dataset_.size(),
        " images, and without the last, partial batch of ", options.size, " none is left");
  check(options.first >= 0 && options.first <= count(), "batches: first is ", options.first,
        ", the epoch has ", count(), " batches");
  check_labels("batches", dataset_);
  input_shape(dataset_, options.input, 1);  // a fault in the pipeline shows here, not in the loop
  if (options.shuffle) {
    order_ = random_permutation({options.seed, Stream::shuffle, epoch}, dataset_.size());
  } else {
    order_.resize(std::size_t(dataset_.size()));
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = std::int64_t(i);
  }
}

std::int64_t Batches::count() const {
  const std::int64_t full = dataset_.size() / options_.size;
  const bool partial = dataset_.size() % options_.size != 0 && !options_.drop_last;
  return full + (partial ? 1 : 0);
}

Batch Batches::at(std::int64_t i) const {
  check(i >= 0 && i < count(), "batches: batch ", i, " is outside the epoch's ", count());
  const std::int64_t begin = i * options_.size;
  const std::int64_t size = std::min(options_.size, dataset_.size() - begin);
  return make_batch(dataset_, std::span(order_).subspan(std::size_t(begin), std::size_t(size)),
                    options_.input, options_.seed, options_.epoch);
}

}  // namespace shatter::data
