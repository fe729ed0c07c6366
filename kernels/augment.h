// From stored images to network input: gather, crop, flip, rotate, recolour, whiten. Images NHWC.
#pragma once

#include <shatter/kernels/context.h>
#include <shatter/kernels/philox.h>

namespace shatter::kernels {

/// What happens to an image between the data set and the network: rotation, crop and flip, then in
/// the order of the members brightness to whitening. Colours are TensorFlow's: saturation and hue
/// act in HSV, saturation clipped to [0, 1]. Values are not clipped to [0, 1].
///
/// Every random draw is a function of (seed, stream, epoch, index of the image in the data set),
/// words w of random_words({seed, stream, epoch}, index):
///   crop: row below(h + 2 padding - crop_h + 1, w0, w1) - padding,
///         column below(w + 2 padding - crop_w + 1, w2, w3) - padding;
///   flip: when uniform_float(w0) < 1/2;
///   rotate: uniform_double(w0, w1), in [0, 1) standing for [-rotation, rotation);
///   color: uniform_float of w0 brightness, w1 contrast, w2 saturation, w3 hue, likewise;
///   noise: output value i is part i % 2 of normal_pair(random_words(.., index, block i / 2)).
struct AugmentGeometry {
  std::int64_t h = 0, w = 0, c = 0;     ///< stored images
  std::int64_t crop_h = 0, crop_w = 0;  ///< output size, at most that of the padded image
  std::int64_t padding = 0;             ///< pixels of zeros put around the image before the crop
  std::int64_t y_pitch = 0;             ///< output pitch, 0: packed; channels c.. are zeroed
  double scale = 1.0;                   ///< stored value to [0, 1]: 1/255 for uint8
  bool random_crop = false;             ///< offset uniform over all that fit the padded image
  bool flip = false;                    ///< left-right with probability 1/2
  double rotation = 0;                  ///< angle in +-rotation degrees, counter-clockwise
                                        ///< about the centre, bilinear, 0 from outside
  double brightness = 0;                ///< adds uniform in +-brightness
  double contrast = 0;                  ///< x = (x - mean_c) f + mean_c, f in 1 +- contrast
  double saturation = 0;                ///< chroma times a factor in 1 +- saturation; c == 3
  double hue = 0;                       ///< hue turned by up to +-hue of a full circle; c == 3
  double noise = 0;                     ///< adds normal noise of this standard deviation
  bool whiten = false;                  ///< per image: (x - mean) / max(std, 1/sqrt(h*w*c))
};

/// Where a batch stands in training, in the context's memory, so that a captured step finds its
/// own.
struct BatchPosition {
  std::int64_t first = 0;  ///< the batch's first place in the epoch's order
  std::int64_t epoch = 0;  ///< its low 32 bits count
};

/// y [batch, crop_h, crop_w, c] float from images x [*, h, w, c] at index[position->first + i],
/// i < batch. A centre crop of the padded image begins at row (h + 2 padding -
/// crop_h) / 2 - padding, columns likewise. Whitening
/// is TensorFlow's per_image_standardization over all values of the cropped image; for uint8 images
/// that are only cropped (without padding) and flipped its sums are exact integers. Source: uint8_t
/// or float.
template <class Source>
void augment(CpuContext& context, const AugmentGeometry& g, std::uint64_t seed,
             const BatchPosition* position, std::int64_t batch, const std::int64_t* index,
             const Source* x, float* y);
template <class Source>
void augment(CudaContext& context, const AugmentGeometry& g, std::uint64_t seed,
             const BatchPosition* position, std::int64_t batch, const std::int64_t* index,
             const Source* x, float* y);

/// y[i, j] = x[index[position->first + i], j], i < batch, j < width. T: std::int32_t, float,
/// double.
template <class T>
void gather_items(CpuContext& context, const BatchPosition* position, std::int64_t batch,
                  std::int64_t width, const std::int64_t* index, const T* x, T* y);
template <class T>
void gather_items(CudaContext& context, const BatchPosition* position, std::int64_t batch,
                  std::int64_t width, const std::int64_t* index, const T* x, T* y);

}  // namespace shatter::kernels
