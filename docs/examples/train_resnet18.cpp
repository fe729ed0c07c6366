// ResNet-18 by the training library on CIFAR-10, or on drawn images where there is none: random
// crops of padded images, flips, AdamW with weight decay on weights alone, a cosine schedule with
// warm-up, a metric of one's own, and a state that an interrupted run goes on from.
//   train_resnet18 [images [epochs]]          SHATTER_DATA names the folder of the data sets
#include <shatter/experiments/models/models.h>
#include <shatter/experiments/train/trainer.h>
#include <shatter/shatter.h>
#include <cstdio>
#include <cstdlib>
using namespace shatter;
using namespace shatter::experiments;

namespace {

// How far the true class is ahead of the best other one, on average.
double margin(const Tensor& logits, const Tensor& y) {
  const Tensor own = one_hot(y, 10).to(DType::float32);
  return mean(sum(logits * own, 1) - max(where(own > 0, -1e9, logits), 1)).item();
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t images = argc > 1 ? std::atoll(argv[1]) : 96;
  const int epochs = argc > 2 ? std::atoi(argv[2]) : 2;
  const auto folder = data::data_folder();
  const bool real = std::filesystem::exists(folder / "cifar-10-batches-bin");
  const auto load = [&](data::Split split) {
    return real ? data::cifar10(folder, split) : data::synthetic(split);
  };
  const data::TrainTest data{first(load(data::Split::train), images),
                             first(load(data::Split::test), std::min<std::int64_t>(images, 10000))};

  Sequential model = resnet18(10);
  const Summary summary = summarize(model, {1, 32, 32, 3});
  std::printf("%s: %lld parameters, %lld multiply-adds for an image\n",
              real ? "CIFAR-10" : "drawn images", (long long)summary.parameters,
              (long long)summary.multiply_adds);

  const std::int64_t batch = 32, steps = epochs * ((images + batch - 1) / batch);
  const optim::Schedule rate = optim::warm_up(steps / 4, optim::cosine(1e-3, steps));
  Trainer trainer(
      {.model = model,
       .optimizer = optim::make<optim::AdamW>({.schedule = rate}, 5e-2),
       .input = {.crop = 32, .padding = 4, .random_crop = true, .flip = true, .whiten = true},
       .epochs = epochs,
       .batch = batch,
       .metrics = {test_metric("margin", margin)},
       .device = Device::best()},
      data);
  trainer.on_epoch([](Trainer&, const EpochRecord& epoch) {
    std::printf("epoch %lld: training loss %.3f, test accuracy %.1f %%, margin %.2f\n",
                (long long)epoch.epoch, epoch.loss, 100 * epoch.test->accuracy(),
                epoch.metrics[0].second);
  });
  trainer.checkpoint("train_resnet18.safetensors");
  trainer.run();
  return summary.parameters == 11173962 && trainer.epoch() == epochs ? 0 : 1;
}
