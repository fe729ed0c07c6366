// What a layer is: any copyable class with `Tensor operator()(const Tensor&)`. Free functions are
// layers too. A layer may further have any of
//   Tensor forward(const Tensor& x, const Tensor& into)   to write its result into a channel slice,
//   void visit(Visitor&)                                  to name parameters, buffers, children,
//   LayerInfo info(const Shape& input)                    for shapes and costs without computing,
//   static constexpr const char* name                     for a summary; unused beside info().
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <shatter/core/tensor.h>
#include <shatter/layers/initializer.h>

namespace shatter {

/// What a layer must know besides its input; set for a whole model by set_training and set_step.
struct Mode {
  bool training = true;
  std::uint64_t seed = 0;  ///< set by initialize(), different for every layer
  /// Training steps done, int64 [1], set by set_step(): random masks are functions of (seed, step).
  Tensor step{};
};

/// In which order an image's elements become a vector. hwc is the library's, chw PyTorch's.
enum class FlattenOrder { hwc, chw };
const char* name_of(FlattenOrder order);

/// What a layer must know that makes vectors of images. While `doubt` says something, the weights
/// behind the layer may be of another order than it: where orders differ it must not compute.
struct Flattening {
  FlattenOrder order = FlattenOrder::hwc;
  std::string doubt{};
};

class Module;
class ModelRef;
class Visitor;

/// A layer's static description for an input shape (batch included).
struct LayerInfo {
  std::string type;  ///< "Conv2d 96, 3x3/1"
  Shape output;
  std::int64_t multiply_adds = 0;  ///< for the whole batch, children included
  /// How the children named by visit() are fed; a summary looks into the last two.
  enum class Children { unknown, in_turn, in_parallel };
  Children children = Children::unknown;
};

/// The description of a function that is a layer, found by running it on float32 zeros on the CPU.
/// Counted are the multiply-adds of the library's matmul, linear and conv2d that it calls.
LayerInfo probe(const std::function<Tensor(const Tensor&)>& forward, const Shape& input);
/// The same of a layer with visit(): of the type and on the device of its first parameter or
/// buffer, not in training, so that it is as it was afterwards.
LayerInfo probe(const std::function<Tensor(const Tensor&)>& forward, const Shape& input,
                ModelRef layer);

/// Can be called on one tensor.
template <class T>
concept CallableLayer = !std::same_as<std::remove_cvref_t<T>, Module> &&
                        std::is_invocable_r_v<Tensor, std::remove_reference_t<T>&, const Tensor&>;

template <class T>
concept WritesInto = requires(T& layer, const Tensor& x) {
  { layer.forward(x, x) } -> std::same_as<Tensor>;
};

template <class T>
concept Visitable = requires(T& layer, Visitor& visitor) {
  layer.visit(visitor);
};

template <class T>
concept Describable = requires(T& layer, const Shape& input) {
  { layer.info(input) } -> std::same_as<LayerInfo>;
};

template <class T>
concept Named = requires {
  { &T::name } -> std::convertible_to<const char* const*>;
};

/// Whether the layer knows its output's shape without being run: it has info(), and where it says
/// so itself (a container of layers) described() is true.
template <class Layer>
bool is_described(const Layer& layer) {
  if constexpr (requires {
                  { layer.described() } -> std::same_as<bool>;
                }) {
    return layer.described();
  } else {
    return Describable<Layer>;
  }
}

/// layer.info(input), or what running the layer tells.
template <class Layer>
LayerInfo info_of(Layer& layer, const Shape& input) {
  if constexpr (Describable<Layer>) {
    return layer.info(input);
  } else if constexpr (CallableLayer<Layer>) {
    const auto forward = [&layer](const Tensor& x) { return layer(x); };
    LayerInfo info;
    if constexpr (Visitable<Layer>)
      info = probe(forward, input, layer);
    else
      info = probe(forward, input);
    if constexpr (Named<Layer>) info.type = Layer::name;
    return info;
  } else {
    fail(ErrorKind::usage, "this model cannot be described: it is not called on one tensor");
  }
}

/// Walks a model. Names are joined with dots: "branches.0.1.weight".
class Visitor {
 public:
  virtual ~Visitor() = default;
  /// A trained tensor; `initializer` draws its first values.
  virtual void parameter(const std::string& name, Tensor& tensor, const Initializer& initializer);
  /// State that is saved but not trained; `value` is what it starts with.
  virtual void buffer(const std::string& name, Tensor& tensor, double value);
  virtual void mode(Mode& mode);
  virtual void flattening(Flattening& flattening);
  virtual void child(const std::string& name, ModelRef model);

