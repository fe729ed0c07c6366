// The layers. Each is a plain class: options in, public tensors, operator(). Images are NHWC.
#pragma once

#include <optional>

#include <shatter/core/ops.h>
#include <shatter/layers/module.h>

namespace shatter {

class Conv2d {
 public:
  struct Options {
    std::int64_t in = 0, out = 0;
    std::int64_t kernel = 3, stride = 1;
    std::optional<Padding> padding = Padding{};  ///< as in Conv2dOptions
    std::int64_t dilation = 1, groups = 1;       ///< as in Conv2dOptions
    bool bias = true;
    std::optional<Initializer> weight_init{};  ///< default: He, fan-in
    Initializer bias_init = init::zeros();
  };
  explicit Conv2d(const Options& options);
  Tensor operator()(const Tensor& x) const { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& into) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;

  Options options;
  Tensor weight;  ///< [out, kernel, kernel, in / groups]
  Tensor bias;    ///< [out], undefined without bias
};

class BatchNorm2d {
 public:
  struct Options {
    std::int64_t channels = 0;
    bool scale = true;  ///< gamma
    bool shift = true;  ///< beta
    bool relu = false;  ///< fused ReLU behind it
    double epsilon = 1e-3;
    double decay = 0.99;
    bool unbiased_running_variance = false;
    /// PyTorch's defaults: epsilon 1e-5, momentum 0.1, an unbiased running variance.
    static Options pytorch(std::int64_t channels) {
      return {
          .channels = channels, .epsilon = 1e-5, .decay = 0.9, .unbiased_running_variance = true};
    }
  };
  explicit BatchNorm2d(const Options& options);
  Tensor operator()(const Tensor& x) const { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& into) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;

  Options options;
  Tensor weight, bias;                    ///< gamma, beta [channels], undefined where switched off
  Tensor running_mean, running_variance;  ///< saved as running_mean, running_var
  Mode mode;
};

class Linear {
 public:
  struct Options {
    std::int64_t in = 0, out = 0;
    bool bias = true;
    bool relu = false;                         ///< fused ReLU behind it
    std::optional<Initializer> weight_init{};  ///< default: He, fan-in
    Initializer bias_init = init::zeros();
  };
  explicit Linear(const Options& options);
  Linear(std::int64_t in, std::int64_t out) : Linear(Options{.in = in, .out = out}) {}
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;

  Options options;
  Tensor weight;  ///< [out, in]
  Tensor bias;    ///< [out], undefined without bias
};

class MaxPool2d {
 public:
  explicit MaxPool2d(const Pool2dOptions& o) : options(o) {}
  Tensor operator()(const Tensor& x) const { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& into) const;
  LayerInfo info(const Shape& input) const;
  Pool2dOptions options;
};

class AvgPool2d {
 public:
  explicit AvgPool2d(const Pool2dOptions& o) : options(o) {}
  Tensor operator()(const Tensor& x) const { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& into) const;
  LayerInfo info(const Shape& input) const;
  Pool2dOptions options;
};

/// [n, h, w, c] -> [n, c].
class GlobalAvgPool2d {
 public:
  Tensor operator()(const Tensor& x) const { return global_avg_pool2d(x); }
  LayerInfo info(const Shape& input) const;
};

class LocalResponseNorm {
 public:
  explicit LocalResponseNorm(const LrnOptions& o = {}) : options(o) {}
  Tensor operator()(const Tensor& x) const { return local_response_norm(x, options); }
  LayerInfo info(const Shape& input) const;
  LrnOptions options;
};

class Dropout {
 public:
  explicit Dropout(double probability);
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor) { visitor.mode(mode); }
  LayerInfo info(const Shape& input) const;
  double probability;
  Mode mode;
};

/// [n, h, w, c] -> [n, h*w*c] in the order h, w, c, or in PyTorch's c, h, w; other ranks as they
/// lie. A model whose weights came in PyTorch's order needs chw.
class Flatten {
 public:
  struct Options {
    FlattenOrder order = FlattenOrder::hwc;
  };
  Flatten() = default;
  explicit Flatten(const Options& o) : flattening{.order = o.order} {}
  explicit Flatten(FlattenOrder order) : flattening{.order = order} {}
  /// Throws (data) after loading weights whose order is another or unknown; see import_state.
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor) { visitor.flattening(flattening); }
  LayerInfo info(const Shape& input) const;
  Flattening flattening;
};

