// Reverse-mode differentiation over a tape of nodes.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <shatter/core/tensor.h>

namespace shatter {

/// Which inputs of an op need a gradient.
using Needed = std::vector<bool>;

/// Given the gradient of the op's output, returns one gradient per input, each of the input's shape
/// and type; entries that are not needed may be undefined. It must capture detached or Saved
/// tensors only: a captured history would keep the graph alive and be freed recursively.
using Backward = std::function<std::vector<Tensor>(const Tensor& dy, const Needed& needed)>;

/// A tensor that a Backward needs. It keeps the elements and no history. Reading it throws Error
/// (usage), naming the op and the tensor, when the elements were overwritten since
/// (Storage::version).
class Saved {
 public:
  Saved() = default;
  Saved(const Tensor& x);  // implicit, so that a closure captures [x = Saved(x)] or takes a list

  bool defined() const { return tensor_.defined(); }
  /// The tensor. While gradients are recorded (create_graph) it has its history again, if it was
  /// given with it.
  Tensor operator*() const;

 private:
  Tensor tensor_;
  std::weak_ptr<Node> node_;
  std::uint64_t version_ = 0;
};

/// How often an op can be differentiated. first: its Backward computes by kernels, and gradients of
/// gradients are an error. second: while grad_enabled() its Backward computes by differentiable
/// ops of its dy and of Saved inputs.
enum class Order { first, second };

/// An entry of the tape: an op's output, or a leaf (no backward, accumulates `gradient`).
struct Node {
  const char* op = "leaf";
  Order differentiable = Order::first;
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
Tensor record(const char* op, Tensor y, std::vector<Tensor> inputs, Backward backward,
              Order differentiable = Order::first);

/// Accumulates the gradient of `loss` (one element) into grad() of every leaf it depends on, and
/// frees the tape behind it: a second call on the same tape throws. Each grad() has memory of its
/// own. Throws where a gradient needs elements that were overwritten since the forward pass by
/// fill(), copy_from() or an optimizer's step; what is written through data() is not noticed.
void backward(const Tensor& loss);
/// The same for an output of any shape, with the gradient dy to start from.
void backward(const Tensor& y, const Tensor& dy);

struct GradOptions {
  /// Records how the gradients are computed, so that they can be differentiated in turn. Throws for
  /// an op that has no second derivative, naming it.
  bool create_graph = false;
};

/// The gradients of `loss` (one element) with respect to `inputs`, leaving grad() alone and the
/// tape in place; each has memory of its own. An input the loss does not depend on gets zeros.
/// Throws for inputs without gradient, and as backward().
std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& inputs,
                         const GradOptions& options = {});

/// The product of the Hessian of `loss` (one element) with `vectors`, one of each input's shape:
/// the gradient of sum_i <grad_i, v_i> (Pearlmutter 1994), exact, for about the cost of two
/// backward passes.
std::vector<Tensor> hessian_vector_product(const Tensor& loss, const std::vector<Tensor>& inputs,
                                           const std::vector<Tensor>& vectors);

/// The gradients of sum(y * dy) with respect to the tensors that y was computed from by the ops
/// since: the walk ends at `inputs`, whatever they depend on themselves. For the Backward of an op
/// that is a composition of others. Undefined for an input without gradient.
std::vector<Tensor> partial_derivatives(const Tensor& y, const Tensor& dy,
                                        const std::vector<Tensor>& inputs);

/// Whether ops are recorded on the calling thread.
bool grad_enabled();

/// Sets whether ops are recorded on the calling thread while it lives.
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool previous_;
};
/// Turns recording off on the calling thread while it lives.
class NoGrad : public GradMode {
 public:
  NoGrad() : GradMode(false) {}
};
/// Turns recording on, also within a NoGrad.
class EnableGrad : public GradMode {
 public:
  EnableGrad() : GradMode(true) {}
};

}  // namespace shatter
