// Figure 3 of Zhang et al. (ICLR 2017): the small Inception, drawn from the model itself, and its
// layers with their parameters; the other models on request.
#include <iostream>
#include <nlohmann/json.hpp>

#include <shatter/core/file.h>
#include <shatter/core/text.h>
#include <shatter/experiments/cli/exit_code.h>
#include <shatter/experiments/cli/launch.h>
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/paper/model_drawing.h>
#include <shatter/experiments/report/text_table.h>
#include <shatter/experiments/runs/progress.h>

namespace {

using namespace shatter::experiments;
using shatter::Summary;
using shatter::SummaryRow;

const char* const models[] = {"inception", "inception-no-bn", "alexnet",
                              "mlp-3x512", "mlp-1x512",       "lenet"};

Summary summary_of(const std::string& name) {
  const ImageSize image = name == "lenet" ? ImageSize{28, 28, 1} : ImageSize{};
  shatter::Sequential model = make_model(name, 10, image);
  return shatter::summarize(model, {1, image.h, image.w, image.c});
}

TextTable table_of(const std::string& name, const Summary& summary) {
  TextTable table{.title = recipe(name).title + ", layer by layer",
                  .columns = {"name", "layer", "output", "parameters", "multiply-adds"},
                  .rows = {},
                  .footer = {}};
  for (const SummaryRow& row : summary.rows) {
    table.rows.push_back({row.name.empty() ? "model" : row.name, row.info.type,
                          row.info.output.str(), std::to_string(row.parameters),
                          std::to_string(row.info.multiply_adds)});
  }
  table.footer = {"parameters: " + shatter::grouped(summary.parameters) +
                  (recipe(name).parameters == summary.parameters ? ", as published" : "")};
  return table;
}

std::string render(const std::string& name, const Summary& summary, Format format) {
  const TextTable table = table_of(name, summary);
  if (format != Format::json) return text_of(table, format, "lllrr");
  nlohmann::json object = {{"model", name},
                           {"parameters", summary.parameters},
                           {"multiply_adds", summary.multiply_adds},
                           {"layers", nlohmann::json::array()}};
  for (const auto& row : table.rows) object["layers"].push_back(row);
  return object.dump(2) + "\n";
}

int draw(const Options& options, const std::string&) {
  shatter::check(options.set.empty() && !options.check && !options.seeds &&
                     options.row_options.empty() && options.report.empty(),
                 "figure3 trains nothing: --rows, --format, --out and --dry-run are its options");
  std::vector<std::string> names;
  std::string all;
  for (const char* name : models) {
    if (shatter::matches(name, options.rows)) names.push_back(name);
    all += std::string("\n  ") + name;
  }
  shatter::check(!names.empty(), "--rows ", options.rows, " matches none of:", all);
  const auto folder = options.out / "reports" / "figure3";
  if (!options.dry_run) check_writable(options, "figure3");
  std::vector<std::string> tables;
  for (const std::string& name : names) {
    const Summary summary = summary_of(name);
    const auto path = folder / (name + ".svg");
    if (options.dry_run) {
      std::cout << path.string() << "\n";
      continue;
    }
    shatter::write_file_atomically(path, draw_model(summary, recipe(name).title));
    std::cerr << "drawn: " << path.string() << "\n";
    tables.push_back(render(name, summary, options.format));
  }
  if (!options.dry_run) std::cout << in_one(tables, options.format);
  return exit_done;
}

}  // namespace

int main(int argc, char** argv) {
  return launch(
      {.name = "figure3",
       .summary = "Figure 3 of \"Understanding deep learning requires rethinking "
                  "generalization\": the models drawn from themselves, as SVG, and "
                  "their layers",
       .examples = {"figure3", "figure3 --rows alexnet --format csv", "figure3 --rows '*'"},
       .rows = "inception"},
      argc, argv, draw);
}
