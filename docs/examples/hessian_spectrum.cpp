// The ends of the Hessian's spectrum while a network trains, exact Hessian-vector products, and the
// gradient norms of single examples.
#include <shatter/shatter.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
using namespace shatter;

namespace {

double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) result += sum(a[i] * b[i]).item();
  return result;
}

}  // namespace

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
  ExtremeEigenvalues ends;
  for (int step = 0; step <= 200; ++step) {
    if (step % 50 == 0) {
      ends = extreme_eigenvalues(loss, weights, {.count = 2, .iterations = 30});
      std::printf("%4d  %.3f   %.2f +- %.0e, %.2f   %8.3f\n", step, loss().item(), ends.largest[0],
                  ends.largest_residual[0], ends.largest[1], ends.smallest[0]);
    }
    if (step == 200) break;
    zero_grad(model);
    backward(loss());
    sgd.step();
  }

  // The curvature along the gradient g: g.Hg / g.g, and by three losses along that line.
  const auto g = grad(loss(), weights);
  const auto hg = hessian_vector_product(loss(), weights, g);
  const double length = std::sqrt(dot(g, g)), curvature = dot(g, hg) / dot(g, g);
  const auto loss_at = [&](double distance) {
    const NoGrad guard;
    Sequential moved = clone(model);
    const std::vector<Tensor> w = parameters(moved);
    for (std::size_t i = 0; i < w.size(); ++i) w[i].copy_from(w[i] + distance / length * g[i]);
    return cross_entropy(moved(inputs), labels).item();
  };
  const double h = 1e-3;
  const double difference = (loss_at(h) - 2 * loss_at(0) + loss_at(-h)) / (h * h);
  std::printf("curvature along the gradient: %.6f, by differences %.6f\n", curvature, difference);

  const auto norms = example_gradient_norms(cross_entropy_each(model(inputs), labels), weights);
  std::printf("gradient norms of single examples: %.4f to %.4f; of the mean loss %.4f\n",
              *std::min_element(norms.begin(), norms.end()),
              *std::max_element(norms.begin(), norms.end()), length);
  const bool within = ends.smallest[0] <= curvature && curvature <= ends.largest[0];
  return within && std::abs(curvature - difference) < 1e-4 * std::abs(curvature) ? 0 : 1;
}
