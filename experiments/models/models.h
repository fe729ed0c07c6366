// The models of Zhang et al. (ICLR 2017), appendix A and figure 3, for 28 x 28 x 3 images.
#pragma once

#include <string>
#include <vector>

#include <shatter/layers/layers.h>

namespace shatter::experiments {

struct ImageSize {
  std::int64_t h = 28, w = 28, c = 3;
};

/// Figure 3: 1,649,402 parameters at 10 classes, with batch norm (beta only) or with biases.
Sequential small_inception(bool batch_norm, std::int64_t classes = 10, ImageSize image = {});
/// conv 5x5x64, ReLU, max-pool 3x3/2, LRN, twice; 384; 192: 1,387,786 parameters.
Sequential small_alexnet(std::int64_t classes = 10, ImageSize image = {});
/// `layers` hidden layers of `units`, ReLU: 1,209,866 (1 x 512) and 1,735,178 (3 x 512).
Sequential mlp(int layers, std::int64_t units, std::int64_t classes = 10, ImageSize image = {});

/// LeNet for MNIST as Caffe has it: convolutions 5x5x20 and 5x5x50 without padding, each with
/// max-pool 2x2, then 500 units: 431,080 parameters at 10 classes and 28 x 28 x 1.
Sequential lenet(std::int64_t classes = 10, ImageSize image = {28, 28, 1});

/// ResNet-18 for 32 x 32 images (He et al., arXiv:1512.03385, with a 3 x 3 stem and no pooling
/// behind it): 11,173,962 parameters at 10 classes. Not the paper's, and no recipe's.
Sequential resnet18(std::int64_t classes = 10, std::int64_t channels = 3);

/// A model with the training settings the paper gives it.
struct ModelRecipe {
  std::string name;   ///< "inception", "inception-no-bn", "alexnet", "mlp-3x512", "mlp-1x512"
  std::string title;  ///< as printed in the paper's table
  std::int64_t parameters = 0;  ///< at 10 classes and 28 x 28 x 3 (LeNet: x 1)
  double learning_rate = 0;
  double learning_rate_decay = 0.95;  ///< per epoch
  double weight_decay = 0;            ///< of rows that use it
};

/// The paper's five.
const std::vector<ModelRecipe>& recipes();
/// One of those, or "lenet". Throws (usage) for another name, listing them.
const ModelRecipe& recipe(const std::string& name);
Sequential make_model(const std::string& name, std::int64_t classes = 10, ImageSize image = {});
/// The groups the recipe's weight decay applies to: all weights, but for AlexNet the two hidden
/// fully connected layers only.
std::vector<NamedTensor> decayed_parameters(const std::string& name, ModelRef model);

}  // namespace shatter::experiments
