// Rademacher complexity: signs, known suprema, and networks on random signs.
#include <shatter/experiments/paper/train_to_end.h>
#include <shatter/experiments/theory/rademacher.h>

#include <cmath>
#include <numeric>

#include <shatter/core/random.h>
#include <shatter/experiments/models/models.h>

#include "tests/support/catch.h"
#include "tests/support/files.h"

using namespace shatter;
using namespace shatter::experiments;

namespace {

Matrix normal_matrix(std::int64_t rows, std::int64_t columns) {
  Matrix m(rows, columns);
  m.values = random_normal({1, Stream::user, 0}, Shape{rows, columns}, 0, 1, DType::float64)
                 .values<double>();
  return m;
}

CellConfig small_cell(std::int64_t images) {
  CellConfig config;
  config.model = "mlp";
  config.dataset = {.name = "random signs", .checksums = {}, .train_size = images, .test_size = 1};
  config.epochs = 4;
  config.batch = 8;
  config.evaluate_every = 4;
  return config;
}

TrainingTask small_task(std::int64_t images) {
  const data::Dataset train =
      signed_images(data::synthetic(data::Split::train, {.size = images}), random_signs(3, images));
  return {
      .model = mlp(1, 8, 2), .decayed = {}, .data = {train, data::first(train, 1)}, .metrics = {}};
}

}  // namespace

TEST_CASE("Signs are fair, and a function of the seed") {
  const std::vector<int> signs = random_signs(7, 10000);
  const int sum = std::accumulate(signs.begin(), signs.end(), 0);
  CHECK(std::abs(sum) < 400);  // four deviations
  CHECK(random_signs(7, 10) == std::vector<int>(signs.begin(), signs.begin() + 10));
  CHECK(random_signs(8, 10000) != signs);
  for (const int sign : signs) REQUIRE(std::abs(sign) == 1);
}

TEST_CASE("Gradient ascent finds the known suprema, and their means keep below the bounds") {
  const Matrix x = normal_matrix(60, 9), k = gaussian_matrix(x, x, 0.1);
  double linear = 0, kernel = 0;
  constexpr int draws = 200;
  for (int draw = 0; draw < draws; ++draw) {
    const std::vector<int> signs = random_signs(std::uint64_t(draw), 60);
    const Supremum a = linear_ball(x, signs, 2, 60), b = kernel_ball(k, signs, 3, 20);
    CHECK(a.found <= a.exact * (1 + 1e-12));
    CHECK(a.found > 0.999 * a.exact);
    CHECK(b.found <= b.exact * (1 + 1e-12));
    CHECK(b.found > 0.999 * b.exact);
    linear += a.exact / draws;
    kernel += b.exact / draws;
  }
  // Two signs by hand: |sum sigma x| = sqrt(3^2 + 4^2) for rows (3, 0), (0, 4).
  Matrix two(2, 2);
  two.values = {3, 0, 0, 4};
  CHECK(std::abs(linear_ball(two, {1, -1}, 1, 60).exact - 2.5) < 1e-15);
  CHECK(std::abs(linear_ball_bound(two, 1) - 2.5) < 1e-15);
  CHECK(std::abs(kernel_ball_bound(k, 3) - 3 * std::sqrt(60.0) / 60) < 1e-12);
  CHECK(linear < linear_ball_bound(x, 2));
  CHECK(linear > 0.9 * linear_ball_bound(x, 2));
  CHECK(kernel < kernel_ball_bound(k, 3));
}

TEST_CASE("Training on signs goes on where it was stopped, to the same result") {
  MeasurementContext context;
  const TemporaryFolder folder;
  context.folder = folder / "work";
  std::filesystem::create_directories(context.folder);
  const auto whole = train_to_end(small_cell(48), small_task(48), context);
  REQUIRE(whole);
  CHECK(whole->train.size == 48);
  // Stopped after a few looks, then after a few more; each time it goes on from the saved state.
  context.folder = folder / "parts";
  std::filesystem::create_directories(context.folder);
  int looks = 0, stops = 0;
  std::optional<RunResult> result;
  while (!result) {
    context.stop = [&looks, allowed = 2 + stops] { return ++looks > allowed; };
    looks = 0;
    result = train_to_end(small_cell(48), small_task(48), context);
    stops += !result;
    REQUIRE(stops < 100);
  }
  CHECK(stops > 1);
  CHECK(result->train.correct == whole->train.correct);
  CHECK(result->train.loss == whole->train.loss);
  CHECK(result->last_loss == whole->last_loss);
  // So does a state without its training's description, as earlier versions kept it.
  context.folder = folder / "earlier";
  context.stop = {};
  std::filesystem::create_directories(context.folder);
  CellTrainer earlier(small_cell(48), small_task(48));
  earlier.advance(2);
  const std::string path = (context.folder / "state.safetensors").string();
  save_safetensors(path, earlier.state());
  CHECK(train_to_end(small_cell(48), small_task(48), context)->last_loss == whole->last_loss);
  NamedTensors foreign = earlier.state();
  foreign.metadata["epoch"] = "-1";
  save_safetensors(path, foreign);
  std::filesystem::remove(context.folder / "training.safetensors");
  CHECK_THROWS_AS(train_to_end(small_cell(48), small_task(48), context), Error);
}
