// ResNet-18 for 32 x 32 images (He et al., arXiv:1512.03385, with a 3 x 3 stem) on CIFAR-10, or on
// drawn images where there is none: random crops of padded images, flips, AdamW with weight decay
// on weights alone, a cosine schedule with warm-up.
//   resnet18 [images [epochs]]          SHATTER_DATA names the folder of the data sets
#include <shatter/shatter.h>
#include <cstdio>
#include <cstdlib>
using namespace shatter;

namespace {

Module conv_norm(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                 bool with_relu) {
  BatchNorm2d::Options norm = BatchNorm2d::Options::pytorch(out);
  norm.relu = with_relu;
  return Sequential(Conv2d({.in = in,
                            .out = out,
                            .kernel = kernel,
                            .stride = stride,
                            .padding = kernel / 2,
                            .bias = false}),
                    BatchNorm2d(norm));
}

Module block(std::int64_t in, std::int64_t out, std::int64_t stride) {
  Sequential body(conv_norm(in, out, 3, stride, true), conv_norm(out, out, 3, 1, false));
  if (stride == 1 && in == out) return Sequential(Residual(body), relu);
  return Sequential(Residual(body, conv_norm(in, out, 1, stride, false)), relu);
}

Sequential resnet18(std::int64_t classes) {
  Sequential model(conv_norm(3, 64, 3, 1, true));
  std::int64_t in = 64;
  for (const std::int64_t out : {64, 128, 256, 512}) {
    model.add(block(in, out, out == 64 ? 1 : 2)).add(block(out, out, 1));
    in = out;
  }
  return model.add(GlobalAvgPool2d()).add(Linear(512, classes));
}

double accuracy(Sequential& model, const data::Dataset& set) {
  const NoGrad guard;
  set_training(model, false);
  std::int64_t correct = 0;
  for (const auto& [x, y, index] :
       data::batches(set, {.size = 100, .shuffle = false, .input = {.whiten = true}}))
    correct += count_correct(model(x), y);
  set_training(model, true);
  return 100 * double(correct) / double(set.size());
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
  const data::Dataset train = first(load(data::Split::train), images);
  const data::Dataset test = first(load(data::Split::test), std::min<std::int64_t>(images, 10000));

  Sequential model = resnet18(10);
  initialize(model, {.seed = 1});
  const Summary summary = summarize(model, {1, 32, 32, 3});
  std::printf("%s: %lld parameters, %lld multiply-adds for an image\n",
              real ? "CIFAR-10" : "drawn images", (long long)summary.parameters,
              (long long)summary.multiply_adds);

  const std::int64_t batch = 32, steps = epochs * ((images + batch - 1) / batch);
  optim::AdamW optimizer(optim::decay_weights(model, 5e-2),
                         {.schedule = optim::warm_up(steps / 4, optim::cosine(1e-3, steps))});
  double loss = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    loss = 0;
    for (const auto& [x, y, index] : data::batches(
             train,
             {.size = batch,
             .epoch = epoch,
             .seed = 1,
             .input = {
                 .crop = 32, .padding = 4, .random_crop = true, .flip = true, .whiten = true}})) {
      zero_grad(model);
      const Tensor mean = cross_entropy(model(x), y);
      backward(mean);
      optimizer.step();
      loss += mean.item() * double(y.numel()) / double(images);
    }
    std::printf("epoch %d: training loss %.3f, test accuracy %.1f %%\n", epoch + 1, loss,
                accuracy(model, test));
  }
  return summary.parameters == 11173962 && loss < 2.5 ? 0 : 1;
}