 protected:
  /// "prefix.name" for the place the walk has reached.
  std::string qualified(const std::string& name) const;

 private:
  std::string prefix_;
};

template <class T>
concept VisitableModel = Visitable<T> && !std::same_as<std::remove_cvref_t<T>, ModelRef>;

/// A reference to any model, for the length of a call: a Module, a Sequential, one of the layers,
/// or a user's own class with visit(Visitor&).
class ModelRef {
 public:
  template <VisitableModel Model>
  ModelRef(Model&& model)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(model)))),
        visit_([](void* object, Visitor& visitor) { as<Model>(object).visit(visitor); }),
        info_([](void* object, const Shape& input) { return info_of(as<Model>(object), input); }) {}

  void visit(Visitor& visitor) const { visit_(object_, visitor); }
  LayerInfo info(const Shape& input) const { return info_(object_, input); }

 private:
  template <class Model>
  static std::remove_reference_t<Model>& as(void* object) {
    return *static_cast<std::remove_reference_t<Model>*>(object);
  }
  void* object_;
  void (*visit_)(void*, Visitor&);
  LayerInfo (*info_)(void*, const Shape&);
};

namespace detail {
inline thread_local bool copies_layers = false;  ///< within clone()
}

/// A type-erased layer. Copies share it; clone() does not.
class Module {
 public:
  Module(const Module& other) : self_(detail::copies_layers ? other.self_->copy() : other.self_) {}
  Module(Module&&) noexcept = default;
  Module& operator=(const Module& other) {
    self_ = Module(other).self_;
    return *this;
  }
  Module& operator=(Module&&) noexcept = default;
  ~Module() = default;
  template <CallableLayer Layer>
  Module(Layer&& layer)
      : self_(std::make_shared<Model<std::decay_t<Layer>>>(std::forward<Layer>(layer))) {}

  Tensor operator()(const Tensor& x) const { return self_->forward(x, {}); }
  /// As operator(); the result may, but need not, be written into `into` (see concat in ops.h).
  Tensor forward(const Tensor& x, const Tensor& into) const { return self_->forward(x, into); }
  void visit(Visitor& visitor) const { self_->visit(visitor); }
  LayerInfo info(const Shape& input) const { return self_->info(input); }
  bool described() const { return self_->described(); }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual Tensor forward(const Tensor& x, const Tensor& into) = 0;
    virtual void visit(Visitor& visitor) = 0;
    virtual LayerInfo info(const Shape& input) = 0;
    virtual bool described() const = 0;
    virtual std::shared_ptr<Concept> copy() const = 0;
  };
  template <class Layer>
  struct Model final : Concept {
    explicit Model(Layer given) : layer(std::move(given)) {}
    Tensor forward(const Tensor& x, [[maybe_unused]] const Tensor& into) override {
      if constexpr (WritesInto<Layer>)
        return layer.forward(x, into);
      else
        return layer(x);
    }
    void visit([[maybe_unused]] Visitor& visitor) override {
      if constexpr (Visitable<Layer>) layer.visit(visitor);
    }
    LayerInfo info(const Shape& input) override { return info_of(layer, input); }
    bool described() const override { return is_described(layer); }
    std::shared_ptr<Concept> copy() const override {
      if constexpr (std::copy_constructible<Layer>)
        return std::make_shared<Model>(layer);
      else
        fail(ErrorKind::usage, "clone: a layer of the model cannot be copied");
    }
    Layer layer;
  };

  std::shared_ptr<Concept> self_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// A layer's parameter as its constructor makes it: it requires a gradient, and has no elements
/// until initialize() or load_model() gives them; a model computed before throws.
inline Tensor parameter(const Shape& shape) {
  return Tensor::unset(shape).set_requires_grad();
}

