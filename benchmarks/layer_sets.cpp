// The layer sets, written as their networks are.
#include "benchmarks/layer_sets.h"

#include <sstream>

#include <shatter/kernels/error.h>

namespace shatter::benchmarks {
namespace {

ConvLayer layer(const std::string& name, std::int64_t n, std::int64_t h, std::int64_t w,
                std::int64_t c, std::int64_t k, std::int64_t r, std::int64_t s, std::int64_t stride,
                const Padding& padding) {
  return {.name = name,
          .geometry = {.windows = {.n = n,
                                   .h = h,
                                   .w = w,
                                   .r = r,
                                   .s = s,
                                   .stride_h = stride,
                                   .stride_w = stride,
                                   .padding = padding},
                       .c = c,
                       .k = k}};
}

ConvLayer same(const std::string& name, std::int64_t n, std::int64_t size, std::int64_t c,
               std::int64_t k, std::int64_t r, std::int64_t s, std::int64_t stride = 1) {
  return layer(name, n, size, size, c, k, r, s, stride,
               same_padding(size, size, r, s, stride, stride));
}

std::vector<ConvLayer> inception_small(std::int64_t n) {
  std::vector<ConvLayer> layers{same("stem", n, 28, 3, 96, 3, 3)};
  layers[0].first = true;
  const auto module = [&](const std::string& name, std::int64_t size, std::int64_t c,
                          std::int64_t ones, std::int64_t threes) {
    layers.push_back(same(name + ".1x1", n, size, c, ones, 1, 1));
    layers.push_back(same(name + ".3x3", n, size, c, threes, 3, 3));
  };
  module("inc1", 28, 96, 32, 32);
  module("inc2", 28, 64, 32, 48);
  layers.push_back(same("down1", n, 28, 80, 80, 3, 3, 2));
  module("inc3", 14, 160, 112, 48);
  module("inc4", 14, 160, 96, 64);
  module("inc5", 14, 160, 80, 80);
  module("inc6", 14, 160, 48, 96);
  layers.push_back(same("down2", n, 14, 144, 96, 3, 3, 2));
  module("inc7", 7, 240, 176, 160);
  module("inc8", 7, 336, 176, 160);
  return layers;
}

std::vector<ConvLayer> alexnet_small(std::int64_t n) {
  std::vector<ConvLayer> layers{same("conv1", n, 28, 3, 64, 5, 5),
                                same("conv2", n, 14, 64, 64, 5, 5)};
  layers[0].first = true;
  return layers;
}

std::vector<ConvLayer> resnet18_cifar(std::int64_t n) {
  return {same("conv2_x", n, 32, 64, 64, 3, 3), same("conv3_x", n, 16, 128, 128, 3, 3),
          same("conv4_x", n, 8, 256, 256, 3, 3), same("conv5_x", n, 4, 512, 512, 3, 3)};
}

// Szegedy et al. 2016 for 299 x 299 pixels, without the auxiliary head: 94 convolutions.
class InceptionV3 {
 public:
  explicit InceptionV3(std::int64_t n) : n_(n) {
    add("1a", 299, 3, 32, 3, 3, 2, false);
    layers_[0].first = true;
    add("2a", 149, 32, 32, 3, 3, 1, false);
    add("2b", 147, 32, 64, 3, 3);
    add("3b", 73, 64, 80, 1, 1);
    add("4a", 73, 80, 192, 3, 3, 1, false);
    for (const std::int64_t c : {192, 256, 288}) {
      const std::string block = c == 192 ? "5b" : c == 256 ? "5c" : "5d";
      add(block + ".1x1", 35, c, 64, 1, 1);
      add(block + ".5x5_1", 35, c, 48, 1, 1);
      add(block + ".5x5_2", 35, 48, 64, 5, 5);
      add(block + ".3x3dbl_1", 35, c, 64, 1, 1);
      add(block + ".3x3dbl_2", 35, 64, 96, 3, 3);
      add(block + ".3x3dbl_3", 35, 96, 96, 3, 3);
      add(block + ".pool", 35, c, c == 192 ? 32 : 64, 1, 1);
    }
    add("6a.3x3", 35, 288, 384, 3, 3, 2, false);
    add("6a.3x3dbl_1", 35, 288, 64, 1, 1);
    add("6a.3x3dbl_2", 35, 64, 96, 3, 3);
    add("6a.3x3dbl_3", 35, 96, 96, 3, 3, 2, false);
    const std::int64_t widths[] = {128, 160, 160, 192};
    for (std::size_t i = 0; i < 4; ++i) {
      const std::string block = std::string("6") + "bcde"[i];
      const std::int64_t c7 = widths[i];
      add(block + ".1x1", 17, 768, 192, 1, 1);
      add(block + ".7x7_1", 17, 768, c7, 1, 1);
      add(block + ".7x7_2", 17, c7, c7, 1, 7);
      add(block + ".7x7_3", 17, c7, 192, 7, 1);
      add(block + ".7x7dbl_1", 17, 768, c7, 1, 1);
      add(block + ".7x7dbl_2", 17, c7, c7, 7, 1);
      add(block + ".7x7dbl_3", 17, c7, c7, 1, 7);
      add(block + ".7x7dbl_4", 17, c7, c7, 7, 1);
      add(block + ".7x7dbl_5", 17, c7, 192, 1, 7);
      add(block + ".pool", 17, 768, 192, 1, 1);
    }
    add("7a.3x3_1", 17, 768, 192, 1, 1);
    add("7a.3x3_2", 17, 192, 320, 3, 3, 2, false);
    add("7a.7x7x3_1", 17, 768, 192, 1, 1);
    add("7a.7x7x3_2", 17, 192, 192, 1, 7);
    add("7a.7x7x3_3", 17, 192, 192, 7, 1);
    add("7a.7x7x3_4", 17, 192, 192, 3, 3, 2, false);
    for (const std::int64_t c : {1280, 2048}) {
      const std::string block = c == 1280 ? "7b" : "7c";
      add(block + ".1x1", 8, c, 320, 1, 1);
      add(block + ".3x3_1", 8, c, 384, 1, 1);
      add(block + ".3x3_2a", 8, 384, 384, 1, 3);
      add(block + ".3x3_2b", 8, 384, 384, 3, 1);
      add(block + ".3x3dbl_1", 8, c, 448, 1, 1);
      add(block + ".3x3dbl_2", 8, 448, 384, 3, 3);
      add(block + ".3x3dbl_3a", 8, 384, 384, 1, 3);
      add(block + ".3x3dbl_3b", 8, 384, 384, 3, 1);
      add(block + ".pool", 8, c, 192, 1, 1);
    }
  }
  std::vector<ConvLayer> layers() && { return std::move(layers_); }

