// Batches: shuffled, augmented and whitened on the device the data set lives on. Arrays that are no
// images have no pipeline: any of its options but the default is an error for them.
#pragma once

#include <iterator>

#include <shatter/data/dataset.h>

namespace shatter::data {

/// What happens to an image between the data set and the network, in this order; the meaning of
/// each member is AugmentGeometry's (kernels/augment.h).
struct Pipeline {
  std::int64_t crop = 0;     ///< centre crop to crop x crop pixels; 0: the stored size
  std::int64_t padding = 0;  ///< zeros around the image before the crop: {.crop = 32, .padding = 4,
                             ///< .random_crop = true} is CIFAR-10's usual one
  bool random_crop = false;  ///< the crop's place is drawn per image and epoch
  bool flip = false;
  double rotation = 0;  ///< degrees
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  double noise = 0;
  bool whiten = false;

  friend bool operator==(const Pipeline&, const Pipeline&) = default;
  /// The same without anything random, for evaluation: the centre crop of the padded image.
  Pipeline deterministic() const { return {.crop = crop, .padding = padding, .whiten = whiten}; }
};

struct Batch {
  Tensor x;      ///< float32 [size, h, w, c]; of arrays that are no images their type and shape
  Tensor y;      ///< int32 [size], or the data set's targets
  Tensor index;  ///< int64 [size], places in the data set, on the CPU
};

/// A batch of `size` images as the pipeline makes them, its elements undefined and without index,
/// on the data set's device.
Batch empty_batch(const Dataset& dataset, const Pipeline& pipeline, std::int64_t size);

/// The images at `indices` through the pipeline; draws depend on (seed, epoch, index) only.
Batch make_batch(const Dataset& dataset, std::span<const std::int64_t> indices,
                 const Pipeline& pipeline, std::uint64_t seed, std::int64_t epoch);

/// The same into x and y, from places of the data set that lie on its device: image i of the batch
/// is order[first + i], position (int64 [2]) holds first and epoch. Reads nothing on the host, so
/// that a captured step can contain it. All tensors packed and on the data set's device.
void fill_batch(const Dataset& dataset, const Tensor& order, const Tensor& position,
                const Pipeline& pipeline, std::uint64_t seed, const Tensor& x, const Tensor& y);

struct BatchOptions {
  std::int64_t size = 128;
  std::int64_t epoch = 0;
  std::uint64_t seed = 0;
  bool shuffle = true;  ///< the epoch's permutation is a function of (seed, epoch)
  bool drop_last = false;
  std::int64_t first = 0;  ///< batches to skip: for resuming inside an epoch
  Pipeline input = {};
};

/// A range over the batches of one epoch: for (auto [x, y, index] : batches(train, {...})).
class Batches {
 public:
  Batches(Dataset dataset, const BatchOptions& options);

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    Batch operator*() const { return owner_->at(position_); }
    Iterator& operator++() {
      ++position_;
      return *this;
    }
    void operator++(int) { ++position_; }
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.position_ == b.position_;
    }

   private:
    friend class Batches;
    Iterator(const Batches* owner, std::int64_t position) : owner_(owner), position_(position) {}
    const Batches* owner_;
    std::int64_t position_;
  };
  Iterator begin() const { return {this, options_.first}; }
  Iterator end() const { return {this, count()}; }
  /// Batches in the epoch.
  std::int64_t count() const;
  Batch at(std::int64_t i) const;

 private:
  Dataset dataset_;
  BatchOptions options_;
  std::vector<std::int64_t> order_;
};

inline Batches batches(const Dataset& dataset, const BatchOptions& options) {
  return Batches(dataset, options);
}

}  // namespace shatter::data
