// The settings of the randomization test, run and read.
#include <shatter/experiments/paper/randomization.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <shatter/data/checksum.h>
#include <shatter/experiments/runs/data_source.h>
#include <shatter/experiments/runs/training_job.h>
#include <shatter/kernels/context.h>
#include <shatter/optim/optimizer.h>

namespace shatter::experiments {
namespace {

/// What a run is known by when its images come from no file.
std::string checksum(const Tensor& tensor) {
  const Tensor packed = tensor.to(Device{}).packed();
  return data::md5({reinterpret_cast<const char*>(packed.raw()), packed.bytes()});
}

DataConfig describe(const data::TrainTest& data) {
  DataConfig config{.name = data.train.name,
                    .checksums = {},
                    .train_size = data.train.size(),
                    .test_size = data.test.size()};
  config.checksums = {{"train images", checksum(data.train.images)},
                      {"train labels", checksum(data.train.labels)},
                      {"test images", checksum(data.test.images)},
                      {"test labels", checksum(data.test.labels)}};
  return config;
}

/// Tells models apart that are called the same, so that stored runs of one are not taken for those
/// of another: a hash of their layers' descriptions, parameters and buffers.
std::string structure(Module model, const Shape& input) {
  std::string text = summarize(model, input).str();
  for (const auto& [name, tensor] : named_state(model)) text += name + " " + tensor.str() + "\n";
  return hash8(text);
}

/// A folder that is removed again when the caller gave none.
class Folder {
 public:
  explicit Folder(const std::filesystem::path& given) : path_(given) {
    if (!given.empty()) return;
    std::string name = (std::filesystem::temp_directory_path() / "shatter-XXXXXX").string();
    if (!::mkdtemp(name.data())) {
      fail(ErrorKind::data, name, ": cannot make a temporary folder");
    }
    path_ = temporary_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_, temporary_;
};

void throw_unless_finished(const std::vector<Outcome>& outcomes, const std::vector<Job>& jobs) {
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].status == Outcome::Status::failed) {
      fail(outcomes[i].kind, jobs[i].label, ": ", outcomes[i].message);
    }
    check(outcomes[i].status != Outcome::Status::interrupted, jobs[i].label, ": interrupted");
  }
}

RandomizationSetting summary(const CellConfig& config, const RowReport& row, const RowReport& own,
                             const RowReport& against_true) {
  RandomizationSetting setting{.corruption = config.corruption,
                               .runs = row.runs,
                               .diverged = static_cast<int>(row.diverged.size()),
                               .train = row.sample(row.quantities.at(0)),
                               .test = row.sample(row.quantities.at(1)),
                               .time_to_fit = {},
                               .relative_time = {}};
  setting.time_to_fit = own.sample(own.quantities.at(2));
  setting.relative_time = against_true.sample(against_true.quantities.at(0));
  return setting;
}

/// Of a model that is not the paper's: there is nothing to reproduce.
std::vector<Reading> own_readings(const std::vector<TrainingRow>& rows, double fitted) {
  std::vector<Reading> readings = randomization_readings(rows, fitted);
  for (Reading& reading : readings) {
    for (Quantity& quantity : reading.quantities) quantity.accepted = quantity.quick = {};
  }
  return readings;
}

}  // namespace

CellConfig as_stored() {
  CellConfig config;
  config.crop = 0;
  config.whiten = false;
  return config;
}

std::vector<data::Corruption> randomization_settings(const std::vector<double>& levels,
                                                     bool pixels) {
  namespace corruption = data::corruption;
  std::vector<data::Corruption> settings{corruption::none()};
  for (const double p : levels) {
    check(p > 0 && p < 1, "randomization_test: a level of ", p, "; 0 and 1 always run");
    settings.push_back(corruption::partial_labels(p));
  }
  settings.push_back(corruption::random_labels());
  if (!pixels) return settings;
  for (const data::Corruption& one :
       {corruption::shuffled_pixels(), corruption::random_pixels(), corruption::gaussian()})
    settings.push_back(one);
  return settings;
}

std::vector<TrainingRow> randomization_rows(const std::string& prefix, const std::string& title,
                                            const CellConfig& training,
                                            const std::vector<data::Corruption>& settings) {
  std::vector<TrainingRow> rows;
  for (const data::Corruption& setting : settings) {
    CellConfig full = training;
    full.corruption = setting;
    rows.push_back(
        {.name = prefix + "/" + setting.label(), .title = title, .full = full, .quick = full});
  }
  return rows;
}

