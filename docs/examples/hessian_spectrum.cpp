// The ends of the Hessian's spectrum while a network trains, exact Hessian-vector products, and the
// gradient norms of single examples.
#include <shatter/shatter.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
using namespace shatter;

int main() {
  const data::Dataset train = data::synthetic(data::Split::train, {.size = 200});
  const auto [x, y, index] =
      data::batches(train, {.size = 200, .shuffle = false, .input = {.crop = 12, .whiten = true}})
          .at(0);
  Sequential model(Flatten(), Linear(12 * 12 * 3, 32), Tanh(), Linear(32, 10));
  initialize(model, {.seed = 1, .dtype = DType::float64});
  const Tensor inputs = x.to(DType::float64), labels = y;
  const auto loss = [&] { return cross_entropy(model(inputs), labels); };
  const std::vector<Tensor> weights = parameters(model);

  const double rate = 0.2;
  optim::Sgd sgd(named_parameters(model), {.schedule = optim::constant(rate)});
  std::printf("step   loss   largest eigenvalues      smallest   2 / rate = %.0f\n", 2 / rate);
  double first_sharpness = 0;
  for (int step = 0; step <= 200; ++step) {
    if (step % 50 == 0) {
      const auto ends = extreme_eigenvalues(loss, weights, {.count = 2, .iterations = 30});
      std::printf("%4d  %.3f   %.2f +- %.0e, %.2f   %8.3f\n", step, loss().item(), ends.largest[0],
                  ends.largest_residual[0], ends.largest[1], ends.smallest[0]);
      if (step == 0) first_sharpness = ends.largest[0];
    }
    zero_grad(model);
    backward(loss());
    sgd.step();
  }

  // The curvature along the gradient, and the same by a difference of gradients.
  const auto g = grad(loss(), weights);
  const auto hg = hessian_vector_product(loss(), weights, g);
  double squared = 0, product = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    squared += sum(square(g[i])).item();
    product += sum(g[i] * hg[i]).item();
  }
  std::printf("curvature along the gradient: %.4f\n", product / squared);

  const auto norms = example_gradient_norms(cross_entropy_each(model(inputs), labels), weights);
  std::printf("gradient norms of single examples: %.4f to %.4f; of the mean loss %.4f\n",
              *std::min_element(norms.begin(), norms.end()),
              *std::max_element(norms.begin(), norms.end()), std::sqrt(squared));
  return first_sharpness > 0 && std::isfinite(product) ? 0 : 1;
}
