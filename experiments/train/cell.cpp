// Configurations of training runs: JSON, names and hashes.
#include <shatter/experiments/train/cell.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include <shatter/core/random.h>
#include <shatter/kernels/error.h>
#include <shatter/optim/optimizer.h>

namespace shatter::experiments {

using nlohmann::json;

const std::vector<std::string>& optimizers() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const optim::KnownOptimizer& known : optim::known_optimizers()) all.push_back(known.name);
    return all;
  }();
  return names;
}

const std::vector<std::string>& schedules() {
  static const std::vector<std::string> names{"exponential", "step", "cosine"};
  return names;
}

bool has_momentum(const std::string& optimizer) {
  return optim::known_optimizer(optimizer).has_momentum;
}

namespace {

using SeededCorruption = std::tuple<const data::Corruption&, const std::uint64_t&>;

template <class T>
json json_of(const T& value) {
  return value;
}

json json_of(const SeededCorruption& seeded) {
  const auto& [corruption, seed] = seeded;
  json result = {{"kind", corruption.name}};
  if (corruption.changes_anything()) result["seed"] = seed;
  for (const auto& [name, numbers] : corruption.parameters)
    result[name] = numbers.size() == 1 ? json(numbers.front()) : json(numbers);
  return result;
}

template <class T>
void take(const json& source, T& value) {
  source.get_to(value);
}

void take(const json& source, std::tuple<data::Corruption&, std::uint64_t&> seeded) {
  auto& [corruption, seed] = seeded;
  std::map<std::string, std::vector<double>> parameters;
  for (const auto& [key, value] : source.items()) {
    if (key == "kind" || key == "seed") continue;
    parameters[key] =
        value.is_array() ? value.get<std::vector<double>>() : std::vector{value.get<double>()};
  }
  corruption = data::corruption::named(source.at("kind").get<std::string>(), parameters);
  seed = source.value("seed", seed);
}

/// "data.name" as "/data/name".
json::json_pointer pointer(const std::string& key) {
  std::string path = "/" + key;
  std::replace(path.begin(), path.end(), '.', '/');
  return json::json_pointer(path);
}

/// Every field's value, in the fields' order.
std::vector<std::pair<FieldTraits, json>> values_of(const CellConfig& config) {
  std::vector<std::pair<FieldTraits, json>> values;
  for_each_field(config, [&](const char*, const auto& value, const FieldTraits& traits) {
    values.emplace_back(traits, json_of(value));
  });
  return values;
}

/// Throws (data) for a key of no field.
void check_keys(const json& source, const std::string& where) {
  const CellConfig any;
  const json flat = source.flatten();
  for (const auto& [path, value] : flat.items()) {
    bool known = false;
    for_each_field(any, [&](const char* key, const auto&, const FieldTraits&) {
      const std::string own = pointer(key).to_string();
      known = known || path == own || path.starts_with(own + "/");
    });
    if (!known) fail(ErrorKind::data, where, ": not a run's configuration: unknown key ", path);
  }
}

}  // namespace

json to_json(const CellConfig& config) {
  static const std::vector<std::pair<FieldTraits, json>> defaults = values_of(CellConfig());
  json object = json::object();
  std::size_t i = 0;
  for_each_field(config, [&](const char* key, const auto& value, const FieldTraits& traits) {
    json own = json_of(value);
    if (!traits.is_optional || own != defaults[i].second) object[pointer(key)] = std::move(own);
    ++i;
  });
  return object;
}

CellConfig cell_config(const json& source, const std::string& where) {
  CellConfig config;
  try {
    for_each_field(config, [&](const char* key, auto&& value, const FieldTraits& traits) {
      if (!traits.is_optional || source.contains(pointer(key)))
        take(source.at(pointer(key)), value);
    });
  } catch (const json::exception& error) {
    fail(ErrorKind::data, where, ": not a run's configuration: ", error.what());
  } catch (const Error& error) {
    fail(ErrorKind::data, where, ": not a run's configuration: ", error.what());
  }
  check_keys(source, where);
  return config;
}

void set_options(CellConfig& config, const json& options) {
  for (const auto& [option, given] : options.items()) {
    bool known = false;
    for_each_field(config, [&](const char*, auto&& value, const FieldTraits& traits) {
      if (!traits.option || option != traits.option) return;
      take(given, value);
      known = true;
    });
    check(known, option, ": a training run has no such option");
  }
}

std::string options_between(const CellConfig& usual, const CellConfig& config) {
  const auto before = values_of(usual), now = values_of(config);
  std::string words;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const auto& [traits, value] = now[i];
    if (!traits.option || value == before[i].second) continue;
    words += std::string(" ") + traits.option + " " +
             (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return words;
}

bool same_size(const CellConfig& a, const CellConfig& b) {
  const auto first = values_of(a), second = values_of(b);
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i].first.is_size && first[i].second != second[i].second) return false;
  }
  return true;
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
