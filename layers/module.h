// What a layer is: any copyable class with `Tensor operator()(const Tensor&)`. Free functions are
// layers too. A layer may further have any of
//   Tensor forward(const Tensor& x, const Tensor& into)   to write its result into a channel slice,
//   void visit(Visitor&)                                  to name parameters, buffers, children,
//   LayerInfo info(const Shape& input)                    for shapes and costs without computing.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
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
  std::uint32_t step = 0;  ///< training steps done: random masks are functions of (seed, step)
};

class Module;

/// Walks a model. Names are joined with dots: "branches.0.1.weight".
class Visitor {
 public:
  virtual ~Visitor() = default;
  /// A trained tensor; `initializer` draws its first values.
  virtual void parameter(const std::string& name, Tensor& tensor, const Initializer& initializer);
  /// State that is saved but not trained; `value` is what it starts with.
  virtual void buffer(const std::string& name, Tensor& tensor, double value);
  virtual void mode(Mode& mode);
  virtual void child(const std::string& name, Module& module);

 protected:
  /// "prefix.name" for the place the walk has reached.
  std::string qualified(const std::string& name) const;

 private:
  std::string prefix_;
};

/// A layer's static description for an input shape (batch included).
struct LayerInfo {
  std::string type;  ///< "Conv2d 96, 3x3/1"
  Shape output;
  std::int64_t multiply_adds = 0;  ///< for the whole batch, children included
};

/// A type-erased layer. Copies share it.
class Module {
 public:
  template <class Layer>
  requires(!std::same_as<std::remove_cvref_t<Layer>, Module>) &&
      std::is_invocable_r_v<Tensor, std::remove_cvref_t<Layer>&, const Tensor&> Module(
          Layer&& layer)
      : self_(std::make_shared<Model<std::decay_t<Layer>>>(std::forward<Layer>(layer))) {}
  /// A plain function, such as relu.
  Module(Tensor (*function)(const Tensor&)) : self_(std::make_shared<Function>(function)) {}

  Tensor operator()(const Tensor& x) const { return self_->forward(x, {}); }
  /// As operator(); the result may, but need not, be written into `into` (see concat in ops.h).
  Tensor forward(const Tensor& x, const Tensor& into) const { return self_->forward(x, into); }
  void visit(Visitor& visitor) { self_->visit(visitor); }
  /// Found by running the layer on zeros where the layer has no info() of its own.
  LayerInfo info(const Shape& input) const { return self_->info(input); }

 private:
  struct Concept {
    virtual ~Concept() = default;
    virtual Tensor forward(const Tensor& x, const Tensor& into) = 0;
    virtual void visit(Visitor&) {}
    virtual LayerInfo info(const Shape& input) = 0;
  };
  template <class Layer>
  struct Model final : Concept {
    explicit Model(Layer layer) : layer(std::move(layer)) {}
    Tensor forward(const Tensor& x, const Tensor& into) override {
      if constexpr (requires {
                      { layer.forward(x, into) } -> std::same_as<Tensor>;
                    }) {
        return layer.forward(x, into);
      } else {
        return layer(x);
      }
    }
    void visit(Visitor& visitor) override {
      if constexpr (requires { layer.visit(visitor); }) layer.visit(visitor);
    }
    LayerInfo info(const Shape& input) override {
      if constexpr (requires {
                      { layer.info(input) } -> std::same_as<LayerInfo>;
                    }) {
        return layer.info(input);
      } else {
        return probe([this](const Tensor& x) { return layer(x); }, input);
      }
    }
    Layer layer;
  };
  struct Function final : Concept {
    explicit Function(Tensor (*f)(const Tensor&)) : function(f) {}
    Tensor forward(const Tensor& x, const Tensor&) override { return function(x); }
    LayerInfo info(const Shape& input) override;
    Tensor (*function)(const Tensor&);
  };
  static LayerInfo probe(const std::function<Tensor(const Tensor&)>& forward, const Shape& input);

  std::shared_ptr<Concept> self_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// In the order of visiting; the tensors are the model's own.
std::vector<NamedTensor> named_parameters(Module model);
std::vector<Tensor> parameters(Module model);
/// Parameters and buffers.
std::vector<NamedTensor> named_state(Module model);
std::int64_t parameter_count(Module model);

struct InitializeOptions {
  std::uint64_t seed = 0;
  DType dtype = DType::float32;
};
/// Draws every parameter (on the host, in double, then converted) and resets every buffer. Each
/// parameter's draws are a function of (seed, its name).
void initialize(Module model, const InitializeOptions& options = {});

void to(Module model, Device device);
void zero_grad(Module model);
void set_training(Module model, bool training);
/// For layers with random masks; call before each training step.
void set_step(Module model, std::uint32_t step);

/// The state as PyTorch names and lays it out: convolution weights become OIHW.
std::vector<NamedTensor> export_state(Module model);
/// The reverse. Throws (data), listing all missing, unexpected and mismatched names, before
/// anything is written.
void import_state(Module model, const std::vector<NamedTensor>& state);

/// export_state as a file, model.safetensors.
void save_model(Module model, const std::string& path);
void load_model(Module model, const std::string& path);

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
Summary summarize(Module model, const Shape& input);

}  // namespace shatter