std::vector<Reading> randomization_readings(const std::vector<TrainingRow>& rows, double fitted) {
  char share[32];
  std::snprintf(share, sizeof share, "%g", 100 * fitted);
  const std::string steps = "steps to " + std::string(share) + " % training accuracy";
  const std::string first = rows.front().name;
  std::vector<Reading> readings;
  for (const TrainingRow& row : rows) {
    const std::string name = row.name, title = row.title + ", " + row.full.corruption.label();
    const auto time_of = [fitted](const Result& run) {
      return first_step(run, "train_accuracy", fitted, true);
    };
    const Interval fits{100 * fitted, 100};
    readings.push_back({.title = title,
                        .needs = {name},
                        .quantities = {{.name = "train_accuracy",
                                        .title = "training accuracy, %",
                                        .accepted = fits,
                                        .quick = fits},
                                       {.name = "test_accuracy", .title = "test accuracy, %"},
                                       {.name = "steps_to_fit", .title = steps, .format = "%.0f"}},
                        .numbers = [=](const SeedRuns& runs) -> std::map<std::string, double> {
                          const Result& run = *runs.at(name);
                          return {{"train_accuracy", run.number("train_percent")},
                                  {"test_accuracy", run.number("test_percent")},
                                  {"steps_to_fit", time_of(run)}};
                        }});
    readings.push_back(
        {.title = title,
         .needs = {name, first},
         .quantities = {{.name = "relative_time", .title = steps + ", relative to true labels"}},
         .numbers = [=](const SeedRuns& runs) -> std::map<std::string, double> {
           return {
               {"relative_time", relative_time(time_of(*runs.at(name)), time_of(*runs.at(first)))}};
         }});
  }
  return readings;
}

RandomizationResult randomization_test(const std::function<Module()>& model,
                                       const data::TrainTest& data,
                                       const RandomizationOptions& options) {
  check(options.seeds >= 1, "randomization_test: ", options.seeds, " seeds");
  check(options.fitted > 0 && options.fitted <= 1, "randomization_test: fitted ", options.fitted,
        ", expected a share in (0, 1]");
  data::check_images("randomization_test", data.train);
  data::check_images("randomization_test", data.test);
  data::check_labels("randomization_test", data.train);
  data::check_labels("randomization_test", data.test);
  CellConfig training = options.training;
  const Tensor& images = data.train.images;
  const std::int64_t crop = training.crop;
  check(crop >= 0 && crop <= std::min(images.dim(1), images.dim(2)),
        "randomization_test: training.crop is ", crop, ", the images are ", images.dim(1), " x ",
        images.dim(2), "; 0 takes them whole");
  const Shape image{1, crop > 0 ? crop : images.dim(1), crop > 0 ? crop : images.dim(2),
                    images.dim(3)};
  check(!options.pixels || image[1] * image[2] > 1,
        "randomization_test: images of one pixel have no pixels to shuffle; set pixels = false");
  training.model = options.name + "-" + structure(model(), image);
  training.dataset = describe(data);
  training.device = options.device.is_cpu() ? "cpu" : "cuda";
  std::vector<data::Corruption> settings = randomization_settings(options.levels, options.pixels);
  for (const data::Corruption& own : options.corruptions) {
    check(static_cast<bool>(own.apply), "randomization_test: the corruption ", own.name,
          " has no function");
    check(std::ranges::find(settings, own) == settings.end(), "randomization_test: two settings ",
          own.label());
    settings.push_back(own);
  }
  const std::vector<TrainingRow> rows =
      randomization_rows(options.name, options.name, training, settings);

  const DataSource source(data);
  std::vector<Job> jobs;
  std::vector<RowReport> reports;
  for (const TrainingRow& row : rows) {
    for (int k = 0; k < options.seeds; ++k) {
      CellConfig config = row.full;
      config.seed = config.corruption_seed = options.first_seed + std::uint64_t(k);
      if (k == 0) reports.push_back(report_of(row, config, options.seeds));
      const auto task = [&](const CellConfig& c) {
        TrainingTask made{.model = model(), .decayed = {}, .data = source.load(c, options.device)};
        if (c.weight_decay > 0) made.decayed = optim::decay_weights(made.model, 1)[0].parameters;
        return made;
      };
      jobs.push_back(training_job(config, row.name + " seed " + std::to_string(config.seed), task,
                                  options.device, data.train.provenance));
    }
  }
  const Folder folder(options.out);
  if (options.progress) options.progress->set_cells(static_cast<std::int64_t>(jobs.size()));
  const std::vector<Outcome> outcomes = run_jobs(jobs, {.runs = folder.path() / "runs",
                                                        .threads = cpu_context().threads(),
                                                        .progress = options.progress});
  throw_unless_finished(outcomes, jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    RowReport& report = reports[i / static_cast<std::size_t>(options.seeds)];
    (outcomes[i].result.diverged ? report.diverged : report.runs).push_back(outcomes[i].result);
  }

  const Table all{.title = "Randomization test of " + options.name, .rows = reports};
  RandomizationResult result{.settings = {},
                             .table = read(own_readings(rows, options.fitted), all)};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& readings = result.table.rows;  // two of each row
    result.settings.push_back(
        summary(rows[i].full, reports[i], readings[2 * i], readings[2 * i + 1]));
  }
  return result;
}

}  // namespace shatter::experiments
