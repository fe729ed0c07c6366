// The corruptions of the randomization tests: counts, bijections, moments, and what they ignore.
#include <shatter/data/corruption.h>
#include <shatter/data/randomize.h>
#include <shatter/kernels/context.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "tests/support/files.h"

using namespace shatter;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// n images of h x w x c whose pixel p of image i is unique in its image and marks its channels:
/// channel k holds 3 * p + k (mod 256) + i.
data::Dataset marked(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c,
                     std::int64_t classes = 10) {
  Bytes pixels;
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t p = 0; p < h * w; ++p) {
      for (std::int64_t k = 0; k < c; ++k) pixels.push_back(std::uint8_t(3 * p + k + i));
    }
    labels.push_back(std::int32_t(i % classes));
  }
  data::Dataset set;
  set.name = "marked";
  set.images = Tensor::from(pixels, {n, h, w, c});
  set.labels = Tensor::from(labels, {n});
  set.classes = classes;
  return set;
}

std::vector<std::int32_t> labels_of(const data::Dataset& set) {
  return set.labels.values<std::int32_t>();
}

/// Image i as a list of pixels.
std::vector<std::string> pixels_of(const data::Dataset& set, std::int64_t i) {
  const std::int64_t positions = set.images.dim(1) * set.images.dim(2), c = set.images.dim(3);
  const auto* x = set.images.data<std::uint8_t>() + i * positions * c;
  std::vector<std::string> result;
  for (std::int64_t p = 0; p < positions; ++p) result.emplace_back(x + p * c, x + (p + 1) * c);
  return result;
}

/// For each place the place its pixel came from; every pixel must be a whole one of the source.
std::vector<std::size_t> moves(const data::Dataset& source, const data::Dataset& result,
                               std::int64_t i) {
  const std::vector<std::string> before = pixels_of(source, i), after = pixels_of(result, i);
  std::map<std::string, std::size_t> places;
  for (std::size_t p = 0; p < before.size(); ++p) places[before[p]] = p;
  REQUIRE(places.size() == before.size());
  std::vector<std::size_t> from;
  for (const std::string& pixel : after) {
    REQUIRE(places.count(pixel) == 1);
    from.push_back(places[pixel]);
  }
  return from;
}

bool is_permutation_of_all(std::vector<std::size_t> places) {
  std::sort(places.begin(), places.end());
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i] != i) return false;
  }
  return true;
}

bool same_images(const data::Dataset& a, const data::Dataset& b) {
  return a.images.shape() == b.images.shape() && a.images.dtype() == b.images.dtype() &&
         std::memcmp(a.images.raw(), b.images.raw(), a.images.bytes()) == 0;
}

/// f() with one thread and with three must give the same images and labels.
template <class F>
void check_thread_count(F&& f) {
  CpuContext one(1), three(3);
  data::Dataset results[2];
  CpuContext* contexts[] = {&one, &three};
  for (std::size_t i = 0; i < 2; ++i) {
    const CpuContextGuard guard(*contexts[i]);
    results[i] = f();
  }
  CHECK(same_images(results[0], results[1]));
  CHECK(labels_of(results[0]) == labels_of(results[1]));
}

}  // namespace

TEST_CASE("random labels: uniform over all classes, whatever the true one") {
  const std::int64_t n = 50'000;
  const data::Dataset set = marked(n, 1, 1, 1);
  const data::Dataset random = data::randomize_labels(set, {.probability = 1, .seed = 7});
  std::vector<std::vector<double>> counts(10, std::vector<double>(10));
  const auto before = labels_of(set), after = labels_of(random);
  for (std::size_t i = 0; i < before.size(); ++i) {
    REQUIRE(after[i] >= 0);
    REQUIRE(after[i] < 10);
    ++counts[std::size_t(before[i])][std::size_t(after[i])];
  }
  double chi_square = 0;
  for (const auto& row : counts) {
    for (const double count : row) chi_square += std::pow(count - 500, 2) / 500;
  }
  CHECK(chi_square < 148.2);  // 99.9 % point with 99 degrees of freedom
  CHECK(chi_square > 60);     // 0.1 % point
  CHECK(random.name == "marked; random labels p=1 seed=7");
  CHECK(random.true_labels.values<std::int32_t>() == before);
  CHECK(random.images.shares_storage(set.images));
}

