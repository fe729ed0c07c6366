// What a study of memorization measures, on a network on its way to fitting labels of which 20 %
// are drawn anew: losses and margins example by example, the confusion matrix, spectral norms and
// sharpness. Losses and margins go into .npy files for NumPy.
#include <shatter/shatter.h>
#include <algorithm>
#include <cstdio>
#include <iostream>
using namespace shatter;

namespace {

// The label's logit less the largest other one.
Tensor margins(const Tensor& logits, const Tensor& labels) {
  const Tensor own = one_hot(labels, logits.dim(1)) > 0;
  const Tensor others = max(where(own, -1e9, logits), 1);
  return squeeze(gather(logits, 1, unsqueeze(labels, 1)), 1) - others;
}

Tensor confusion(const Tensor& logits, const Tensor& labels) {  // [true, predicted]
  const std::int64_t classes = logits.dim(1);
  return matmul(one_hot(labels, classes), one_hot(argmax(logits), classes), true);
}

// The mean loss after every weight w was multiplied by 1 + sigma e, e normal; over five draws.
double loss_under_noise(const Sequential& model, const Tensor& x, const Tensor& y, double sigma) {
  double sum = 0;
  for (std::uint64_t draw = 1; draw <= 5; ++draw) {
    Sequential moved = clone(model);
    std::uint64_t place = 0;
    for (const Tensor& w : parameters(moved))
      w.copy_from(w.detach() * random_normal({.seed = 100 * draw + place++}, w.shape(), 1, sigma));
    sum += cross_entropy(moved(x), y).item() / 5;
  }
  return sum;
}

}  // namespace

int main() {
  const data::Dataset clean = data::synthetic(data::Split::train, {.size = 1000});
  const data::Dataset train = data::randomize_labels(clean, {.probability = 0.2, .seed = 7});
  Sequential model(Flatten(), Linear(32 * 32 * 3, 256), relu, Linear(256, 10));
  initialize(model, {.seed = 1});
  optim::Sgd sgd(named_parameters(model), {.schedule = optim::constant(0.02), .momentum = 0.9});
  for (int epoch = 0; epoch < 12; ++epoch)
    for (const auto& [x, y, index] :
         data::batches(train, {.size = 50, .epoch = epoch, .seed = 1, .input = {.whiten = true}})) {
      zero_grad(model);
      backward(cross_entropy(model(x), y));
      sgd.step();
    }

  const NoGrad guard;
  const auto [x, y, index] =
      data::batches(train, {.size = train.size(), .shuffle = false, .input = {.whiten = true}})
          .at(0);
  const Tensor logits = model(x);
  const Tensor losses = cross_entropy_each(logits, y), margin = margins(logits, y);
  save_npy("losses.npy", losses);
  save_npy("margins.npy", margin);

  const Tensor wrong = not_equal(train.labels, train.true_labels);
  const Tensor is_wrong = wrong.to(DType::float32), is_clean = 1 - is_wrong;
  const double of_wrong = (sum(margin * is_wrong) / sum(is_wrong)).item();
  const double of_clean = (sum(margin * is_clean) / sum(is_clean)).item();
  std::printf("training accuracy %.1f %%, loss %.4f\n",
              100.0 * double(count_correct(logits, y)) / 1000, mean(losses).item());
  std::printf("mean margin: %.2f of true labels, %.2f of the %lld wrong ones\n", of_clean, of_wrong,
              (long long)sum(wrong).item());
  std::cout << "confusion matrix\n" << confusion(logits, y).to(DType::int32) << "\n";
  for (const NamedTensor& named : named_parameters(model))
    if (named.tensor.rank() == 2)
      std::printf("%s: spectral norm %.2f, Frobenius norm %.2f\n", named.name.c_str(),
                  svd(named.tensor).s[0].item(), norm(named.tensor).item());
  const double sharp = loss_under_noise(model, x, y, 0.3);
  std::printf("loss under 30 %% weight noise: %.4f\n", sharp);
  return of_wrong < of_clean && sharp > mean(losses).item() ? 0 : 1;
}
