// From options and training rows to jobs.
#include <shatter/experiments/cli/training_program.h>

#include <algorithm>
#include <map>
#include <set>

#include <shatter/core/text.h>
#include <shatter/experiments/cli/experiment.h>
#include <shatter/experiments/runs/training_job.h>

namespace shatter::experiments {
namespace {

Device chosen_device(const Options& options) {
  const Device device = Device::parse(options.device);
  const std::set<std::string> known = precisions(device);
  if (!known.contains(options.precision))
    fail(ErrorKind::device, "--precision ", options.precision, ": ", device.name(), " has ",
         joined(known));
  check(!options.autotune || device.is_cuda(),
        "--autotune: measures convolution plans of a CUDA device, and this run is on the CPU");
  return device;
}

CellConfig configured(const TrainingRow& row, const Options& options) {
  CellConfig config = options.quick ? row.quick : row.full;
  nlohmann::json given = options.row_options;
  const bool sets_decay = given.contains("--learning-rate-decay");
  if (given.contains("--schedule")) {
    const std::string schedule = given["--schedule"];
    if (schedule == "constant") given["--schedule"] = "exponential";  // with a decay of 1
    check(schedule == "exponential" || !sets_decay || given["--learning-rate-decay"] == 1,
          "--learning-rate-decay: the ", schedule, " schedule has none");
    if (schedule != "exponential") given["--learning-rate-decay"] = 1;
  }
  set_options(config, given);
  if (!has_momentum(config.optimizer)) {
    check(given.value("--momentum", 0.0) == 0, "--momentum: ", config.optimizer, " has none");
    config.momentum = 0;
  }
  return config;
}

/// The most images the selected rows ask of each data set.
DataSizes data_sizes(const TrainingProgram& program, const Options& options) {
  DataSizes sizes;
  for (const TrainingRow& row : matching_rows(program.rows, options.rows)) {
    const DataConfig wanted = configured(row, options).dataset;
    auto& [train, test] = sizes[wanted.name];
    train = std::max(train, wanted.train_size + wanted.held_out);
    test = std::max(test, wanted.test_size);
  }
  return sizes;
}

/// A row's configuration on this machine, but for its seed.
CellConfig settled(const TrainingRow& row, const Options& options, const DataSource& source,
                   Device device) {
  CellConfig config = configured(row, options);
  config.dataset = source.describe(config.dataset);
  config.precision = options.precision;
  config.autotune = options.autotune;
  config.device = device.is_cpu() ? "cpu" : "cuda";
  return config;
}

std::vector<PlannedRow> plan(const TrainingProgram& program, const Options& options,
                             Progress& progress) {
  check(options.set.empty(), "--set ", options.set.empty() ? "" : options.set.front().first, ": ",
        program.info.name, " trains, and has no parameters but its options");
  const Device device = chosen_device(options);
  const DataSources sources = open_data(data_sizes(program, options), options, progress);
  const int seeds = options.seeds.value_or(options.quick ? 1 : 3);
  const int threads = run_settings(options).threads;
  std::map<std::string, ModelCost> costs;
  std::vector<PlannedRow> rows;
  for (const TrainingRow& row : matching_rows(program.rows, options.rows)) {
    const auto source = sources.at(configured(row, options).dataset.name);
    CellConfig config = settled(row, options, *source, device);
    const auto [cost, added] = costs.try_emplace(config.model + " " + config.dataset.name);
    if (added) {
      const std::int64_t channels = source->raw().train.images.dim(3);
      cost->second =
          model_cost(program.task(config, source->first(1, 1)).model, config.crop, channels);
    }
    const auto task = [source, device, make = program.task](const CellConfig& cell) {
      TrainingTask made = make(cell, source->load(cell, device));
      made.held_out = source->held_out(cell);
      return made;
    };
    PlannedRow planned;
    for (int k = 0; k < seeds; ++k) {
      config.seed = config.corruption_seed = options.seed + std::uint64_t(k);
      if (k == 0) planned.report = report_of(row, config, seeds);
      const std::string seed = seeds > 1 ? " seed " + std::to_string(config.seed) : "";
      planned.jobs.push_back(training_job(config, row.name + seed, task, device,
                                          source->provenance(),
                                          estimated_need(config, cost->second, threads)));
    }
    rows.push_back(std::move(planned));
  }
  return rows;
}

/// No title shall claim a data set whose images were drawn.
std::string title_of(const TrainingProgram& program, const RowReport& first) {
  const bool drawn = first.parameters["data"]["name"] == "synthetic";
  return program.title + (drawn ? " (synthetic: drawn images instead)" : "");
}

}  // namespace

int run_training(const TrainingProgram& program, int argc, const char* const* argv) {
  Experiment experiment = experiment_of(program);
  experiment.plan = [&](const Options& options, Progress& progress) {
    return plan(program, options, progress);
  };
  experiment.table = [&](std::vector<RowReport> reports, std::vector<std::string> footer) {
    const std::string title = title_of(program, reports.front());
    return table_of(program, title, std::move(reports), std::move(footer));
  };
  return run_experiment(experiment, argc, argv);
}

}  // namespace shatter::experiments