TEST_CASE("partially corrupted labels: the fraction is p * 9 / 10") {
  const std::int64_t n = 50'000;
  const data::Dataset set = marked(n, 1, 1, 1);
  const auto before = labels_of(set);
  std::vector<bool> wrong_before(before.size(), false);
  for (const double p : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    const auto after = labels_of(data::randomize_labels(set, {.probability = p, .seed = 3}));
    double wrong = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const bool is_wrong = after[i] != before[i];
      wrong += is_wrong;
      // One draw decides at every level: what is wrong at a lower p stays wrong at a higher.
      if (wrong_before[i]) CHECK(is_wrong);
      wrong_before[i] = is_wrong;
    }
    const double q = 0.9 * p;
    CHECK(std::abs(wrong / double(n) - q) <= 4 * std::sqrt(q * (1 - q) / double(n)));
    if (p == 0) CHECK(wrong == 0);
  }
}

TEST_CASE("random labels are fixed by seed and index") {
  const data::Dataset set = marked(2000, 1, 1, 1, 7);
  const data::RandomLabels options{.probability = 0.5, .seed = 11};
  const auto labels = labels_of(data::randomize_labels(set, options));
  CHECK(labels_of(data::randomize_labels(set, options)) == labels);
  check_thread_count([&] { return data::randomize_labels(set, options); });
  // Fewer images: the same labels for those that stay.
  CHECK(labels_of(data::randomize_labels(data::first(set, 900), options)) ==
        std::vector<std::int32_t>(labels.begin(), labels.begin() + 900));
  // Picked in another order, labels go with their images.
  std::vector<std::int64_t> order(2000);
  for (std::size_t i = 0; i < 2000; ++i) order[i] = std::int64_t(i * 1999 % 2000);
  const data::Dataset turned = data::subset(data::randomize_labels(set, options), order);
  const auto turned_labels = labels_of(turned);
  for (std::size_t i = 0; i < 2000; ++i) {
    CHECK(turned_labels[i] == labels[std::size_t(order[i])]);
  }
  CHECK(labels_of(data::randomize_labels(set, {.probability = 0.5, .seed = 12})) != labels);
  CHECK(labels_of(set)[1999] == 1999 % 7);  // the source is untouched

  // Randomised twice, the true labels stay the true ones.
  const data::Dataset twice =
      data::randomize_labels(data::randomize_labels(set, options), {.probability = 1, .seed = 1});
  CHECK(twice.true_labels.values<std::int32_t>() == labels_of(set));

  CHECK_THAT(
      message_of([&] { data::randomize_labels(set, {.probability = 1.5}); }, ErrorKind::usage),
      Contains("1.5"));
  CHECK_THROWS_AS(data::randomize_labels(set, {.probability = -0.1}), Error);
  CHECK_THROWS_AS(data::randomize_labels(set, {.probability = std::nan("")}), Error);
  CHECK_THROWS_AS(data::randomize_labels(data::Dataset(), {}), Error);
}

TEST_CASE("shuffled pixels: one bijection of whole pixels for all images and splits") {
  for (const std::int64_t c : {1, 3, 4}) {
    const data::Dataset train = marked(70, 7, 9, c), test = marked(5, 7, 9, c);
    const data::Dataset shuffled = data::shuffle_pixels(train, 5);
    const std::vector<std::size_t> order = moves(train, shuffled, 0);
    CHECK(is_permutation_of_all(order));
    for (std::int64_t i = 0; i < 70; ++i) CHECK(moves(train, shuffled, i) == order);
    const data::Dataset other = data::shuffle_pixels(test, 5);
    for (std::int64_t i = 0; i < 5; ++i) CHECK(moves(test, other, i) == order);
    CHECK(moves(train, data::shuffle_pixels(train, 6), 0) != order);
    CHECK(labels_of(shuffled) == labels_of(train));
    check_thread_count([&] { return data::shuffle_pixels(train, 5); });
  }
  CHECK_THAT(data::shuffle_pixels(marked(2, 2, 2, 3), 9).name, Contains("shuffled pixels seed=9"));
}

