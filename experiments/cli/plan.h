// From options and rows to cells, and what they will cost.
#pragma once

#include <shatter/experiments/cli/launch.h>
#include <shatter/experiments/cli/program.h>

namespace shatter::experiments {

/// What a model costs: forward multiply-adds for an image, parameters.
struct ModelCost {
  std::int64_t multiply_adds = 0, parameters = 0;
};
ModelCost model_cost(Module model, std::int64_t crop, std::int64_t channels);

/// A cell with the row it belongs to.
struct PlannedCell {
  Cell cell;
  std::size_t row = 0;
  ModelCost cost;
};

struct Plan {
  std::vector<Row> rows;           ///< those selected, in the table's order
  std::vector<CellConfig> base;    ///< of each row, with the first seed
  std::vector<PlannedCell> cells;  ///< in the order they run: cheapest first
  int seeds = 1;
};

/// Throws (usage) when no row matches, listing them, or the data set has too few images.
Plan make_plan(const TableProgram& program, const Options& options, const DataSources& sources,
               Device device);

/// The most images the selected rows ask of each data set.
DataSizes data_sizes(const TableProgram& program, const Options& options);

/// Seconds a run takes at most, guessed from its arithmetic: training costs three forward passes.
double estimated_seconds(const CellConfig& config, const ModelCost& cost, int threads);
/// Bytes of its folder.
std::int64_t estimated_bytes(const CellConfig& config, const ModelCost& cost);

/// The text of --dry-run.
std::string describe_plan(const Plan& plan, const RunSettings& settings, int jobs);

}  // namespace shatter::experiments