 private:
  // Equal shapes are one layer that counts several times.
  void add(const std::string& name, std::int64_t size, std::int64_t c, std::int64_t k,
           std::int64_t r, std::int64_t s, std::int64_t stride = 1, bool padded = true) {
    ConvLayer one = layer(name, n_, size, size, c, k, r, s, stride,
                          padded ? same_padding(size, size, r, s, stride, stride) : Padding{});
    for (ConvLayer& known : layers_)
      if (known.geometry == one.geometry) {
        ++known.count;
        return;
      }
    layers_.push_back(std::move(one));
  }

  std::int64_t n_;
  std::vector<ConvLayer> layers_;
};

// What blocks of 8 channels, even sizes and square windows hide.
std::vector<ConvLayer> edge(std::int64_t n) {
  return {same("c1", n, 28, 1, 16, 3, 3),
          same("c3", n, 28, 3, 64, 7, 7, 2),
          same("odd_k", n, 14, 32, 33, 3, 3),
          same("odd_c_k", n, 14, 17, 19, 3, 3),
          same("odd_size_stride2", n, 15, 64, 64, 3, 3, 2),
          same("1x7", n, 17, 64, 64, 1, 7),
          same("7x1", n, 17, 64, 64, 7, 1),
          layer("valid_5x5", n, 12, 9, 24, 40, 5, 5, 1, {}),
          layer("uneven_padding", n, 10, 11, 16, 24, 3, 3, 1, {2, 0, 0, 1}),
          same("n1", 1, 14, 160, 96, 3, 3)};
}

struct Set {
  const char* name;
  std::vector<ConvLayer> (*layers)(std::int64_t batch);
};
const Set sets[] = {{"inception-small", inception_small},
                    {"alexnet-small", alexnet_small},
                    {"inception-v3", [](std::int64_t n) { return InceptionV3(n).layers(); }},
                    {"resnet18-cifar", resnet18_cifar},
                    {"edge", edge}};

}  // namespace

std::vector<std::string> layer_set_names() {
  std::vector<std::string> names;
  for (const Set& set : sets) names.push_back(set.name);
  return names;
}

std::vector<ConvLayer> layer_set(const std::string& name, std::int64_t batch) {
  std::string names;
  for (const Set& set : sets) {
    if (name == set.name) return set.layers(batch);
    names += (names.empty() ? "" : ", ") + std::string(set.name);
  }
  fail(ErrorKind::usage, "no layer set is named \"", name, "\"; there are ", names);
}

ConvLayer parse_shape(const std::string& shape) {
  const auto wrong = [&](const auto&... why) {
    fail(ErrorKind::usage, "--shape ", shape, ": ", why...,
         "; expected n,h,w,c,k,r,s,stride,pad with pad in pixels or \"same\", for example "
         "128,28,28,96,32,3,3,1,same");
  };
  std::vector<std::string> words;
  std::istringstream in(shape);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  if (words.size() != 9) wrong(words.size(), " values");
  std::vector<std::int64_t> values;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == 8 && words[i] == "same") continue;
    std::size_t used = 0;
    std::int64_t value = -1;
    try {
      value = std::stoll(words[i], &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used == 0 || used != words[i].size() || value < (i < 8 ? 1 : 0))
      wrong("\"", words[i], "\" is no such number");
    values.push_back(value);
  }
  const std::int64_t n = values[0], h = values[1], w = values[2], c = values[3], k = values[4];
  const std::int64_t r = values[5], s = values[6], stride = values[7];
  const Padding padding = values.size() == 9 ? Padding{values[8], values[8], values[8], values[8]}
                                             : same_padding(h, w, r, s, stride, stride);
  ConvLayer result = layer(shape, n, h, w, c, k, r, s, stride, padding);
  const Windows& win = result.geometry.windows;
  if (h + padding.top + padding.bottom < r || w + padding.left + padding.right < s ||
      win.out_h() < 1 || win.out_w() < 1)
    wrong("the window is larger than the padded image");
  return result;
}

}  // namespace shatter::benchmarks