TEST_CASE("random pixels: a bijection of its own for every image") {
  const data::Dataset set = marked(200, 8, 8, 3);
  const data::Dataset random = data::random_pixels(set, 5);
  std::set<std::vector<std::size_t>> orders;
  for (std::int64_t i = 0; i < 200; ++i) {
    const std::vector<std::size_t> order = moves(set, random, i);
    CHECK(is_permutation_of_all(order));
    orders.insert(order);
  }
  CHECK(orders.size() == 200);
  CHECK(orders.count(moves(set, data::shuffle_pixels(set, 5), 0)) == 0);
  CHECK(labels_of(random) == labels_of(set));
  check_thread_count([&] { return data::random_pixels(set, 5); });
  CHECK(same_images(data::random_pixels(data::first(set, 50), 5), data::first(random, 50)));
  CHECK(!same_images(data::random_pixels(set, 6), random));

  // first_index moves along the sequence of permutations.
  const data::Dataset later = data::random_pixels(data::first(set, 100), 5, 100);
  for (std::int64_t i = 0; i < 100; ++i) CHECK(moves(set, later, i) == moves(set, random, 100 + i));
  CHECK_THROWS_AS(data::random_pixels(set, 5, -1), Error);
}

TEST_CASE("random pixels: every pixel is equally likely at every place") {
  const data::Dataset set = marked(6400, 4, 4, 1);
  const data::Dataset random = data::random_pixels(set, 1);
  std::vector<std::vector<double>> counts(16, std::vector<double>(16));
  for (std::int64_t i = 0; i < 6400; ++i) {
    const std::vector<std::size_t> order = moves(set, random, i);
    for (std::size_t p = 0; p < 16; ++p) ++counts[p][order[p]];
  }
  double chi_square = 0;
  for (const auto& row : counts) {
    for (const double count : row) chi_square += std::pow(count - 400, 2) / 400;
  }
  CHECK(chi_square < 295);  // 99.9 % point with 15 * 15 degrees of freedom
  CHECK(chi_square > 163);  // 0.1 % point
}

TEST_CASE("pixel statistics are those of the pixels in [0, 1]") {
  data::Dataset set;
  set.name = "by hand";
  set.images = Tensor::from<std::uint8_t>({0, 255, 51, 0, 255, 51, 255, 255, 102, 255, 255, 0},
                                          {2, 1, 2, 3});
  set.labels = Tensor::from<std::int32_t>({0, 1}, {2});
  set.classes = 2;
  const data::PixelStatistics bytes = data::pixel_statistics(set);
  const double mean2 = (0.2 + 0.2 + 0.4 + 0) / 4;
  const double variance2 = (0.04 + 0.04 + 0.16) / 4 - mean2 * mean2;
  REQUIRE(bytes.mean.size() == 3);
  CHECK(bytes.mean[0] == Approx(0.5).epsilon(1e-14));
  CHECK(bytes.mean[1] == Approx(1).epsilon(1e-14));
  CHECK(bytes.mean[2] == Approx(mean2).epsilon(1e-14));
  CHECK(bytes.deviation[0] == Approx(0.5).epsilon(1e-14));
  CHECK(bytes.deviation[1] == 0);
  CHECK(bytes.deviation[2] == Approx(std::sqrt(variance2)).epsilon(1e-14));

  data::Dataset floats = set;
  std::vector<float> values = set.images.values<float>();
  for (float& value : values) value /= 255;
  floats.images = Tensor::from(values, set.images.shape());
  const data::PixelStatistics same = data::pixel_statistics(floats);
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(same.mean[c] == Approx(bytes.mean[c]).epsilon(1e-6));
    CHECK(same.deviation[c] == Approx(bytes.deviation[c]).margin(1e-6));
  }
}

