// The tape: recording, the iterative backward walk, and iterative release.
#include <shatter/core/autograd.h>

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>

#include <shatter/core/checks.h>
#include <shatter/core/ops.h>
#include <shatter/kernels/elementwise.h>

namespace shatter {
namespace {

thread_local bool recording = true;
thread_local const char* running = nullptr;  // the op whose Backward runs

std::uint64_t next_order() {
  static std::atomic<std::uint64_t> order{0};
  return ++order;
}

/// Every node `root` depends on, itself included, outputs before inputs. What the nodes of `ends`
/// depend on is left out.
std::vector<Node*> outputs_first(Node* root, const std::unordered_set<const Node*>& ends = {}) {
  std::vector<Node*> nodes{root};
  std::unordered_set<Node*> seen{root};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (ends.contains(nodes[i])) continue;
    for (const auto& input : nodes[i]->inputs) {
      if (input && seen.insert(input.get()).second) nodes.push_back(input.get());
    }
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const Node* a, const Node* b) { return a->order > b->order; });
  return nodes;
}

/// `whose` names the gradient: "backward: the gradient of the output of relu".
template <class... Words>
void check_gradient(const Node& node, const Tensor& gradient, const Words&... whose) {
  check(gradient.shape() == node.shape && gradient.dtype() == node.dtype &&
            gradient.device() == node.device,
        "backward: the gradient ", whose..., " is ", gradient.str(),
        gradient.defined() ? " on " + gradient.device().name() : "", ", expected ",
        name_of(node.dtype), " ", node.shape, " on ", node.device.name());
}

/// sum += term, in place where nothing else sees sum's memory and nothing is recorded.
void accumulate(Tensor& sum, Tensor term) {
  if (!sum) {
    sum = std::move(term);
    return;
  }
  if (recording) {
    sum = add(sum, term);
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
  bool release = false;       ///< free each node's closure once it has run
  bool create_graph = false;  ///< record what the closures do

  void run(const std::vector<Node*>& nodes) {
    const GradMode guard(create_graph);
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
    check(!create_graph || node.differentiable == Order::second, "grad: ", node.op,
          " has no second derivative");
    Needed needed;
    for (const auto& input : node.inputs) needed.push_back(input != nullptr);
    struct Named {
      const char* previous = running;
      ~Named() { running = previous; }
    } const named;
    running = node.op;
    std::vector<Tensor> results = node.backward(dy, needed);
    check(results.size() == node.inputs.size(), "backward: ", node.op, " returned ", results.size(),
          " gradients for ", node.inputs.size(), " inputs");
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (!needed[i]) continue;
      check(results[i].defined(), "backward: ", node.op, " returned no gradient for input ", i);
      check_gradient(*node.inputs[i], results[i], "that ", node.op, " returned for its input ", i);
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

Saved::Saved(const Tensor& x) {
  if (!x.defined()) return;
  tensor_ = x.detach();
  node_ = x.node();
  version_ = x.version();
}

Tensor Saved::operator*() const {
  if (!defined()) return {};
  check(tensor_.version() == version_, "backward: ", running ? running : "an op", " needs ",
        tensor_.str(),
        " as it was in the forward pass; it was overwritten since (fill, copy_from "
        "or an optimizer's step). Compute the gradient first, or work on a clone()");
  if (!recording) return tensor_;
  Tensor x = tensor_.detach();
  x.set_node(node_.lock());
  return x;
}

GradMode::GradMode(bool enabled) : previous_(recording) {
  recording = enabled;
}
GradMode::~GradMode() {
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

Tensor record(const char* op, Tensor y, std::vector<Tensor> inputs, Backward backward,
              Order differentiable) {
  if (!recording) return y;
  const bool any = std::any_of(inputs.begin(), inputs.end(),
                               [](const Tensor& input) { return input.requires_grad(); });
  if (!any) return y;
  auto node = make_leaf(y);
  node->leaf = false;
  node->op = op;
  node->differentiable = differentiable;
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
  check_gradient(*y.node(), dy, "to start from");
  const GradMode guard(false);
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

std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& inputs,
                         const GradOptions& options) {
  check(loss.requires_grad(),
        "grad: the loss depends on no tensor that requires a gradient; that "
        "of a gradient needs {.create_graph = true} where it was computed");
  for (const Tensor& input : inputs) {
    check(input.requires_grad(), "grad: the input ", input.str(), " does not require a gradient");
  }
  Walk walk{.create_graph = options.create_graph};
  const GradMode guard(options.create_graph);
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

std::vector<Tensor> hessian_vector_product(const Tensor& loss, const std::vector<Tensor>& inputs,
                                           const std::vector<Tensor>& vectors) {
  check(inputs.size() == vectors.size(), "hessian_vector_product: ", vectors.size(),
        " vectors for ", inputs.size(), " inputs");
  const std::vector<Tensor> gradients = grad(loss, inputs, {.create_graph = true});
  const GradMode guard(true);
  Tensor product;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check(vectors[i].defined() && vectors[i].shape() == inputs[i].shape(),
          "hessian_vector_product: vector ", i, " is ", vectors[i].str(), ", its input ",
          inputs[i].str());
    accumulate(product, sum(multiply(gradients[i], vectors[i].detach())));
  }
  if (product && product.requires_grad()) return grad(product, inputs);
  std::vector<Tensor> zeros;  // the loss is linear in its inputs
  for (const Tensor& x : inputs) zeros.push_back(Tensor::zeros(x.shape(), x.dtype(), x.device()));
  return zeros;
}

std::vector<Tensor> partial_derivatives(const Tensor& y, const Tensor& dy,
                                        const std::vector<Tensor>& inputs) {
  if (!y.requires_grad()) return std::vector<Tensor>(inputs.size());
  std::unordered_set<const Node*> ends;
  for (const Tensor& input : inputs)
    if (input.requires_grad()) ends.insert(input.node().get());
  Walk walk{.create_graph = recording};
  walk.gradients[y.node().get()] = dy;
  for (Node* node : outputs_first(y.node().get(), ends))
    if (!ends.contains(node)) walk.run({node});
  std::vector<Tensor> gradients;
  for (const Tensor& input : inputs)
    gradients.push_back(input.requires_grad() ? walk.gradients[input.node().get()] : Tensor());
  return gradients;
}

}  // namespace shatter
