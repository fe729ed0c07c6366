// The tape: recording, the iterative backward walk, and iterative release.
#include <shatter/core/autograd.h>

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

#include <shatter/core/checks.h>
#include <shatter/kernels/elementwise.h>

namespace shatter {
namespace {

thread_local bool recording = true;

std::uint64_t next_order() {
  static std::atomic<std::uint64_t> order{0};
  return ++order;
}

/// Every node `root` depends on, itself included, outputs before inputs.
std::vector<Node*> outputs_first(Node* root) {
  std::vector<Node*> nodes{root};
  std::unordered_set<Node*> seen{root};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const auto& input : nodes[i]->inputs) {
      if (input && seen.insert(input.get()).second) nodes.push_back(input.get());
    }
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const Node* a, const Node* b) { return a->order > b->order; });
  return nodes;
}

void check_gradient(const Node& node, const Tensor& gradient) {
  check(gradient.shape() == node.shape && gradient.dtype() == node.dtype &&
            gradient.device() == node.device,
        "backward: the output of ", node.op, " is ", name_of(node.dtype), " ", node.shape, " on ",
        node.device.name(), ", its gradient ", gradient.str(),
        gradient.defined() ? " on " + gradient.device().name() : "");
}

/// sum += term, in place where nothing else sees sum's memory.
void accumulate(Tensor& sum, Tensor term) {
  if (!sum) {
    sum = std::move(term);
    return;
  }
  if (!sum.is_unique() || !sum.is_packed()) sum = sum.clone();
  const std::int64_t columns = sum.rank() ? sum.dim(-1) : 1;
  const std::int64_t rows = columns ? sum.numel() / columns : 0;
  ops::run_mixed("backward", sum, [&]<class T>(auto& context) {
    kernels::add_rows<T>(context, rows, columns, term.data<T>(), term.pitch(), sum.data<T>(),
                         columns);
  });
}

struct Walk {
  std::unordered_map<const Node*, Tensor> gradients{};
  bool release = false;  ///< free each node's closure once it has run

  void run(const std::vector<Node*>& nodes) {
    const NoGrad guard;
    for (Node* node : nodes) {
      const auto found = gradients.find(node);
      if (node->leaf || found == gradients.end()) continue;
      check(
          !node->released,
          "backward: this tape was already used and freed; compute the loss again, or use grad()");
      const Tensor dy = std::move(found->second);
      gradients.erase(found);
      step(*node, dy);
      if (!release) continue;
      node->released = true;
      node->backward = nullptr;
    }
  }

  void step(Node& node, const Tensor& dy) {
    Needed needed;
    for (const auto& input : node.inputs) needed.push_back(input != nullptr);
    std::vector<Tensor> results = node.backward(dy, needed);
    check(results.size() == node.inputs.size(), "backward: ", node.op, " returned ", results.size(),
          " gradients for ", node.inputs.size(), " inputs");
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (!needed[i]) continue;
      check(results[i].defined(), "backward: ", node.op, " returned no gradient for input ", i);
      check_gradient(*node.inputs[i], results[i]);
      accumulate(gradients[node.inputs[i].get()], std::move(results[i]));
    }
  }
};

Tensor ones_like_scalar(const Tensor& loss, const char* caller) {
  check(loss.numel() == 1, caller, ": the loss is ", loss.str(), ", expected one element");
  return Tensor::full(loss.shape(), 1, loss.dtype(), loss.device());
}

}  // namespace

Node::~Node() {
  // A long chain is freed by one loop: the outermost destructor takes over the inputs of the
  // others.
  thread_local std::vector<std::shared_ptr<Node>>* pending = nullptr;
  if (pending) {
    for (auto& input : inputs) pending->push_back(std::move(input));
    return;
  }
  std::vector<std::shared_ptr<Node>> queue = std::move(inputs);
  pending = &queue;
  while (!queue.empty()) {
    const std::shared_ptr<Node> last = std::move(queue.back());
    queue.pop_back();
  }
  pending = nullptr;
}

bool grad_enabled() {
  return recording;
}
NoGrad::NoGrad() : previous_(recording) {
  recording = false;
}
NoGrad::~NoGrad() {
  recording = previous_;
}

std::shared_ptr<Node> make_leaf(const Tensor& tensor) {
  auto node = std::make_shared<Node>();
  node->order = next_order();
  node->shape = tensor.shape();
  node->dtype = tensor.dtype();
  node->device = tensor.device();
  return node;
}

Tensor record(const char* op, Tensor y, std::vector<Tensor> inputs, Backward backward) {
  if (!recording) return y;
  const bool any = std::any_of(inputs.begin(), inputs.end(),
                               [](const Tensor& input) { return input.requires_grad(); });
  if (!any) return y;
  auto node = make_leaf(y);
  node->leaf = false;
  node->op = op;
  for (const Tensor& input : inputs) {
    node->inputs.push_back(input.requires_grad() ? input.node() : nullptr);
  }
  node->backward = std::move(backward);
  Tensor result = y.detach();
  result.set_node(std::move(node));
  return result;
}

void backward(const Tensor& loss) {
  backward(loss, ones_like_scalar(loss, "backward"));
}

void backward(const Tensor& y, const Tensor& dy) {
  check(y.requires_grad(), "backward: ", y.str(), " depends on no tensor that requires a gradient");
  check_gradient(*y.node(), dy);
  const std::vector<Node*> nodes = outputs_first(y.node().get());
  Walk walk{.release = true};
  walk.gradients[y.node().get()] = dy.detach();
  walk.run(nodes);
  for (Node* node : nodes) {
    if (!node->leaf) continue;
    const auto found = walk.gradients.find(node);
    if (found == walk.gradients.end()) continue;
    Tensor gradient = std::move(found->second);
    const bool first = !node->gradient;
    if (!gradient.is_packed() || (first && !gradient.is_unique())) gradient = gradient.clone();
    accumulate(node->gradient, std::move(gradient));
  }
}

std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& inputs) {
  check(loss.requires_grad(), "grad: the loss depends on no tensor that requires a gradient");
  for (const Tensor& input : inputs) {
    check(input.requires_grad(), "grad: the input ", input.str(), " does not require a gradient");
  }
  Walk walk;
  walk.gradients[loss.node().get()] = ones_like_scalar(loss, "grad");
  // An input computed by an op must keep its gradient, so it is noted as the walk passes it.
  std::unordered_map<const Node*, Tensor> wanted;
  for (const Tensor& input : inputs) wanted[input.node().get()] = {};
  for (Node* node : outputs_first(loss.node().get())) {
    const auto target = wanted.find(node);
    const auto found = walk.gradients.find(node);
    if (target != wanted.end() && found != walk.gradients.end()) target->second = found->second;
    walk.run({node});
  }
  std::vector<Tensor> gradients;
  for (const Tensor& input : inputs) {
    const Tensor& gradient = wanted[input.node().get()];
    gradients.push_back(gradient ? gradient.clone()
                                 : Tensor::zeros(input.shape(), input.dtype(), input.device()));
  }
  return gradients;
}

}  // namespace shatter