TEST_CASE("gaussian pixels: independent normal numbers with the given moments") {
  const data::Dataset set = marked(300, 15, 15, 3);
  const data::PixelStatistics statistics{{0.1, 0.5, -2}, {0.2, 1, 0.01}};
  const data::Dataset noise = data::gaussian_pixels(set, statistics, 9);
  CHECK(noise.images.dtype() == DType::float32);
  CHECK(noise.images.shape() == set.images.shape());
  CHECK(labels_of(noise) == labels_of(set));
  const std::vector<float> x = noise.images.values<float>();
  const double n = 300 * 225;
  for (std::size_t c = 0; c < 3; ++c) {
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, inside = 0, beside = 0;
    for (std::size_t i = c; i < x.size(); i += 3) {
      const double z = (double(x[i]) - statistics.mean[c]) / statistics.deviation[c];
      m1 += z / n;
      m2 += z * z / n;
      m3 += z * z * z / n;
      m4 += z * z * z * z / n;
      inside += std::abs(z) < 1 ? 1 / n : 0;
      if (i + 3 < x.size()) {
        beside += z * (double(x[i + 3]) - statistics.mean[c]) / statistics.deviation[c] / n;
      }
    }
    const double unit = 4 / std::sqrt(n);  // four standard errors of a unit-variance mean
    CHECK(std::abs(m1) < unit);
    CHECK(std::abs(m2 - 1) < unit * std::sqrt(2));
    CHECK(std::abs(m3) < unit * std::sqrt(15));
    CHECK(std::abs(m4 - 3) < unit * std::sqrt(96));
    CHECK(std::abs(inside - 0.682689) < unit * 0.4655);
    CHECK(std::abs(beside) < unit);
  }
  check_thread_count([&] { return data::gaussian_pixels(set, statistics, 9); });
  CHECK(same_images(data::gaussian_pixels(data::first(set, 10), statistics, 9),
                    data::first(noise, 10)));
  const data::Dataset later = data::gaussian_pixels(data::first(set, 10), statistics, 9, 300);
  CHECK(!same_images(later, data::first(noise, 10)));
  CHECK_THROWS_AS(data::gaussian_pixels(set, {{1}, {1}}, 9), Error);
}

TEST_CASE("center crop: offset (h - size) / 2") {
  const data::Dataset set = marked(3, 7, 8, 3);
  const data::Dataset cropped = data::center_crop(set, 4);
  CHECK(cropped.images.shape() == Shape{3, 4, 4, 3});
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::vector<std::string> before = pixels_of(set, i), after = pixels_of(cropped, i);
    for (std::size_t h = 0; h < 4; ++h) {
      for (std::size_t w = 0; w < 4; ++w) {
        CHECK(after[h * 4 + w] == before[(h + 1) * 8 + (w + 2)]);  // (7 - 4) / 2, (8 - 4) / 2
      }
    }
  }
  // The paper's: rows and columns 2 to 29 of 32.
  const data::Dataset cifar_like = marked(1, 32, 32, 3);
  CHECK(pixels_of(data::center_crop(cifar_like, 28), 0)[0] == pixels_of(cifar_like, 0)[2 * 32 + 2]);
  CHECK_THROWS_AS(data::center_crop(set, 8), Error);
  CHECK_THROWS_AS(data::center_crop(set, 0), Error);
}

