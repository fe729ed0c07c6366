// Which cells a command means, in which order, at what cost.
#include <shatter/core/text.h>
#include <shatter/experiments/cli/plan.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

#include <shatter/experiments/report/text_table.h>

namespace shatter::experiments {
namespace {

CellConfig configured(const Row& row, const Options& options) {
  CellConfig config = options.quick ? row.quick : row.full;
  config.epochs = options.epochs.value_or(config.epochs);
  config.evaluate_every = options.evaluate_every.value_or(config.evaluate_every);
  config.batch = options.batch.value_or(config.batch);
  config.learning_rate = options.learning_rate.value_or(config.learning_rate);
  config.learning_rate_decay = options.learning_rate_decay.value_or(config.learning_rate_decay);
  config.optimizer = options.optimizer.value_or(config.optimizer);
  config.warm_up = options.warm_up.value_or(config.warm_up);
  config.weight_decay = options.weight_decay.value_or(config.weight_decay);
  if (!has_momentum(config.optimizer)) config.momentum = 0;
  config.momentum = options.momentum.value_or(config.momentum);
  check(config.momentum == 0 || has_momentum(config.optimizer), "--momentum: ", config.optimizer,
        " has none");
  if (options.schedule) {
    const bool is_constant = *options.schedule == "constant";
    config.schedule = is_constant ? "exponential" : *options.schedule;
    if (is_constant || config.schedule != "exponential")
      config.learning_rate_decay = options.learning_rate_decay.value_or(1);
    check(config.learning_rate_decay == 1 || *options.schedule == "exponential",
          "--learning-rate-decay: the ", *options.schedule, " schedule has none");
  }
  config.dataset.train_size = options.train_size.value_or(config.dataset.train_size);
  config.dataset.test_size = options.test_size.value_or(config.dataset.test_size);
  return config;
}

std::string bytes_text(std::int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

std::string state_of(const Cell& cell, const RunSettings& settings) {
  const std::filesystem::path folder = settings.runs / folder_name(cell.config);
  if (!settings.resume) return "afresh";
  if (!settings.keep.empty() && find_kept(settings.keep, cell.config)) return "kept";
  if (std::filesystem::exists(folder / "result.json")) return "done";
  if (std::filesystem::exists(folder / "checkpoint.safetensors")) return "begun";
  return "new";
}

}  // namespace

DataSizes data_sizes(const TableProgram& program, const Options& options) {
  DataSizes sizes;
  for (const Row& row : matching_rows(program.rows, options.rows)) {
    const DataConfig wanted = configured(row, options).dataset;
    auto& [train, test] = sizes[wanted.name];
    train = std::max(train, wanted.train_size + wanted.held_out);
    test = std::max(test, wanted.test_size);
  }
  return sizes;
}

ModelCost model_cost(Module model, std::int64_t crop, std::int64_t channels) {
  const Summary summary = summarize(model, {1, crop, crop, channels});
  return {summary.multiply_adds, summary.parameters};
}

double estimated_seconds(const CellConfig& config, const ModelCost& cost, int threads) {
  constexpr double multiply_adds_per_second =
      2.5e10;  // of one CPU thread, as measured for the models
  const double images =
      3.0 * static_cast<double>(config.epochs * config.dataset.train_size) +
      static_cast<double>(config.epochs / config.evaluate_every * config.dataset.test_size);
  return images * static_cast<double>(cost.multiply_adds) / (multiply_adds_per_second * threads);
}

std::int64_t estimated_bytes(const CellConfig& config, const ModelCost& cost) {
  const std::int64_t metrics = config.epochs * (300 + 6 * config.steps_per_epoch());
  // Weights twice, and the optimizer's buffers.
  const int buffers = config.optimizer == "sgd" ? 1 : 2;
  return (2 + buffers) * 4 * cost.parameters + metrics + 8192;
}

Plan make_plan(const TableProgram& program, const Options& options, const DataSources& sources,
               Device device) {
  Plan plan{.rows = matching_rows(program.rows, options.rows),
            .base = {},
            .cells = {},
            .seeds = options.seeds.value_or(options.quick ? 1 : 3)};
  std::map<std::string, ModelCost> costs;
  for (std::size_t row = 0; row < plan.rows.size(); ++row) {
    CellConfig config = configured(plan.rows[row], options);
    const DataSource& source = sources.at(config.dataset.name);
    config.dataset = source.describe(config.dataset);
    config.precision = options.precision;
    config.autotune = options.autotune;
    config.device = device.is_cpu() ? "cpu" : "cuda";
    const auto [cost, added] = costs.try_emplace(config.model + " " + config.dataset.name);
    if (added) {
      const std::int64_t channels = source.raw().train.images.dim(3);
      cost->second =
          model_cost(program.task(config, source.first(1, 1)).model, config.crop, channels);
    }
    for (int k = 0; k < plan.seeds; ++k) {
      config.seed = config.corruption_seed = options.seed + std::uint64_t(k);
      if (k == 0) plan.base.push_back(config);
      const std::string seed = plan.seeds > 1 ? " seed " + std::to_string(config.seed) : "";
      const auto task = [&source, device, make = program.task](const CellConfig& c) {
        TrainingTask made = make(c, source.load(c, device));
        made.held_out = source.held_out(c);
        return made;
      };
      plan.cells.push_back(
          {{config, plan.rows[row].name + seed, task, source.provenance()}, row, cost->second});
    }
  }
  std::stable_sort(plan.cells.begin(), plan.cells.end(),
                   [](const PlannedCell& a, const PlannedCell& b) {
                     return estimated_seconds(a.cell.config, a.cost, 1) <
                            estimated_seconds(b.cell.config, b.cost, 1);
                   });
  return plan;
}

std::string describe_plan(const Plan& plan, const RunSettings& settings, int jobs) {
  std::string text;
  double total_seconds = 0;
  std::int64_t total_bytes = 0;
  std::set<std::string> sets;
  for (const auto& [cell, row, cost] : plan.cells) {
    sets.insert(cell.config.dataset.name);
    const std::string state = state_of(cell, settings);
    const double seconds = estimated_seconds(cell.config, cost, settings.threads);
    const std::int64_t bytes = estimated_bytes(cell.config, cost);
    if (state != "done" && state != "kept") total_seconds += seconds, total_bytes += bytes;
    text += folder_name(cell.config) + "  " + plan.rows[row].name + "  " + state + "  " +
            grouped(cell.config.epochs * cell.config.steps_per_epoch()) + " steps  " +
            bytes_text(bytes) + "  about " + duration(seconds) + "\n";
  }
  text += std::to_string(plan.cells.size()) + " cells on " + joined(sets) +
          "; to do: " + bytes_text(total_bytes) + ", about " + duration(total_seconds) + " with " +
          std::to_string(settings.threads) + " threads, " + std::to_string(jobs) + " at once\n";
  return text;
}

}  // namespace shatter::experiments
