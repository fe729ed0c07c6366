// Configurations of training runs: JSON, names and hashes.
#include <shatter/experiments/train/cell.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include <shatter/core/random.h>

namespace shatter::experiments {

using nlohmann::json;

const std::vector<std::string>& optimizers() {
  static const std::vector<std::string> names{"sgd", "rmsprop", "adam", "adamw"};
  return names;
}

const std::vector<std::string>& schedules() {
  static const std::vector<std::string> names{"exponential", "step", "cosine"};
  return names;
}

bool has_momentum(const std::string& optimizer) {
  return optimizer == "sgd" || optimizer == "rmsprop";
}

json to_json(const CellConfig& config) {
  json corruption = {{"kind", config.corruption.name}};
  if (config.corruption.changes_anything()) corruption["seed"] = config.corruption_seed;
  for (const auto& [name, numbers] : config.corruption.parameters)
    corruption[name] = numbers.size() == 1 ? json(numbers.front()) : json(numbers);
  json object = {
      {"model", config.model},
      {"data",
       {{"name", config.dataset.name},
        {"checksums", config.dataset.checksums},
        {"train_size", config.dataset.train_size},
        {"test_size", config.dataset.test_size},
        {"corruption", corruption},
        {"crop", config.crop},
        {"random_crop", config.random_crop}}},
      {"optimizer",
       {{"name", config.optimizer},
        {"learning_rate", config.learning_rate},
        {"learning_rate_decay", config.learning_rate_decay},
        {"momentum", config.momentum},
        {"weight_decay", config.weight_decay},
        {"batch", config.batch}}},
      {"epochs", config.epochs},
      {"stop", {{"loss", config.stop.loss}, {"epochs", config.stop.epochs}}},
      {"evaluate_every", config.evaluate_every},
      {"probes", config.probes},
      {"seed", config.seed},
      {"precision", config.precision},
      {"device", config.device},
  };
  if (config.dataset.held_out > 0) object["data"]["held_out"] = config.dataset.held_out;
  if (config.flip) object["data"]["flip"] = true;
  if (config.rotation > 0) object["data"]["rotation"] = config.rotation;
  if (!config.whiten) object["data"]["whiten"] = false;
  if (config.schedule != "exponential") object["optimizer"]["schedule"] = config.schedule;
  if (config.warm_up > 0) object["optimizer"]["warm_up"] = config.warm_up;
  if (config.autotune) object["autotune"] = true;
  return object;
}

namespace {

data::Corruption corruption_of(const json& source) {
  std::map<std::string, std::vector<double>> parameters;
  for (const auto& [key, value] : source.items()) {
    if (key == "kind" || key == "seed") continue;
    parameters[key] =
        value.is_array() ? value.get<std::vector<double>>() : std::vector{value.get<double>()};
  }
  return data::corruption::named(source.at("kind").get<std::string>(), parameters);
}

}  // namespace

CellConfig cell_config(const json& source, const std::string& where) {
  CellConfig config;
  try {
    const json& dataset = source.at("data");
    const json& corruption = dataset.at("corruption");
    const json& optimizer = source.at("optimizer");
    const json& stop = source.at("stop");
    source.at("model").get_to(config.model);
    dataset.at("name").get_to(config.dataset.name);
    dataset.at("checksums").get_to(config.dataset.checksums);
    dataset.at("train_size").get_to(config.dataset.train_size);
    dataset.at("test_size").get_to(config.dataset.test_size);
    config.corruption = corruption_of(corruption);
    config.corruption_seed = corruption.value("seed", config.corruption_seed);
    dataset.at("crop").get_to(config.crop);
    dataset.at("random_crop").get_to(config.random_crop);
    config.dataset.held_out = dataset.value("held_out", config.dataset.held_out);
    config.flip = dataset.value("flip", config.flip);
    config.rotation = dataset.value("rotation", config.rotation);
    config.whiten = dataset.value("whiten", config.whiten);
    optimizer.at("name").get_to(config.optimizer);
    config.schedule = optimizer.value("schedule", config.schedule);
    config.warm_up = optimizer.value("warm_up", config.warm_up);
    optimizer.at("learning_rate").get_to(config.learning_rate);
    optimizer.at("learning_rate_decay").get_to(config.learning_rate_decay);
    optimizer.at("momentum").get_to(config.momentum);
    optimizer.at("weight_decay").get_to(config.weight_decay);
    optimizer.at("batch").get_to(config.batch);
    source.at("epochs").get_to(config.epochs);
    stop.at("loss").get_to(config.stop.loss);
    stop.at("epochs").get_to(config.stop.epochs);
    source.at("evaluate_every").get_to(config.evaluate_every);
    source.at("probes").get_to(config.probes);
    source.at("seed").get_to(config.seed);
    source.at("precision").get_to(config.precision);
    source.at("device").get_to(config.device);
    config.autotune = source.value("autotune", config.autotune);
  } catch (const json::exception& error) {
    fail(ErrorKind::data, where, ": not a run's configuration: ", error.what());
  }
  return config;
}

std::string hash8(const json& source) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : source.dump()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  std::uint32_t folded = static_cast<std::uint32_t>(hash ^ (hash >> 32));
  std::string digits(8, '0');
  for (int i = 7; i >= 0; --i, folded >>= 4)
    digits[std::size_t(i)] = "0123456789abcdef"[folded & 15];
  return digits;
}

std::string folder_name(const CellConfig& config) {
  std::string name = config.model + "-" + config.corruption.name;
  if (config.corruption.parameters.contains("probability")) {
    char percent[16];
    std::snprintf(percent, sizeof percent, "-%g", 100 * config.corruption.parameter("probability"));
    name += percent;
  }
  if (config.random_crop) name += "-crop";
  if (config.flip) name += "-flip";
  if (config.rotation > 0) name += "-rotate";
  if (config.weight_decay > 0) name += "-wd";
  if (config.optimizer != "sgd") name += "-" + config.optimizer;
  return name + "-seed" + std::to_string(config.seed) + "-" + hash8(to_json(config));
}

std::vector<std::string> differences(const json& expected, const json& found) {
  const json a = expected.flatten(), b = found.flatten();
  std::set<std::string> keys;
  for (const auto& [key, value] : a.items()) keys.insert(key);
  for (const auto& [key, value] : b.items()) keys.insert(key);
  std::vector<std::string> lines;
  for (const std::string& key : keys) {
    const std::string here = b.contains(key) ? b[key].dump() : "missing";
    const std::string there = a.contains(key) ? a[key].dump() : "no such key";
    if (here == there) continue;
    std::string name = key.substr(key.empty() ? 0 : 1);
    for (char& c : name) c = c == '/' ? '.' : c;
    lines.push_back(name + ": " + there + ", here " + here);
  }
  return lines;
}

Seeds seeds_of(const CellConfig& config) {
  return {.initialize = derive_seed(config.seed, "initialize"),
          .shuffle = derive_seed(config.seed, "shuffle"),
          .augment = derive_seed(config.seed, "augment"),
          .corrupt = derive_seed(config.corruption_seed, "corrupt")};
}

}  // namespace shatter::experiments