TEST_CASE("corruptions are known by name and parameters") {
  namespace corruption = data::corruption;
  for (const data::Corruption& c :
       {corruption::none(), corruption::partial_labels(0.2), corruption::random_labels(),
        corruption::shuffled_pixels(), corruption::random_pixels(), corruption::gaussian(),
        corruption::permuted_labels(), corruption::wrong_labels(0.3), corruption::pair_flips(0.4),
        corruption::shuffled_values(), corruption::random_values(),
        corruption::replaced_images(0.5), corruption::label_transitions({{0.5, 0.5}, {0, 1}})}) {
    INFO(c.name);
    const data::Corruption again = corruption::named(c.name, c.parameters);
    CHECK(again == c);
    CHECK(static_cast<bool>(again.apply) == static_cast<bool>(c.apply));
    CHECK(again.changes_inputs == c.changes_inputs);
  }
  CHECK(corruption::none().name == "true-labels");
  CHECK(corruption::partial_labels(0.2).label() == "p=0.2");
  CHECK(corruption::wrong_labels(0.3).label() == "wrong-labels-p=0.3");
  CHECK_FALSE(corruption::wrong_labels(0.3) == corruption::wrong_labels(0.4));
  const data::TrainTest clean{marked(6, 4, 4, 1), marked(2, 4, 4, 1)};
  const auto refused = [](const std::function<void()>& f) {
    return message_of(f, ErrorKind::usage);
  };
  CHECK_THAT(refused([&] { data::corrupt(clean, corruption::named("noise")); }),
             Contains("noise has no function"));
  CHECK_THAT(refused([] { corruption::named("pair-flips"); }), Contains("probability is missing"));
  CHECK_THAT(refused([] {
               corruption::named("gaussian", {{"share", {1}}});
             }),
             Contains("does not have"));
  CHECK_THAT(refused([] { corruption::partial_labels(1.5); }), Contains("1.5"));
  CHECK_THAT(refused([] {
               corruption::label_transitions({{1, 0}, {0.5, 0.6}});
             }),
             Contains("sum to 1.1"));
  CHECK_THAT(refused([&] {
               data::corrupt(clean, corruption::label_transitions({{1, 0}, {0, 1}}));
             }),
             Contains("4 numbers"));
  CHECK_THAT(refused([&] {
               data::corrupt(clean, {.name = "half", .apply = [](const data::TrainTest& d, auto) {
                                       return data::TrainTest{data::first(d.train, 3), d.test};
                                     }});
             }),
             Contains("made 3 and 2 images of 6 and 2"));
}

TEST_CASE("further corruptions of labels keep what they promise") {
  namespace corruption = data::corruption;
  const std::int64_t n = 6000, classes = 10;
  const data::TrainTest clean{marked(n, 2, 2, 1), marked(50, 2, 2, 1)};
  const std::vector<std::int32_t> before = labels_of(clean.train);
  const auto with = [&](const data::Corruption& c, std::uint64_t seed = 3) {
    const data::TrainTest result = data::corrupt(clean, c, {.seed = seed});
    CHECK(labels_of(result.test) == labels_of(clean.test));
    CHECK(result.train.true_labels.values<std::int32_t>() == before);
    CHECK(same_images(result.train, clean.train));
    CHECK(labels_of(data::corrupt(clean, c, {.seed = seed}).train) == labels_of(result.train));
    return labels_of(result.train);
  };
  const auto changed = [&](const std::vector<std::int32_t>& after) {
    std::int64_t count = 0;
    for (std::size_t i = 0; i < after.size(); ++i) count += after[i] != before[i];
    return double(count);
  };
  const auto near_binomial = [&](double count, double trials, double p) {
    CHECK(std::abs(count - trials * p) <= 4 * std::sqrt(trials * p * (1 - p)));
  };

  const auto permuted = with(corruption::permuted_labels());
  auto a = before, b = permuted;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  CHECK(a == b);
  near_binomial(changed(permuted), n, 1 - 1.0 / double(classes));
  CHECK(with(corruption::permuted_labels(), 4) != permuted);

  const auto wrong = with(corruption::wrong_labels());
  CHECK(changed(wrong) == double(n));
  std::vector<double> shifts(classes);
  for (std::size_t i = 0; i < wrong.size(); ++i)
    ++shifts[std::size_t((wrong[i] - before[i] + classes) % classes)];
  for (std::size_t shift = 1; shift < shifts.size(); ++shift)
    near_binomial(shifts[shift], n, 1.0 / double(classes - 1));
  near_binomial(changed(with(corruption::wrong_labels(0.3))), n, 0.3);

  const auto flips = with(corruption::pair_flips(0.4));
  near_binomial(changed(flips), n, 0.4);
  for (std::size_t i = 0; i < flips.size(); ++i)
    REQUIRE((flips[i] == before[i] || flips[i] == (before[i] + 1) % classes));

  // Class 0 stays, class 1 becomes 2 or 3, all others become 0.
  std::vector<std::vector<double>> matrix(classes, std::vector<double>(classes, 0));
  for (auto& row : matrix) row[0] = 1;
  matrix[1] = {0, 0, 0.25, 0.75, 0, 0, 0, 0, 0, 0};
  const auto moved = with(corruption::label_transitions(matrix));
  double ones = 0, twos = 0;
  for (std::size_t i = 0; i < moved.size(); ++i) {
    if (before[i] != 1) {
      REQUIRE(moved[i] == 0);
      continue;
    }
    REQUIRE((moved[i] == 2 || moved[i] == 3));
    ++ones;
    twos += moved[i] == 2;
  }
  near_binomial(twos, ones, 0.25);
}

