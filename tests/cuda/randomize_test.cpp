// The six settings of the randomization tests, drawn on the device where the images are.
#include <shatter/data/randomize.h>

#include "tests/cuda/gpu.h"
#include "tests/cuda/tiny_net.h"

using namespace shatter;
using namespace shatter::test;
using data::Corruption;
namespace corruption = data::corruption;

namespace {

void check_equal(const data::Dataset& there, const data::Dataset& here) {
  CHECK(there.images.device().is_cuda());
  CHECK(there.labels.device().is_cuda());
  CHECK(there.name == here.name);
  CHECK(there.images.shape() == here.images.shape());
  REQUIRE(there.images.dtype() == here.images.dtype());
  if (here.images.dtype() == DType::uint8)
    CHECK(there.images.values<std::uint8_t>() == here.images.values<std::uint8_t>());
  else
    CHECK(there.images.values<float>() == here.images.values<float>());
  CHECK(there.labels.values<std::int32_t>() == here.labels.values<std::int32_t>());
  REQUIRE(there.true_labels.defined() == here.true_labels.defined());
  if (here.true_labels.defined())
    CHECK(there.true_labels.values<std::int32_t>() == here.true_labels.values<std::int32_t>());
}

}  // namespace

TEST_CASE("on CUDA every corruption has the host's bits") {
  if (!has_gpu()) return;
  const Device gpu = Device::cuda();
  data::TrainTest clean{data::synthetic(data::Split::train, {.size = 70}),
                        data::synthetic(data::Split::test, {.size = 5})};
  const auto compare = [&] {
    for (const Corruption& setting :
         {corruption::none(), corruption::partial_labels(0.5), corruption::random_labels(),
          corruption::shuffled_pixels(), corruption::random_pixels(), corruption::gaussian(),
          corruption::permuted_labels(), corruption::wrong_labels(0.5), corruption::pair_flips(0.5),
          corruption::shuffled_values(), corruption::random_values(),
          corruption::replaced_images(0.5)}) {
      INFO(setting.name);
      const data::CorruptionOptions options{.seed = 2, .crop = 27, .corrupt_test_labels = true};
      const data::TrainTest here = data::corrupt(clean, setting, options);
      const data::TrainTest there =
          data::corrupt({clean.train.to(gpu), clean.test.to(gpu)}, setting, options);
      check_equal(there.train, here.train);
      check_equal(there.test, here.test);
    }
  };
  compare();
  for (data::Dataset* set : {&clean.train, &clean.test})
    set->images = set->images.to(DType::float32) * (1.0 / 255);
  compare();
}

TEST_CASE("on CUDA a cell's images are corrupted where it trains") {
  if (!has_gpu()) return;
  const auto source = experiments::DataSource::synthetic(64, 30);
  CellConfig config = config_of("fp32");
  for (const Corruption& setting :
       {corruption::none(), corruption::partial_labels(1), corruption::gaussian()}) {
    config.corruption = setting;
    const data::TrainTest here = source.load(config), there = source.load(config, Device::cuda());
    check_equal(there.train, here.train);
    check_equal(there.test, here.test);
    experiments::TrainingTask a{.model = experiments::mlp(1, 16, 10, {.h = 8, .w = 8, .c = 3}),
                                .decayed = {},
                                .data = here},
        b = a;
    b.data = there;
    b.model = experiments::mlp(1, 16, 10, {.h = 8, .w = 8, .c = 3});
    experiments::CellTrainer one(config, a, {.device = Device::cuda()});
    experiments::CellTrainer two(config, b, {.device = Device::cuda()});
    CHECK(one.advance(3) == two.advance(3));
  }
}
