// The paper's randomization test as a call: one model trained on true, partially corrupted and
// random labels, and on shuffled, random and Gaussian pixels (Zhang et al., ICLR 2017,
// section 2.1).
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <shatter/experiments/report/training.h>
#include <shatter/experiments/runs/progress.h>

namespace shatter::experiments {

/// A cell's defaults, with the images as they are: crop 0, no whitening.
CellConfig as_stored();

struct RandomizationOptions {
  std::string name = "model";  ///< of the model, in folders and tables
  /// Shares of corrupted labels between 0 (true labels) and 1 (random labels), which always run.
  std::vector<double> levels = {0.2, 0.4, 0.6, 0.8};
  /// Also shuffled pixels, random pixels, Gaussian. Refused for images of one pixel.
  bool pixels = true;
  /// Further settings, ready ones (data/corruption.h) or of your own.
  std::vector<data::Corruption> corruptions = {};
  /// Everything but model, data, corruption and seeds is used; weight decay falls on parameters of
  /// two and more dimensions. Unlike the paper's cells it neither crops nor whitens by itself.
  CellConfig training = as_stored();
  int seeds = 1;
  std::uint64_t first_seed = 1;
  double fitted = 0.99;  ///< training accuracy whose first step is the time to fit
  /// runs/ lie here, and an interrupted test goes on from them; empty: nothing is stored. Runs of
  /// models that differ in layers or parameters are told apart, those that differ in what a plain
  /// function computes only by `name`.
  std::filesystem::path out = {};
  Device device{};
  Progress* progress = nullptr;
};

/// One setting over all seeds.
struct RandomizationSetting {
  data::Corruption corruption = {};
  std::vector<Result> runs;  ///< finished, one for each seed
  int diverged = 0;          ///< runs that did; they are in none of the samples
  Sample train, test;        ///< accuracy in percent
  Sample time_to_fit;        ///< steps; over the runs that fitted
  Sample relative_time;      ///< to the true labels, seed by seed
};

struct RandomizationResult {
  std::vector<RandomizationSetting> settings;  ///< true labels first
  Table table;                                 ///< what it prints: render(table, format)
};

/// `model` makes a new model, its values drawn later. Throws what a run throws; a test with `out`
/// that was interrupted throws too, and goes on when called again.
RandomizationResult randomization_test(const std::function<Module()>& model,
                                       const data::TrainTest& data,
                                       const RandomizationOptions& options);

/// The settings of a test: true labels, the levels, random labels, and the three of pixels if asked
/// for.
std::vector<data::Corruption> randomization_settings(const std::vector<double>& levels,
                                                     bool pixels);
/// Rows and readings of such a test, for a program: names begin with `prefix` ("mnist/lenet"). The
/// first setting is what times are relative to.
std::vector<TrainingRow> randomization_rows(const std::string& prefix, const std::string& title,
                                            const CellConfig& training,
                                            const std::vector<data::Corruption>& settings);
std::vector<Reading> randomization_readings(const std::vector<TrainingRow>& rows, double fitted);

}  // namespace shatter::experiments
