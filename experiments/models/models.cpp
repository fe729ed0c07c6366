// The paper's models, layer by layer. Layers are named by their places in PyTorch's nn.Sequential,
// where each ReLU has one of its own.
#include <shatter/experiments/models/models.h>

#include <cmath>

namespace shatter::experiments {
namespace {

/// Convolution, batch norm (beta only) or bias, ReLU.
Sequential conv_module(bool batch_norm, std::int64_t in, std::int64_t out, std::int64_t kernel,
                       std::int64_t stride) {
  Sequential module;
  module.add("conv", Conv2d({.in = in,
                             .out = out,
                             .kernel = kernel,
                             .stride = stride,
                             .padding = same,
                             .bias = !batch_norm}));
  if (batch_norm) {
    module.add("bn", BatchNorm2d({.channels = out, .scale = false, .relu = true}));
  } else {
    module.add("relu", Relu());
  }
  return module;
}

Branches inception_module(bool batch_norm, std::int64_t in, std::int64_t ones,
                          std::int64_t threes) {
  return Branches(conv_module(batch_norm, in, ones, 1, 1),
                  conv_module(batch_norm, in, threes, 3, 1));
}

Branches downsample_module(bool batch_norm, std::int64_t in, std::int64_t threes) {
  return Branches(conv_module(batch_norm, in, threes, 3, 2),
                  MaxPool2d({.window = 3, .stride = 2, .padding = same}));
}

}  // namespace

Sequential small_inception(bool batch_norm, std::int64_t classes, ImageSize image) {
  const bool bn = batch_norm;
  return Sequential(conv_module(bn, image.c, 96, 3, 1), inception_module(bn, 96, 32, 32),
                    inception_module(bn, 64, 32, 48), downsample_module(bn, 80, 80),
                    inception_module(bn, 160, 112, 48), inception_module(bn, 160, 96, 64),
                    inception_module(bn, 160, 80, 80), inception_module(bn, 160, 48, 96),
                    downsample_module(bn, 144, 96), inception_module(bn, 240, 176, 160),
                    inception_module(bn, 336, 176, 160), GlobalAvgPool2d(),
                    Linear({.in = 336,
                            .out = classes,
                            .weight_init = init::truncated_normal(std::sqrt(1.0 / 336))}));
}

Sequential small_alexnet(std::int64_t classes, ImageSize image) {
  // initial values of TensorFlow's CIFAR-10 tutorial
  const auto conv = [](std::int64_t in, double bias) {
    return Conv2d({.in = in,
                   .out = 64,
                   .kernel = 5,
                   .padding = same,
                   .weight_init = init::truncated_normal(0.05),
                   .bias_init = init::constant(bias)});
  };
  const auto hidden = [](std::int64_t in, std::int64_t out) {
    return Linear({.in = in,
                   .out = out,
                   .relu = true,
                   .weight_init = init::truncated_normal(0.04),
                   .bias_init = init::constant(0.1)});
  };
  const MaxPool2d pool({.window = 3, .stride = 2, .padding = same});
  const std::int64_t h = (image.h + 3) / 4, w = (image.w + 3) / 4;
  Sequential model(conv(image.c, 0), Relu(), pool, LocalResponseNorm(), conv(64, 0.1), Relu(), pool,
                   LocalResponseNorm(), Flatten());
  return model.add("9", hidden(h * w * 64, 384))
      .add("11", hidden(384, 192))
      .add("13",
           Linear({.in = 192, .out = classes, .weight_init = init::truncated_normal(1.0 / 192)}));
}

Sequential lenet(std::int64_t classes, ImageSize image) {
  check(image.h >= 16 && image.w >= 16, "lenet: images of ", image.h, " x ", image.w,
        " pixels, at least 16 x 16 are needed");
  const MaxPool2d pool({.window = 2, .stride = 2});
  const std::int64_t h = ((image.h - 4) / 2 - 4) / 2, w = ((image.w - 4) / 2 - 4) / 2;
  Sequential model(Conv2d({.in = image.c, .out = 20, .kernel = 5}), pool,
                   Conv2d({.in = 20, .out = 50, .kernel = 5}), pool, Flatten());
  return model.add("5", Linear({.in = h * w * 50, .out = 500, .relu = true}))
      .add("7", Linear({.in = 500, .out = classes}));
}

namespace {

/// Of the i-th linear layer behind a Flatten, each with a ReLU between it and the next.
std::string layer_name(int i) {
  return std::to_string(2 * i + 1);
}

}  // namespace

Sequential mlp(int layers, std::int64_t units, std::int64_t classes, ImageSize image) {
  check(layers >= 1 && units >= 1, "mlp: ", layers, " hidden layers of ", units, " units");
  Sequential model{Flatten()};
  std::int64_t in = image.h * image.w * image.c;
  for (int i = 0; i < layers; ++i) {
    model.add(layer_name(i), Linear({.in = in, .out = units, .relu = true}));
    in = units;
  }
  return model.add(layer_name(layers), Linear({.in = in, .out = classes}));
}

namespace {

/// Convolution and batch norm, initialised as PyTorch does.
Module conv_norm(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                 bool relu) {
  BatchNorm2d::Options norm = BatchNorm2d::Options::pytorch(out);
  norm.relu = relu;
  return Sequential(Conv2d({.in = in,
                            .out = out,
                            .kernel = kernel,
                            .stride = stride,
                            .padding = kernel / 2,
                            .bias = false}),
                    BatchNorm2d(norm));
}

/// Two convolutions beside their input, which a 1 x 1 convolution fits to another shape.
Module residual_block(std::int64_t in, std::int64_t out, std::int64_t stride) {
  const Sequential body(conv_norm(in, out, 3, stride, true), conv_norm(out, out, 3, 1, false));
  if (stride == 1 && in == out) return Sequential(Residual(body), relu);
  return Sequential(Residual(body, conv_norm(in, out, 1, stride, false)), relu);
}

}  // namespace

Sequential resnet18(std::int64_t classes, std::int64_t channels) {
  Sequential model(conv_norm(channels, 64, 3, 1, true));
  std::int64_t in = 64;
  for (const std::int64_t out : {64, 128, 256, 512}) {
    model.add(residual_block(in, out, out == 64 ? 1 : 2)).add(residual_block(out, out, 1));
    in = out;
  }
  return model.add(GlobalAvgPool2d()).add(Linear(512, classes));
}

const std::vector<ModelRecipe>& recipes() {
  static const std::vector<ModelRecipe> all{{.name = "inception",
                                             .title = "Inception",
                                             .parameters = 1649402,
                                             .learning_rate = 0.1,
                                             .weight_decay = 4e-5},
                                            {.name = "inception-no-bn",
                                             .title = "Inception w/o BatchNorm",
                                             .parameters = 1649402,
                                             .learning_rate = 0.1,
                                             .weight_decay = 4e-5},
                                            {.name = "alexnet",
                                             .title = "AlexNet",
                                             .parameters = 1387786,
                                             .learning_rate = 0.01,
                                             .weight_decay = 0.004},
                                            {.name = "mlp-3x512",
                                             .title = "MLP 3x512",
                                             .parameters = 1735178,
                                             .learning_rate = 0.01,
                                             .weight_decay = 5e-4},
                                            {.name = "mlp-1x512",
                                             .title = "MLP 1x512",
                                             .parameters = 1209866,
                                             .learning_rate = 0.01,
                                             .weight_decay = 5e-4}};
  return all;
}

const ModelRecipe& recipe(const std::string& name) {
  static const ModelRecipe lenet_recipe{.name = "lenet",
                                        .title = "LeNet",
                                        .parameters = 431080,
                                        .learning_rate = 0.01,
                                        .weight_decay = 5e-4};
  if (name == lenet_recipe.name) return lenet_recipe;
  std::string names = lenet_recipe.name;
  for (const ModelRecipe& one : recipes()) {
    if (one.name == name) return one;
    names += ", " + one.name;
  }
  fail(ErrorKind::usage, "no model is named \"", name, "\"; there are ", names);
}

Sequential make_model(const std::string& name, std::int64_t classes, ImageSize image) {
  recipe(name);
  if (name == "inception") return small_inception(true, classes, image);
  if (name == "inception-no-bn") return small_inception(false, classes, image);
  if (name == "alexnet") return small_alexnet(classes, image);
  if (name == "lenet") return lenet(classes, image);
  return mlp(name == "mlp-3x512" ? 3 : 1, 512, classes, image);
}

std::vector<NamedTensor> decayed_parameters(const std::string& name, ModelRef model) {
  const bool hidden_only = recipe(name).name == "alexnet";
  std::vector<NamedTensor> decayed;
  for (const NamedTensor& named : named_parameters(model)) {
    const int rank = named.tensor.rank();
    if (rank == 2 || (rank > 2 && !hidden_only)) decayed.push_back(named);
  }
  if (hidden_only) decayed.pop_back();  // the output layer comes last
  return decayed;
}

}  // namespace shatter::experiments
