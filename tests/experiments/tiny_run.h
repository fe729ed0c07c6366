// A training run small enough for tests: an MLP of 16 units on a few drawn images.
#pragma once

#include <shatter/experiments/models/models.h>
#include <shatter/experiments/runs/data_source.h>
#include <shatter/experiments/runs/training_job.h>

/// Three epochs of three steps, the last batch of each smaller.
inline shatter::experiments::CellConfig tiny_config() {
  shatter::experiments::CellConfig config;
  config.model = "tiny";
  config.dataset = {.name = "synthetic", .checksums = {}, .train_size = 40, .test_size = 30};
  config.corruption = shatter::data::corruption::partial_labels(0.5);
  config.random_crop = true;
  config.weight_decay = 1e-3;
  config.epochs = 3;
  config.batch = 16;
  return config;
}

inline shatter::experiments::TrainingTask tiny_task(
    const shatter::experiments::CellConfig& config) {
  using namespace shatter;
  static const auto source = experiments::DataSource::synthetic(64, 30);
  experiments::TrainingTask task{
      .model = experiments::mlp(1, 16), .decayed = {}, .data = source.load(config), .metrics = {}};
  task.decayed = {named_parameters(task.model).front()};
  return task;
}
