// Corruptions as values: what the randomization test (Zhang et al., ICLR 2017, section 2.1) asks a
// model to fit. One of your own is a name, the numbers it depends on, and a function.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <shatter/data/randomize.h>

namespace shatter::data {

/// Takes something out of a data set, once and for the whole run.
struct Corruption {
  /// Names it in folders, tables and stored configurations, together with the parameters: two that
  /// differ must differ in one of these.
  std::string name = "true-labels";
  std::map<std::string, std::vector<double>> parameters = {};
  bool changes_inputs = false;  ///< images are cropped before it, not after
  /// Both splits, corrupted; empty: as they are. A function of the data and the seed alone. It must
  /// keep sizes, and set true_labels where it changes labels.
  std::function<TrainTest(const TrainTest& data, std::uint64_t seed)> apply = {};

  /// The only number of a parameter; 1 without it.
  double parameter(const std::string& name) const;
  bool changes_anything() const { return name != Corruption{}.name; }
  /// "random-labels", "p=0.2" of the paper's partly corrupted labels, "wrong-labels-p=0.4".
  std::string label() const;
  /// By name and parameters.
  friend bool operator==(const Corruption& a, const Corruption& b) {
    return a.name == b.name && a.parameters == b.parameters;
  }
};

/// The ready ones. Draws are functions of (seed, image); inputs of both splits change, of labels
/// those of the training set alone.
namespace corruption {

// The paper's six settings.
Corruption none();
/// Each label, with probability p in [0, 1], is drawn anew from all classes.
Corruption partial_labels(double p);
Corruption random_labels();
/// One permutation of the pixels of all images.
Corruption shuffled_pixels();
/// One permutation for each image.
Corruption random_pixels();
/// Normal pixels with the training set's mean and deviation of each channel.
Corruption gaussian();

/// The training labels in another order: every class keeps its exact count.
Corruption permuted_labels();
/// Each label, with probability p, becomes one of the other classes, all equally likely.
Corruption wrong_labels(double p = 1);
/// A label of class i becomes j with probability transitions[i][j]. Throws (usage) unless the rows
/// are as long as there are rows and sum to 1.
Corruption label_transitions(const std::vector<std::vector<double>>& transitions);
/// Each label, with probability p, becomes the next class, the last the first.
Corruption pair_flips(double p);
/// As shuffled_pixels and random_pixels, but every value moves by itself, channels too.
Corruption shuffled_values();
Corruption random_values();
/// A share of the images, each with this probability, is replaced by normal pixels; the others
/// become float32 in [0, 1].
Corruption replaced_images(double share);

/// The ready one of that name with these parameters. Another name gives a value without a function:
/// it can be named and compared, not applied. Throws (usage) for parameters a ready one lacks.
Corruption named(const std::string& name,
                 const std::map<std::string, std::vector<double>>& parameters = {});

}  // namespace corruption

struct CorruptionOptions {
  std::uint64_t seed = 0;
  std::int64_t crop = 0;             ///< images are first cropped to this; 0: not
  bool corrupt_test_labels = false;  ///< with draws of their own
};
/// Throws (usage) for a corruption without a function.
TrainTest corrupt(const TrainTest& data, const Corruption& corruption,
                  const CorruptionOptions& options = {});

}  // namespace shatter::data
