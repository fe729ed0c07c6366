// JSON of epochs and results.
#include <shatter/experiments/harness/record.h>

#include <nlohmann/json.hpp>

#include <shatter/kernels/error.h>

namespace shatter::experiments {

using nlohmann::json;

namespace {

json evaluation_json(const Evaluation& evaluation) {
  return {{"correct", evaluation.correct},
          {"size", evaluation.size},
          {"accuracy", evaluation.accuracy()},
          {"loss", evaluation.loss}};
}

Evaluation evaluation(const json& source) {
  return {source.at("correct").get<std::int64_t>(), source.at("size").get<std::int64_t>(),
          source.at("loss").is_null() ? 0 : source.at("loss").get<double>()};
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
  for (const auto& [name, value] : record.probes) line["probes"][name] = value;
  return line;
}

EpochRecord epoch_record(const json& source) {
  EpochRecord record;
  source.at("epoch").get_to(record.epoch);
  source.at("step").get_to(record.step);
  source.at("loss").get_to(record.loss);
  source.at("accuracy").get_to(record.accuracy);
  source.at("learning_rate").get_to(record.learning_rate);
  if (source.contains("clean_accuracy"))
    record.clean_accuracy = source["clean_accuracy"].get<double>();
  if (source.contains("corrupted_accuracy")) {
    record.corrupted_accuracy = source["corrupted_accuracy"].get<double>();
  }
  if (source.contains("train")) record.train = evaluation(source["train"]);
  if (source.contains("test")) record.test = evaluation(source["test"]);
  if (source.contains("held_out")) record.held_out = evaluation(source["held_out"]);
  if (source.contains("probes")) {
    for (const auto& [name, value] : source["probes"].items()) {
      record.probes.emplace_back(name, value.get<double>());
    }
  }
  return record;
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