/// In the order of visiting; the tensors are the model's own.
std::vector<NamedTensor> named_parameters(ModelRef model);
std::vector<Tensor> parameters(ModelRef model);
/// Parameters and buffers.
std::vector<NamedTensor> named_state(ModelRef model);
std::int64_t parameter_count(ModelRef model);

/// Those that require a gradient: what an optimizer takes of a model with frozen parameters.
std::vector<NamedTensor> trainable_parameters(ModelRef model);
/// No parameter of the model, or part of a model, requires a gradient from then on, or each does.
/// initialize() unfreezes.
void freeze(ModelRef model);
void unfreeze(ModelRef model);

namespace detail {
/// Gives a copied model tensors of its own.
void separate(ModelRef copy);
}  // namespace detail

/// A model of its own: layers are copied, and so is every parameter and buffer that visit() names,
/// with its elements but not its gradient. Tensors that were one stay one. What visit() does not
/// name is as the copy constructors leave it: a Tensor shares its elements.
template <VisitableModel Model>
Model clone(const Model& model) {
  struct Deep {
    Deep() { detail::copies_layers = true; }
    ~Deep() { detail::copies_layers = before; }
    bool before = detail::copies_layers;
  };
  Model copy = [&model] {
    const Deep deep;
    return Model(model);
  }();
  detail::separate(copy);
  return copy;
}

struct InitializeOptions {
  std::uint64_t seed = 0;
  DType dtype = DType::float32;
};
/// Draws every parameter (on the host, in double, then converted) and resets every buffer. Each
/// parameter's draws are a function of (seed, its name), and it requires a gradient from then on.
void initialize(ModelRef model, const InitializeOptions& options = {});

void to(ModelRef model, Device device);
void zero_grad(ModelRef model);
void set_training(ModelRef model, bool training);
/// For layers with random masks, which throw without it; call before each training step.
void set_step(ModelRef model, std::int64_t step);
/// The same with a tensor int64 [1] that the layers read at each forward pass, so that whoever
/// holds it can move it on. It must lie on the model's device.
void set_step(ModelRef model, const Tensor& step);

/// The state as PyTorch names and lays it out: convolution weights become OIHW. The columns of a
/// Linear layer keep the order of the Flatten before it, which PyTorch shares where that is chw.
std::vector<NamedTensor> export_state(ModelRef model);

struct ImportOptions {
  bool strict = true;  ///< false: what does not fit is left out, and reported
  /// The order of the weights behind a Flatten, where the file does not say it.
  std::optional<FlattenOrder> flatten{};
};
/// What was left out, a line each: "0.bias", "1.weight is float32 [7], expected float32 [3, 7]".
struct ImportReport {
  std::vector<std::string> missing;     ///< of the model, not in the state
  std::vector<std::string> unexpected;  ///< of the state, not in the model
  std::vector<std::string> mismatched;  ///< of another shape or type
  bool complete() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
};
/// The reverse. Strict: throws (data), listing all missing, unexpected and mismatched names, before
/// anything is written. PyTorch's num_batches_tracked is passed over. Tensors alone do not say the
/// order of a Flatten: without options.flatten they are taken for PyTorch's (chw). A Flatten of
/// another order then throws (data) when it is given images of more pixels and channels than one.
/// The free function flatten() is not checked so.
ImportReport import_state(ModelRef model, const std::vector<NamedTensor>& state,
                          const ImportOptions& options = {});

/// export_state as a file, model.safetensors. Its metadata say the order of the model's Flatten
/// layers, "flatten": "hwc". Throws (usage) where they differ.
void save_model(ModelRef model, const std::string& path);
/// import_state of a file, with the order the file says, else options.flatten.
ImportReport load_model(ModelRef model, const std::string& path, const ImportOptions& options = {});

/// One line of a model's summary.
struct SummaryRow {
  std::string name;
  int depth = 0;
  LayerInfo info;
  std::int64_t parameters = 0;  ///< of this layer, children included
};
struct Summary {
  std::vector<SummaryRow> rows;
  std::int64_t parameters = 0;
  std::int64_t multiply_adds = 0;  ///< per image, forward
  /// A table; with training_examples, parameters per example too (the paper's p/n).
  std::string str(std::int64_t training_examples = 0) const;
};
/// `input` is the shape of one image batch, say {1, 28, 28, 3}.
Summary summarize(ModelRef model, const Shape& input);

}  // namespace shatter