TEST_CASE("further corruptions of images keep what they promise") {
  namespace corruption = data::corruption;
  const data::TrainTest clean{marked(60, 5, 4, 3), marked(20, 5, 4, 3)};
  const auto values_of = [](const data::Dataset& set, std::int64_t image) {
    return set.images.slice_items(image, 1).values<float>();
  };
  const auto sorted = [](std::vector<float> values) {
    std::sort(values.begin(), values.end());
    return values;
  };
  for (const bool shared : {true, false}) {
    const data::TrainTest result = data::corrupt(
        clean, shared ? corruption::shuffled_values() : corruption::random_values(), {.seed = 5});
    CHECK(result.train.images.shape() == clean.train.images.shape());
    // Channels no longer move together, but nothing is lost.
    for (std::int64_t i = 0; i < 20; ++i) {
      REQUIRE(sorted(values_of(result.train, i)) == sorted(values_of(clean.train, i)));
      REQUIRE(sorted(values_of(result.test, i)) == sorted(values_of(clean.test, i)));
    }
    CHECK(labels_of(result.train) == labels_of(clean.train));
  }
  const double share = 0.5;
  const data::TrainTest some =
      data::corrupt(clean, corruption::replaced_images(share), {.seed = 5});
  const data::TrainTest all = data::corrupt(clean, corruption::gaussian(), {.seed = 5});
  int replaced = 0;
  for (std::int64_t i = 0; i < 60; ++i) {
    std::vector<float> stored = values_of(clean.train, i);
    for (float& value : stored) value *= float(1.0 / 255);
    const std::vector<float> now = values_of(some.train, i);
    const bool noise = now == values_of(all.train, i);
    replaced += noise;
    if (!noise) REQUIRE(now == stored);
  }
  CHECK(std::abs(replaced - 30) <= 4 * std::sqrt(60 * 0.25));
}

