// A model drawn from the model itself: what follows what, what stands side by side, and the shapes
// between.
#pragma once

#include <string>

#include <shatter/layers/module.h>

namespace shatter::experiments {

/// An SVG image. A box for each layer with its output's shape and its parameters; layers in
/// parallel stand side by side and are joined below. Parts that repeat a pattern of the paper are
/// framed with their place in the model.
std::string draw_model(const Summary& summary, const std::string& title);

}  // namespace shatter::experiments
