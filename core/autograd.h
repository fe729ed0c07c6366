// Reverse-mode differentiation over a tape of nodes. First order only: gradients carry no history.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter {

/// Which inputs of an op need a gradient.
using Needed = std::vector<bool>;

/// Given the gradient of the op's output, returns one gradient per input, each of the input's shape
/// and type; entries that are not needed may be undefined. It must capture detached tensors only:
/// a captured history would keep the graph alive and be freed recursively.
using Backward = std::function<std::vector<Tensor>(const Tensor& dy, const Needed& needed)>;

/// An entry of the tape: an op's output, or a leaf (no backward, accumulates `gradient`).
struct Node {
  const char* op = "leaf";
  std::uint64_t order = 0;  ///< creation order: inputs come before outputs
  Shape shape;
  DType dtype = DType::float32;
  Device device;
  std::vector<std::shared_ptr<Node>> inputs;  ///< null where no gradient is needed
  Backward backward;
  Tensor gradient;
  bool leaf = true;
  bool released = false;

  ~Node();
};

/// The tape entry of a leaf.
std::shared_ptr<Node> make_leaf(const Tensor& tensor);

/// Records that `y` came from `inputs` by op, if gradients are on and any input needs one.
/// Returns y. This is how an op, also a user's own, becomes differentiable.
Tensor record(const char* op, Tensor y, std::vector<Tensor> inputs, Backward backward);

/// Accumulates the gradient of `loss` (one element) into grad() of every leaf it depends on, and
/// frees the tape behind it: a second call on the same tape throws. Each grad() has memory of its
/// own. Elements overwritten since an op read them (fill, copy_from, an optimizer's step) are not
/// noticed: the gradient is then that at the new elements.
void backward(const Tensor& loss);
/// The same for an output of any shape, with the gradient dy to start from.
void backward(const Tensor& y, const Tensor& dy);

/// The gradients of `loss` (one element) with respect to `inputs`, leaving grad() alone and the
/// tape in place; each has memory of its own. An input the loss does not depend on gets zeros.
/// Throws for inputs without gradient.
std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& inputs);

/// Whether ops are recorded on the calling thread.
bool grad_enabled();

/// Turns recording off on the calling thread while it lives.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace shatter
