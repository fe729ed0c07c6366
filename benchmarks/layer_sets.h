// Named sets of convolution layers to measure.
#pragma once

#include <string>
#include <vector>

#include <shatter/kernels/geometry.h>

namespace shatter::benchmarks {

struct ConvLayer {
  std::string name;
  Conv2dGeometry geometry{};
  bool first = false;  ///< its input is the image, whose gradient nobody asks for
  int count = 1;       ///< layers of this very shape in the network
};

std::vector<std::string> layer_set_names();

/// The layers of a set with `batch` images. Throws Error (usage) for another name, listing these.
std::vector<ConvLayer> layer_set(const std::string& name, std::int64_t batch);

/// "n,h,w,c,k,r,s,stride,pad" with pad in pixels on every side, or "same". Throws Error (usage).
ConvLayer parse_shape(const std::string& shape);

}  // namespace shatter::benchmarks
