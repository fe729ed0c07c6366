// JSON of epochs and results.
#include <shatter/experiments/train/record.h>

#include <limits>
#include <nlohmann/json.hpp>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

json evaluation_json(const Evaluation& evaluation) {
  if (!evaluation.has_accuracy) return {{"size", evaluation.size}, {"loss", evaluation.loss}};
  return {{"correct", evaluation.correct},
          {"size", evaluation.size},
          {"accuracy", evaluation.accuracy()},
          {"loss", evaluation.loss}};
}

Evaluation evaluation(const json& source) {
  return {.correct = source.at("correct").get<std::int64_t>(),
          .size = source.at("size").get<std::int64_t>(),
          .loss = source.at("loss").is_null() ? std::numeric_limits<double>::quiet_NaN()
                                              : source.at("loss").get<double>()};
}

}  // namespace

json to_json(const EpochRecord& record) {
  json line = {{"epoch", record.epoch},
               {"step", record.step},
               {"loss", record.loss},
               {"accuracy", record.accuracy},
               {"learning_rate", record.learning_rate}};
  if (record.clean_accuracy) line["clean_accuracy"] = *record.clean_accuracy;
  if (record.corrupted_accuracy) line["corrupted_accuracy"] = *record.corrupted_accuracy;
  if (record.train) line["train"] = evaluation_json(*record.train);
  if (record.test) line["test"] = evaluation_json(*record.test);
  if (record.held_out) line["held_out"] = evaluation_json(*record.held_out);
  for (const auto& [name, value] : record.metrics) line["probes"][name] = value;
  return line;
}

json to_json(const RunResult& result) {
  json object = {{"status", result.diverged ? "diverged" : "done"},
                 {"epochs", result.epochs},
                 {"steps", result.steps},
                 {"learning_rate", result.learning_rate},
                 {"last_loss", result.last_loss}};
  if (result.diverged) return object;
  object["stopped_early"] = result.stopped_early;
  object["train"] = evaluation_json(result.train);
  object["test"] = evaluation_json(result.test);
  return object;
}

RunResult run_result(const json& source, const std::string& where) {
  RunResult result;
  try {
    result.diverged = source.at("status").get<std::string>() == "diverged";
    source.at("epochs").get_to(result.epochs);
    source.at("steps").get_to(result.steps);
    source.at("learning_rate").get_to(result.learning_rate);
    source.at("last_loss").get_to(result.last_loss);
    if (result.diverged) return result;
    source.at("stopped_early").get_to(result.stopped_early);
    result.train = evaluation(source.at("train"));
    result.test = evaluation(source.at("test"));
  } catch (const json::exception& error) {
    fail(ErrorKind::data, where, ": not a run's result: ", error.what());
  }
  return result;
}

}  // namespace shatter::experiments
