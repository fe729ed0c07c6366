// Reading, cutting and corrupting the data sets of a sweep.
#include <shatter/experiments/runs/data_source.h>

#include <algorithm>
#include <numeric>

namespace shatter::experiments {
DataSource DataSource::open(const std::string& name, const std::filesystem::path& folder) {
  return {
      name,
      {data::load(name, folder, data::Split::train), data::load(name, folder, data::Split::test)}};
}

DataSource DataSource::synthetic(std::int64_t train_size, std::int64_t test_size) {
  return {"synthetic",
          {data::synthetic(data::Split::train, {.size = train_size}),
           data::synthetic(data::Split::test, {.size = test_size})}};
}

DataConfig DataSource::describe(const DataConfig& sizes) const {
  const auto fits = [&](std::int64_t size, const data::Dataset& dataset, const char* option) {
    check(size > 0 && size <= dataset.size(), option, " ", size, ": ", name_, " has ",
          dataset.size(), " such images");
  };
  fits(sizes.train_size + sizes.held_out, raw_.train, "--train-size");
  fits(sizes.test_size, raw_.test, "--test-size");
  DataConfig config = sizes;
  config.name = name_;
  config.checksums = raw_.train.checksums;
  config.checksums.insert(raw_.test.checksums.begin(), raw_.test.checksums.end());
  return config;
}

data::TrainTest DataSource::first(std::int64_t train_size, std::int64_t test_size) const {
  return {data::first(raw_.train, train_size), data::first(raw_.test, test_size)};
}

data::TrainTest DataSource::load(const CellConfig& config, Device device) const {
  data::TrainTest cut = first(config.dataset.train_size, config.dataset.test_size);
  cut = {cut.train.to(device), cut.test.to(device)};
  if (!config.corruption.changes_anything()) return cut;
  return data::corrupt(cut, config.corruption,
                       {.seed = seeds_of(config).corrupt,
                        .crop = config.corruption.changes_inputs ? config.crop : 0});
}

data::Dataset DataSource::held_out(const CellConfig& config) const {
  const auto [name, checksums, train_size, test_size, size] = config.dataset;
  if (size == 0) return {};
  check(!config.corruption.changes_anything(), "held-out images are for true labels, not for ",
        config.corruption.name);
  std::vector<std::int64_t> places(static_cast<std::size_t>(size));
  std::iota(places.begin(), places.end(), train_size);
  return data::subset(raw_.train, places);
}

}  // namespace shatter::experiments
