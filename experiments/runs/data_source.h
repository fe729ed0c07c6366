// The images of a program: read once, handed to each cell with its size and corruption.
#pragma once

#include <filesystem>
#include <string>

#include <shatter/data/randomize.h>
#include <shatter/experiments/train/cell.h>

namespace shatter::experiments {

class DataSource {
 public:
  /// Images at hand, under their own name.
  explicit DataSource(data::TrainTest images) : name_(images.train.name), raw_(std::move(images)) {}
  /// One of data::load's data sets from `folder`; throws as it does.
  static DataSource open(const std::string& name, const std::filesystem::path& folder);
  /// Drawn images; the first n are the same whatever the size.
  static DataSource synthetic(std::int64_t train_size, std::int64_t test_size);

  /// The first images of both splits, and those held out. Throws (usage) when there are fewer.
  DataConfig describe(const DataConfig& sizes) const;
  /// The first images of both splits, as they are.
  data::TrainTest first(std::int64_t train_size, std::int64_t test_size) const;
  /// The images a cell trains on, its corruption applied; on a CUDA device it is applied there.
  data::TrainTest load(const CellConfig& config, Device device = {}) const;
  /// The training images that follow those; empty without any.
  data::Dataset held_out(const CellConfig& config) const;

  /// All images, as they were read.
  const data::TrainTest& raw() const { return raw_; }
  const std::string& name() const { return name_; }
  const std::string& provenance() const { return raw_.train.provenance; }

 private:
  DataSource(std::string name, data::TrainTest raw)
      : name_(std::move(name)), raw_(std::move(raw)) {}

  std::string name_;
  data::TrainTest raw_;
};

}  // namespace shatter::experiments
