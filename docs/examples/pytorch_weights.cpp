// Weights out to PyTorch, and other weights from PyTorch: model.safetensors has PyTorch's names and
// layouts, so that pytorch_weights.py beside this file loads it with strict=True. A convolutional
// network with batch norm and a Flatten, whose order must be PyTorch's.
//   pytorch_weights                  writes model.safetensors and input.npy, logits.npy
//   pytorch_weights state.safetensors   loads PyTorch's state and compares with logits.npy
#include <shatter/shatter.h>
#include <cstdio>
using namespace shatter;

int main(int argc, char** argv) {
  Sequential model(Conv2d({.in = 3, .out = 8, .padding = 1}),
                   BatchNorm2d(BatchNorm2d::Options::pytorch(8)), relu, MaxPool2d({}),
                   Flatten(FlattenOrder::chw), Linear(8 * 4 * 4, 10));
  if (argc > 1) {
    const ImportReport report = load_model(model, argv[1], {.flatten = FlattenOrder::chw});
    set_training(model, false);
    const NoGrad guard;
    const Tensor logits = model(load_npy("input.npy")), wanted = load_npy("logits.npy");
    const double difference = max(abs(logits - wanted)).item();
    std::printf("PyTorch's state %s; largest difference of the logits %.1e\n",
                report.complete() ? "fits" : "does not fit", difference);
    return difference < 1e-4 ? 0 : 1;
  }
  initialize(model, {.seed = 1});
  const Tensor x = random_normal({.seed = 2}, {4, 8, 8, 3});
  model(x);  // one step of the running averages
  set_training(model, false);
  const NoGrad guard;
  save_model(model, "model.safetensors");
  save_npy("input.npy", x);
  save_npy("logits.npy", model(x));
  std::printf("wrote model.safetensors, input.npy [n, h, w, c] and logits.npy\n");
  return 0;
}
