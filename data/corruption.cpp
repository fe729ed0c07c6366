// The ready corruptions, made of the functions of randomize.h.
#include <shatter/data/corruption.h>

#include <cmath>

#include <shatter/core/ops.h>
#include <shatter/core/random.h>

namespace shatter::data {
namespace {

using Parameters = std::map<std::string, std::vector<double>>;

void check_probability(const char* name, double p) {
  check(p >= 0 && p <= 1, name, ": probability is ", p, ", expected 0 to 1");
}

/// The training set with labels that a function gives for (label, number).
template <class NewLabel>
Dataset relabelled(const Dataset& dataset, const std::string& what, const NewLabel& label) {
  check(dataset.has_classes(), what, ": ", dataset.name, " has no classes");
  check(dataset.size() <= std::int64_t{1} << 31, what, ": more than 2^31 labels");
  std::vector<std::int32_t> labels = dataset.labels.values<std::int32_t>();
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = label(labels[i], std::uint32_t(i));
  Dataset result = dataset;
  result.labels = Tensor::from(labels, dataset.labels.shape(), dataset.labels.device());
  if (!dataset.true_labels.defined()) result.true_labels = dataset.labels;
  result.name += "; " + what;
  return result;
}

/// Whether the label or image of this number is among those that a corruption of a part changes.
bool is_chosen(std::uint64_t seed, std::uint32_t number, double p) {
  const auto words = random_words({.seed = seed, .stream = Stream::corrupt_choice}, number);
  return uniform_double(words[0], words[1]) < p;
}

/// The words that the new label of this number is drawn from.
auto label_words(std::uint64_t seed, std::uint32_t number) {
  return random_words({.seed = seed, .stream = Stream::corrupt_label}, number);
}

Dataset wrong_labels_of(const Dataset& train, double p, std::uint64_t seed) {
  const auto classes = static_cast<std::uint32_t>(train.classes);
  check(classes >= 2, "wrong-labels: one class has no other");
  return relabelled(train, text("wrong labels p=", p, " seed=", seed),
                    [=](std::int32_t label, std::uint32_t number) {
                      if (!is_chosen(seed, number, p)) return label;
                      const auto words = label_words(seed, number);
                      const auto shift = 1 + below(classes - 1, words[0], words[1]);
                      return std::int32_t((std::uint32_t(label) + shift) % classes);
                    });
}

Dataset permuted_labels_of(const Dataset& train, std::uint64_t seed) {
  const std::vector<std::int32_t> before = train.labels.values<std::int32_t>();
  const auto order = random_permutation({.seed = seed, .stream = Stream::corrupt_label},
                                        std::int64_t(before.size()));
  return relabelled(
      train, text("permuted labels seed=", seed),
      [&](std::int32_t, std::uint32_t number) { return before[std::size_t(order[number])]; });
}

Dataset transitions_of(const Dataset& train, const std::vector<double>& matrix,
                       std::uint64_t seed) {
  const auto classes = static_cast<std::size_t>(train.classes);
  check(matrix.size() == classes * classes, "label-transitions: a matrix of ", matrix.size(),
        " numbers, the data set has ", classes, " classes");
  return relabelled(train, text("label transitions seed=", seed),
                    [&](std::int32_t label, std::uint32_t number) {
                      const auto words = label_words(seed, number);
                      double left = uniform_double(words[0], words[1]);
                      const double* const row = matrix.data() + std::size_t(label) * classes;
                      std::size_t last = 0;  // the last class that can come, whatever rounding says
                      for (std::size_t j = 0; j < classes; ++j) {
                        if (row[j] == 0) continue;
                        last = j;
                        left -= row[j];
                        if (left < 0) break;
                      }
                      return std::int32_t(last);
                    });
}

/// The images with every value a pixel of its own, and back.
Dataset with_values_as_pixels(const Dataset& dataset,
                              const std::function<Dataset(const Dataset&)>& change) {
  const Shape shape = dataset.images.shape();
  Dataset flat = dataset;
  flat.images = dataset.images.packed().reshape({shape[0], 1, shape[1] * shape[2] * shape[3], 1});
  Dataset result = change(flat);
  result.images = result.images.reshape(shape);
  return result;
}

Dataset replaced(const Dataset& images, const Dataset& noise, double share, std::uint64_t seed,
                 std::int64_t first_number) {
  std::vector<std::uint8_t> chosen;
  for (std::int64_t i = 0; i < images.size(); ++i)
    chosen.push_back(is_chosen(seed, std::uint32_t(first_number + i), share));
  const Tensor mask = Tensor::from(std::span<const std::uint8_t>(chosen), {images.size(), 1, 1, 1},
                                   images.images.device());
  const Tensor plain = images.images.dtype() == DType::uint8
                           ? images.images.to(DType::float32) * (1.0 / 255)
                           : images.images;
  Dataset result = images;
  result.images = where(mask, noise.images, plain);
  result.name += text("; replaced images share=", share, " seed=", seed);
  return result;
}

/// A corruption of the training labels.
Corruption of_labels(std::string name, Parameters parameters,
                     std::function<Dataset(const Dataset& train, std::uint64_t seed)> change) {
  return {.name = std::move(name),
          .parameters = std::move(parameters),
          .apply = [change = std::move(change)](const TrainTest& data, std::uint64_t seed) {
            return TrainTest{change(data.train, seed), data.test};
          }};
}

/// A corruption of the images of both splits; those of the test set are numbered behind the others.
Corruption of_images(
    std::string name,
    std::function<Dataset(const Dataset& images, std::uint64_t seed, std::int64_t first_number)>
        change) {
  return {
      .name = std::move(name),
      .changes_inputs = true,
      .apply = [change = std::move(change)](const TrainTest& data, std::uint64_t seed) {
        return TrainTest{change(data.train, seed, 0), change(data.test, seed, data.train.size())};
      }};
}

TrainTest noise_like(const TrainTest& data, std::uint64_t seed) {
  const PixelStatistics statistics = pixel_statistics(data.train);
  return {gaussian_pixels(data.train, statistics, seed),
          gaussian_pixels(data.test, statistics, seed, data.train.size())};
}

}  // namespace

double Corruption::parameter(const std::string& key) const {
  const auto found = parameters.find(key);
  if (found == parameters.end()) return 1;
  check(found->second.size() == 1, name, ": ", key, " is not one number");
  return found->second.front();
}

std::string Corruption::label() const {
  if (!parameters.contains("probability")) return name;
  const std::string p = text("p=", parameter("probability"));
  return name == "partially-corrupted-labels" ? p : name + "-" + p;
}

namespace corruption {

Corruption none() {
  return {};
}

Corruption partial_labels(double p) {
  check_probability("partially-corrupted-labels", p);
  return of_labels("partially-corrupted-labels", {{"probability", {p}}},
                   [p](const Dataset& train, std::uint64_t seed) {
                     return randomize_labels(train, {p, seed});
                   });
}

Corruption random_labels() {
  return of_labels("random-labels", {}, [](const Dataset& train, std::uint64_t seed) {
    return randomize_labels(train, {1, seed});
  });
}

Corruption shuffled_pixels() {
  return of_images("shuffled-pixels", [](const Dataset& images, std::uint64_t seed, std::int64_t) {
    return shuffle_pixels(images, seed);
  });
}

Corruption random_pixels() {
  return of_images("random-pixels",
                   [](const Dataset& images, std::uint64_t seed, std::int64_t first) {
                     return data::random_pixels(images, seed, first);
                   });
}

Corruption gaussian() {
  return {.name = "gaussian", .changes_inputs = true, .apply = noise_like};
}

Corruption permuted_labels() {
  return of_labels("permuted-labels", {}, permuted_labels_of);
}

Corruption wrong_labels(double p) {
  check_probability("wrong-labels", p);
  return of_labels(
      "wrong-labels", {{"probability", {p}}},
      [p](const Dataset& train, std::uint64_t seed) { return wrong_labels_of(train, p, seed); });
}

Corruption label_transitions(const std::vector<std::vector<double>>& transitions) {
  std::vector<double> matrix;
  for (const std::vector<double>& row : transitions) {
    double sum = 0;
    for (const double p : row) {
      check_probability("label-transitions", p);
      sum += p;
    }
    check(row.size() == transitions.size() && std::abs(sum - 1) < 1e-9,
          "label-transitions: a row of ", row.size(), " numbers that sum to ", sum, ", expected ",
          transitions.size(), " that sum to 1");
    matrix.insert(matrix.end(), row.begin(), row.end());
  }
  return of_labels("label-transitions", {{"matrix", matrix}},
                   [matrix](const Dataset& train, std::uint64_t seed) {
                     return transitions_of(train, matrix, seed);
                   });
}

Corruption pair_flips(double p) {
  check_probability("pair-flips", p);
  return of_labels(
      "pair-flips", {{"probability", {p}}}, [p](const Dataset& train, std::uint64_t seed) {
        const auto classes = static_cast<std::int32_t>(train.classes);
        return relabelled(train, text("pair flips p=", p, " seed=", seed),
                          [=](std::int32_t label, std::uint32_t number) {
                            return is_chosen(seed, number, p) ? (label + 1) % classes : label;
                          });
      });
}

Corruption shuffled_values() {
  return of_images("shuffled-values", [](const Dataset& images, std::uint64_t seed, std::int64_t) {
    return with_values_as_pixels(images,
                                 [&](const Dataset& flat) { return shuffle_pixels(flat, seed); });
  });
}

Corruption random_values() {
  return of_images(
      "random-values", [](const Dataset& images, std::uint64_t seed, std::int64_t first) {
        return with_values_as_pixels(
            images, [&](const Dataset& flat) { return data::random_pixels(flat, seed, first); });
      });
}

Corruption replaced_images(double share) {
  check_probability("replaced-images", share);
  return {.name = "replaced-images",
          .parameters = {{"probability", {share}}},
          .changes_inputs = true,
          .apply = [share](const TrainTest& data, std::uint64_t seed) {
            const TrainTest noise = noise_like(data, seed);
            return TrainTest{replaced(data.train, noise.train, share, seed, 0),
                             replaced(data.test, noise.test, share, seed, data.train.size())};
          }};
}

Corruption named(const std::string& name, const Parameters& parameters) {
  const Corruption given{.name = name, .parameters = parameters};
  const auto number = [&] {
    check(parameters.contains("probability"), name, ": its probability is missing");
    return given.parameter("probability");
  };
  const std::map<std::string, std::function<Corruption()>> ready{
      {"true-labels", none},
      {"partially-corrupted-labels", [&] { return partial_labels(number()); }},
      {"random-labels", random_labels},
      {"shuffled-pixels", shuffled_pixels},
      {"random-pixels", random_pixels},
      {"gaussian", gaussian},
      {"permuted-labels", permuted_labels},
      {"wrong-labels", [&] { return wrong_labels(number()); }},
      {"pair-flips", [&] { return pair_flips(number()); }},
      {"shuffled-values", shuffled_values},
      {"random-values", random_values},
      {"replaced-images", [&] { return replaced_images(number()); }},
      {"label-transitions", [&] {
         const auto found = parameters.find("matrix");
         check(found != parameters.end(), name, ": its matrix is missing");
         const auto n = static_cast<std::size_t>(std::lround(std::sqrt(found->second.size())));
         check(n * n == found->second.size(), name, ": a matrix of ", found->second.size(),
               " numbers is not square");
         std::vector<std::vector<double>> rows;
         for (std::size_t i = 0; i < n; ++i)
           rows.emplace_back(found->second.begin() + std::ptrdiff_t(i * n),
                             found->second.begin() + std::ptrdiff_t((i + 1) * n));
         return label_transitions(rows);
       }}};
  const auto found = ready.find(name);
  if (found == ready.end()) return given;
  const Corruption result = found->second();
  check(result == given, name, ": parameters that it does not have");
  return result;
}

}  // namespace corruption

TrainTest corrupt(const TrainTest& data, const Corruption& corruption,
                  const CorruptionOptions& options) {
  TrainTest result = data;
  if (options.crop > 0) {
    result = {center_crop(data.train, options.crop), center_crop(data.test, options.crop)};
  }
  if (!corruption.changes_anything()) return result;
  check(static_cast<bool>(corruption.apply), "corrupt: ", corruption.name,
        " has no function; give the Corruption that it was made of");
  const TrainTest before = result;
  result = corruption.apply(before, options.seed);
  check(result.train.size() == before.train.size() && result.test.size() == before.test.size(),
        "corrupt: ", corruption.name, " made ", result.train.size(), " and ", result.test.size(),
        " images of ", before.train.size(), " and ", before.test.size());
  if (options.corrupt_test_labels && !corruption.changes_inputs) {
    result.test =
        corruption.apply({before.test, before.test}, derive_seed(options.seed, "test labels"))
            .train;
  }
  return result;
}

}  // namespace shatter::data
