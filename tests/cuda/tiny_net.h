// A training run on CUDA small enough for tests: a network of every kind of layer.
#pragma once

#include <string>

#include "tests/experiments/tiny_run.h"

namespace shatter::test {

using experiments::CellConfig;
using experiments::TrainingTask;

/// One of everything the paper's models are made of, on 8 x 8 pixels.
inline Sequential tiny_net() {
  Branches both(
      Sequential(Conv2d({.in = 8, .out = 8, .kernel = 1, .bias = false}),
                 BatchNorm2d({.channels = 8, .scale = false, .relu = true})),
      Sequential(Conv2d({.in = 8, .out = 16, .kernel = 3, .padding = same, .bias = false}),
                 BatchNorm2d({.channels = 16, .scale = false, .relu = true})));
  return Sequential(Conv2d({.in = 3, .out = 8, .kernel = 3, .padding = same}), Relu(), both,
                    MaxPool2d({.window = 3, .stride = 2}), LocalResponseNorm(), Dropout(0.25),
                    GlobalAvgPool2d(), Linear({.in = 24, .out = 10}));
}

inline CellConfig config_of(const std::string& precision) {
  CellConfig config = tiny_config();
  config.crop = 8;
  config.precision = precision;
  config.device = "cuda";
  config.learning_rate = 0.05;
  return config;
}

inline TrainingTask task_of(const CellConfig& config) {
  TrainingTask task = tiny_task(config);
  task.model = tiny_net();
  task.decayed = {};
  return task;
}

}  // namespace shatter::test
