// A model of one's own on one's own arrays: regression with Huber's loss, mini-batches, Adam with a
// schedule, early stopping on held-out rows, and the model saved and loaded again.
#include <shatter/shatter.h>
#include <cstdio>
using namespace shatter;

namespace {

struct Rows {
  Tensor x, y;  // [n, 4], [n, 1]
};

// y = sin(2 a) + b c, with noise and now and then an outlier.
Rows draw(std::int64_t n, std::uint64_t seed) {
  const Tensor x = random_uniform({.seed = seed}, {n, 4}, -1, 1);
  const Tensor noise = random_normal({.seed = seed + 1}, {n, 1}, 0, 0.05);
  const Tensor outlier = random_uniform({.seed = seed + 2}, {n, 1}) < 0.02;
  const Tensor clean = sin(2 * slice(x, 1, 0, 1)) + slice(x, 1, 1, 2) * slice(x, 1, 2, 3);
  return {x, where(outlier, 5, clean + noise)};
}

Sequential make_model() {
  return Sequential(Linear(4, 64), Tanh(), Linear(64, 64), Tanh(), Linear(64, 1));
}

double error(const Sequential& model, const Rows& rows) {
  const NoGrad guard;
  return huber_loss(model(rows.x), rows.y, 0.1).item();
}

}  // namespace

int main() {
  const Rows train = draw(2000, 1), held_out = draw(500, 10);
  Sequential model = make_model();
  initialize(model, {.seed = 1});
  const std::int64_t batch = 50, steps = 60 * (2000 / batch);
  optim::Adam adam(named_parameters(model),
                   {.schedule = optim::warm_up(100, optim::cosine(5e-3, steps))});
  Sequential best = clone(model);
  double least = error(model, held_out);
  std::printf("before:   held-out loss %.4f\n", least);
  for (int epoch = 0, since = 0; epoch < 60 && since < 15; ++epoch, ++since) {
    const auto order = random_permutation({.seed = 2, .epoch = std::uint32_t(epoch)}, 2000);
    const Tensor places = Tensor::from(order, {2000});
    for (const Tensor& rows : split(places, batch)) {
      zero_grad(model);
      backward(
          huber_loss(model(index_select(train.x, 0, rows)), index_select(train.y, 0, rows), 0.1));
      adam.step();
    }
    if (const double now = error(model, held_out); now < least) {
      least = now;
      best = clone(model);
      since = 0;
    }
  }
  save_model(best, "own_model.safetensors");
  Sequential loaded = make_model();
  load_model(loaded, "own_model.safetensors");
  std::printf("training: loss %.4f, held-out loss %.4f; loaded again %.4f\n", error(best, train),
              least, error(loaded, held_out));
  return error(loaded, held_out) == least && least < 0.02 ? 0 : 1;
}