class Relu {
 public:
  Tensor operator()(const Tensor& x) const { return relu(x); }
  LayerInfo info(const Shape& input) const { return {"ReLU", input}; }
};

class Tanh {
 public:
  Tensor operator()(const Tensor& x) const { return tanh(x); }
  LayerInfo info(const Shape& input) const { return {"Tanh", input}; }
};

class Sigmoid {
 public:
  Tensor operator()(const Tensor& x) const { return sigmoid(x); }
  LayerInfo info(const Shape& input) const { return {"Sigmoid", input}; }
};

class Gelu {
 public:
  Tensor operator()(const Tensor& x) const { return gelu(x); }
  LayerInfo info(const Shape& input) const { return {"GELU", input}; }
};

class Silu {
 public:
  Tensor operator()(const Tensor& x) const { return silu(x); }
  LayerInfo info(const Shape& input) const { return {"SiLU", input}; }
};

/// Normalises the last dimension, as PyTorch's of one dimension.
class LayerNorm {
 public:
  struct Options {
    std::int64_t features = 0;
    double epsilon = 1e-5;
  };
  explicit LayerNorm(const Options& options);
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;

  Options options;
  Tensor weight, bias;  ///< [features]
};

/// Normalises every image of [n, h, w, c] over its pixels and each of `groups` neighbouring groups
/// of channels.
class GroupNorm {
 public:
  struct Options {
    std::int64_t groups = 1, channels = 0;
    double epsilon = 1e-5;
  };
  explicit GroupNorm(const Options& options);
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;

  Options options;
  Tensor weight, bias;  ///< [channels]
};

/// Rows of a table: int32 or int64 [...] in [0, count) -> [..., size].
class Embedding {
 public:
  struct Options {
    std::int64_t count = 0, size = 0;
    Initializer weight_init = init::normal(1);
  };
  explicit Embedding(const Options& options);
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;

  Options options;
  Tensor weight;  ///< [count, size]
};

/// body(x) + shortcut(x), or + x; both of one shape. Named "body" and "shortcut".
class Residual {
 public:
  explicit Residual(Module body) : body_(std::move(body)) {}
  Residual(Module body, Module shortcut) : body_(std::move(body)), shortcut_(std::move(shortcut)) {}
  Tensor operator()(const Tensor& x) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;
  bool described() const { return body_.described() && (!shortcut_ || shortcut_->described()); }

 private:
  Module body_;
  std::optional<Module> shortcut_;
};

/// One layer after the other, named 0, 1, 2, ... or as given to add(). An error of a layer begins
/// with its path: "layer 3.0: linear: ...".
class Sequential {
 public:
  Sequential() = default;
  template <std::convertible_to<Module>... Layers>
  explicit Sequential(Module first, Layers&&... others) {
    add(std::move(first));
    (add(std::forward<Layers>(others)), ...);
  }
  Sequential& add(Module layer);
  Sequential& add(std::string name, Module layer);
  std::size_t size() const { return layers_.size(); }
  const Module& operator[](std::size_t i) const;  ///< throws behind the last

  Tensor operator()(const Tensor& x) const { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& into) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;
  bool described() const;

 private:
  std::vector<std::pair<std::string, Module>> layers_;
};

/// Several layers on one input, their outputs joined along the channels in the order given. Where
/// every branch knows its output's shape (info()) the joined image is allocated first and each
/// branch's last kernel writes its slice of it; else the outputs are copied.
class Branches {
 public:
  template <std::convertible_to<Module>... Layers>
  explicit Branches(Module first, Module second, Layers&&... others)
      : branches_{std::move(first), std::move(second), Module(std::forward<Layers>(others))...} {}

  Tensor operator()(const Tensor& x) const { return forward(x, {}); }
  Tensor forward(const Tensor& x, const Tensor& into) const;
  void visit(Visitor& visitor);
  LayerInfo info(const Shape& input) const;
  bool described() const;

 private:
  std::vector<Module> branches_;
};

}  // namespace shatter
