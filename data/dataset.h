// Data sets in memory: images NHWC [n, h, w, c] or other arrays [n, ...], a label or target each.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter::data {

enum class Split { train, test };

/// A data set is a value: functions that change one return another, sharing what they did not
/// change.
struct Dataset {
  std::string name;  ///< "cifar10/train", with what was done to it: "; random labels p=1 seed=7"
  /// Inputs: images uint8 in 0..255 or float32 in [0, 1], [n, h, w, c]; or any float32 or float64
  /// [n, ...].
  Tensor images;
  Tensor labels;             ///< int32 [n], in [0, classes); or float32 or float64 targets [n, ...]
  std::int64_t classes = 0;  ///< 0 where the labels are no classes
  /// MD5 of each file it was read from, by file name; empty for synthetic data.
  std::map<std::string, std::string> checksums;
  /// The contents of provenance.txt beside the files, if there is one.
  std::string provenance;
  /// Labels before randomisation; undefined if they were never changed.
  Tensor true_labels;

  /// A user's own arrays: x float32 or float64 [n, ...], or uint8 [n, h, w, c]; y int32 or int64
  /// [n] with labels in [0, classes), or float32 or float64 targets [n, ...] and no classes.
  /// Integer labels without `classes` have as many as the largest needs. Throws (usage) for
  /// anything else.
  static Dataset from(const Tensor& x, const Tensor& y, std::int64_t classes = 0,
                      const std::string& name = "arrays");

  std::int64_t size() const { return images.defined() ? images.dim(0) : 0; }
  /// Whether crops, flips and other things done to images have a meaning: [n, h, w, c], uint8 or
  /// float32.
  bool has_images() const;
  bool has_classes() const { return classes > 0 && labels.dtype() == DType::int32; }
  Dataset to(Device device) const;
};

/// Throws (usage), naming op, unless inputs and labels are there, of the types and sizes above.
void check_dataset(const char* op, const Dataset& dataset);
/// Throws (usage), naming op, unless the inputs are images.
void check_images(const char* op, const Dataset& dataset);

/// Throws (usage), naming op, the image and its label, unless all labels lie in [0, classes).
/// Targets that are no classes are left alone.
void check_labels(const char* op, const Dataset& dataset);

/// The images at the given places, in that order.
Dataset subset(const Dataset& dataset, const std::vector<std::int64_t>& indices);
/// The first n images; throws (usage) when there are fewer.
Dataset first(const Dataset& dataset, std::int64_t n);

/// `folder` is the data folder; the files lie in its subfolder cifar-10-batches-bin (or in `folder`
/// itself). Throws (data) naming the file and what is wrong: missing (with the download command), a
/// wrong size (truncated at record k), a label out of range.
Dataset cifar10(const std::filesystem::path& folder, Split split);
/// cifar-100-binary, with the 100 fine labels.
Dataset cifar100(const std::filesystem::path& folder, Split split);
/// The MNIST family in idx files, plain or gzipped: subfolder "mnist", "fashion-mnist", "kmnist".
Dataset mnist(const std::filesystem::path& folder, Split split,
              const std::string& subfolder = "mnist");

struct SyntheticOptions {
  std::int64_t size = 10000;
  std::uint64_t seed = 1;
};
/// Procedurally drawn 32 x 32 x 3 images of 10 classes (shape, texture and place vary, colour is
/// shared by the classes): a small convolutional network learns it to well above 80 % test
/// accuracy, an MLP to clearly less. train and test never share an image.
Dataset synthetic(Split split, const SyntheticOptions& options = {});

/// One of known_datasets() (data/known_datasets.h), or "synthetic".
Dataset load(const std::string& name, const std::filesystem::path& folder, Split split);

/// The data folder: `given` unless empty, else $SHATTER_DATA, else "datasets".
std::filesystem::path data_folder(const std::filesystem::path& given = {});

}  // namespace shatter::data