TEST_CASE("corrupt: what happens to which split") {
  namespace corruption = data::corruption;
  using data::Corruption;
  const data::TrainTest clean{marked(120, 9, 9, 3), marked(40, 9, 9, 3)};
  const auto with = [&](const Corruption& corruption, bool test_labels = false) {
    return data::corrupt(clean, corruption,
                         {.seed = 2, .crop = 7, .corrupt_test_labels = test_labels});
  };
  const data::TrainTest cropped = with(corruption::none());
  CHECK(cropped.train.images.shape() == Shape{120, 7, 7, 3});
  CHECK(cropped.test.images.shape() == Shape{40, 7, 7, 3});
  CHECK(data::corrupt(clean, {}).train.images.shares_storage(clean.train.images));

  for (const Corruption& c : {corruption::partial_labels(0.5), corruption::random_labels()}) {
    const data::TrainTest result = with(c);
    CHECK(same_images(result.train, cropped.train));
    CHECK(labels_of(result.train) != labels_of(clean.train));
    CHECK(labels_of(result.test) == labels_of(clean.test));
    const data::TrainTest both = with(c, true);
    CHECK(labels_of(both.train) == labels_of(result.train));
    CHECK(labels_of(both.test) != labels_of(clean.test));
    // The test labels have draws of their own.
    const auto train = labels_of(both.train), test = labels_of(both.test);
    CHECK(std::vector<std::int32_t>(train.begin(), train.begin() + 40) != test);
  }
  const auto wrong = [&](const data::TrainTest& result) {
    const auto before = labels_of(clean.train), after = labels_of(result.train);
    int count = 0;
    for (std::size_t i = 0; i < before.size(); ++i) count += before[i] != after[i];
    return count;
  };
  CHECK(wrong(with(corruption::random_labels())) > wrong(with(corruption::partial_labels(0.5))));

  // After the crop: the shuffle is one of 49 places, the same for both splits.
  const data::TrainTest shuffled = with(corruption::shuffled_pixels());
  CHECK(moves(cropped.train, shuffled.train, 0) == moves(cropped.test, shuffled.test, 39));
  const data::TrainTest random = with(corruption::random_pixels());
  std::set<std::vector<std::size_t>> orders;
  for (std::int64_t i = 0; i < 120; ++i) orders.insert(moves(cropped.train, random.train, i));
  for (std::int64_t i = 0; i < 40; ++i) orders.insert(moves(cropped.test, random.test, i));
  CHECK(orders.size() == 160);

  const data::TrainTest noise = with(corruption::gaussian());
  const data::PixelStatistics wanted = data::pixel_statistics(cropped.train);
  const data::PixelStatistics found = data::pixel_statistics(noise.test);
  for (std::size_t c = 0; c < 3; ++c) {
    const double unit = 4 * wanted.deviation[c] / std::sqrt(40 * 49.0);
    CHECK(std::abs(found.mean[c] - wanted.mean[c]) < unit);
    CHECK(std::abs(found.deviation[c] - wanted.deviation[c]) < unit);
  }
  CHECK(!same_images(data::first(noise.train, 40), noise.test));
  for (const auto& result : {shuffled, random, noise}) {
    CHECK(labels_of(result.train) == labels_of(clean.train));
    CHECK(labels_of(result.test) == labels_of(clean.test));
  }
}

TEST_CASE("corruptions never change: results are found by their configuration") {
  namespace corruption = data::corruption;
  const auto hash = [](const data::Dataset& set) {  // FNV-1a of images and labels
    std::uint64_t value = 0xcbf29ce484222325u;
    for (const Tensor& part : {set.images, set.labels}) {
      for (std::size_t i = 0; i < part.bytes(); ++i)
        value = (value ^ std::uint64_t(part.raw()[i])) * 0x100000001b3u;
    }
    return value;
  };
  const data::TrainTest clean{data::synthetic(data::Split::train, {.size = 70}),
                              data::synthetic(data::Split::test, {.size = 5})};
  // As they were computed by the library's first version. Normal pixels hang on the C library.
  const std::tuple<data::Corruption, std::uint64_t, std::uint64_t> expected[] = {
      {corruption::none(), 0x3c3d9984621e9966, 0xa1b8d8d6289c97f3},
      {corruption::partial_labels(0.5), 0x98a42bc970f2523d, 0x38eb457736cb6384},
      {corruption::random_labels(), 0x5b7480031b271cb5, 0xb39bb3857de2803c},
      {corruption::shuffled_pixels(), 0xff68337b228cde66, 0x8b886531a0bd9dbd},
      {corruption::random_pixels(), 0x7a7ef7275e914708, 0x3c7a00050a440c3f}};
  for (const auto& [setting, train, test] : expected) {
    const data::TrainTest result =
        data::corrupt(clean, setting, {.seed = 2, .crop = 27, .corrupt_test_labels = true});
    INFO(setting.name);
    CHECK(hash(result.train) == train);
    CHECK(hash(result.test) == test);
  }
}

TEST_CASE("one pixel cannot be permuted") {
  const data::Dataset set = marked(4, 1, 1, 3);
  CHECK_THROWS_WITH(data::shuffle_pixels(set, 1),
                    Contains("shuffle_pixels") && Contains("one pixel"));
  CHECK_THROWS_WITH(data::random_pixels(set, 1),
                    Contains("random_pixels") && Contains("one pixel"));
}
