// Inputs brought to a common scale. Whitening of single images is Pipeline::whiten (batches.h).
#pragma once

#include <shatter/data/randomize.h>

namespace shatter::data {

/// Both splits with every feature, which is an element of an input, centred at its mean over the
/// training set and divided by its deviation there (n in the denominator); a feature that never
/// varies is only centred. Inputs become float32, float64 stay so; uint8 images count as [0, 1].
/// Images stay images. Throws (usage) for an empty training set or inputs of another shape.
TrainTest standardize_features(const TrainTest& data);

}  // namespace shatter::data
