// The layers' parameters, shapes and calls.
#include <shatter/layers/layers.h>

#include <shatter/core/indexing.h>

namespace shatter {
namespace {

Initializer he_unless_given(const std::optional<Initializer>& given, std::int64_t fan_in) {
  return given.value_or(init::he(fan_in));
}

/// Output shape of windows of `window` x `window` pixels, dilation included, on an image batch.
Shape windowed(const char* layer, const Shape& input, std::int64_t window, std::int64_t stride,
               const std::optional<Padding>& padding, std::int64_t channels) {
  check(input.rank() == 4, layer, ": input is ", input, ", expected [n, h, w, c]");
  const Windows windows{.n = input[0],
                        .h = input[1],
                        .w = input[2],
                        .r = window,
                        .s = window,
                        .stride_h = stride,
                        .stride_w = stride,
                        .padding = padding.value_or(
                            same_padding(input[1], input[2], window, window, stride, stride))};
  return {input[0], windows.out_h(), windows.out_w(), channels};
}

std::string window_name(std::int64_t window, std::int64_t stride) {
  return text(window, "x", window, "/", stride);
}

Conv2d::Options checked(const Conv2d::Options& o) {
  check(o.in > 0 && o.out > 0 && o.kernel > 0 && o.stride > 0, "Conv2d: in ", o.in, ", out ", o.out,
        ", kernel ", o.kernel, ", stride ", o.stride, "; all must be positive");
  check(o.dilation > 0 && o.groups > 0 && o.in % o.groups == 0 && o.out % o.groups == 0,
        "Conv2d: dilation ", o.dilation, ", groups ", o.groups, " for in ", o.in, ", out ", o.out,
        "; groups must divide both");
  return o;
}

Linear::Options checked(const Linear::Options& o) {
  check(o.in > 0 && o.out > 0, "Linear: in ", o.in, ", out ", o.out, "; both must be positive");
  return o;
}

BatchNorm2d::Options checked(const BatchNorm2d::Options& o) {
  check(o.channels > 0, "BatchNorm2d: channels is ", o.channels);
  return o;
}

/// What `run` gives; the error of a call that does not fit says at which layer of the model.
template <class Run>
auto at_layer(const std::string& name, const Run& run) {
  try {
    return run();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage && error.kind() != ErrorKind::data) throw;
    const std::string message = error.what(), start = "layer ";
    const bool nested = message.starts_with(start);
    fail(error.kind(), start, name, nested ? "." : ": ",
         nested ? message.substr(start.size()) : message);
  }
}

}  // namespace

Conv2d::Conv2d(const Options& o)
    : options(checked(o)), weight(parameter({o.out, o.kernel, o.kernel, o.in / o.groups})) {
  if (o.bias) bias = parameter({o.out});
}

Tensor Conv2d::forward(const Tensor& x, const Tensor& into) const {
  return conv2d(x, weight, bias,
                {.stride = options.stride,
                 .padding = options.padding,
                 .dilation = options.dilation,
                 .groups = options.groups},
                into);
}

void Conv2d::visit(Visitor& visitor) {
  visitor.parameter("weight", weight,
                    he_unless_given(options.weight_init,
                                    options.kernel * options.kernel * options.in / options.groups));
  if (bias) visitor.parameter("bias", bias, options.bias_init);
}

LayerInfo Conv2d::info(const Shape& input) const {
  check(input.rank() == 4 && input[3] == options.in, "Conv2d: input is ", input,
        ", expected [n, h, w, ", options.in, "]",
        input.rank() == 4 && input[1] == options.in ? "; is this [n, c, h, w]?" : "");
  const Shape output = windowed("Conv2d", input, (options.kernel - 1) * options.dilation + 1,
                                options.stride, options.padding, options.out);
  return {text("Conv2d ", options.out, ", ", window_name(options.kernel, options.stride),
               options.dilation > 1 ? text(", dilation ", options.dilation) : "",
               options.groups > 1 ? text(", groups ", options.groups) : ""),
          output, output.numel() * options.kernel * options.kernel * options.in / options.groups};
}

BatchNorm2d::BatchNorm2d(const Options& o)
    : options(checked(o)),
      running_mean(Tensor::zeros({o.channels})),
      running_variance(Tensor::full({o.channels}, 1)) {
  if (o.scale) weight = parameter({o.channels});
  if (o.shift) bias = parameter({o.channels});
}

Tensor BatchNorm2d::forward(const Tensor& x, const Tensor& into) const {
  return batch_norm(x, weight, bias, running_mean, running_variance,
                    {.epsilon = options.epsilon,
                     .relu = options.relu,
                     .training = mode.training,
                     .decay = options.decay,
                     .unbiased_running_variance = options.unbiased_running_variance},
                    into);
}

void BatchNorm2d::visit(Visitor& visitor) {
  if (weight) visitor.parameter("weight", weight, init::ones());
  if (bias) visitor.parameter("bias", bias, init::zeros());
  visitor.buffer("running_mean", running_mean, 0);
  visitor.buffer("running_var", running_variance, 1);
  visitor.mode(mode);
}

LayerInfo BatchNorm2d::info(const Shape& input) const {
  return {options.relu ? "BatchNorm2d + ReLU" : "BatchNorm2d", input};
}

Linear::Linear(const Options& o) : options(checked(o)), weight(parameter({o.out, o.in})) {
  if (o.bias) bias = parameter({o.out});
}

Tensor Linear::operator()(const Tensor& x) const {
  return linear(x, weight, bias, options.relu);
}

void Linear::visit(Visitor& visitor) {
  visitor.parameter("weight", weight, he_unless_given(options.weight_init, options.in));
  if (bias) visitor.parameter("bias", bias, options.bias_init);
}

LayerInfo Linear::info(const Shape& input) const {
  check(input.rank() == 2 && input[1] == options.in, "Linear: input is ", input, ", expected [n, ",
        options.in, "]");
  return {text("Linear ", options.out, options.relu ? " + ReLU" : ""), Shape{input[0], options.out},
          input[0] * options.in * options.out};
}

Tensor MaxPool2d::forward(const Tensor& x, const Tensor& into) const {
  return max_pool2d(x, options, into);
}

LayerInfo MaxPool2d::info(const Shape& input) const {
  return {"MaxPool2d " + window_name(options.window, options.stride),
          windowed("MaxPool2d", input, options.window, options.stride, options.padding, input[-1])};
}

Tensor AvgPool2d::forward(const Tensor& x, const Tensor& into) const {
  return avg_pool2d(x, options, into);
}

LayerInfo AvgPool2d::info(const Shape& input) const {
  return {"AvgPool2d " + window_name(options.window, options.stride),
          windowed("AvgPool2d", input, options.window, options.stride, options.padding, input[-1])};
}

LayerInfo GlobalAvgPool2d::info(const Shape& input) const {
  check(input.rank() == 4, "GlobalAvgPool2d: input is ", input, ", expected [n, h, w, c]");
  return {"GlobalAvgPool2d", Shape{input[0], input[3]}};
}

LayerInfo LocalResponseNorm::info(const Shape& input) const {
  return {text("LocalResponseNorm ", 2 * options.radius + 1), input};
}

Dropout::Dropout(double p) : probability(p) {
  check(p >= 0 && p < 1, "Dropout: probability ", p, ", expected 0 <= p < 1");
}

Tensor Dropout::operator()(const Tensor& x) const {
  if (!mode.training || probability == 0) return x;
  check(mode.step.defined(),
        "Dropout: no training step, of which its mask is a function; call set_step() before each");
  return dropout(x, probability, {.seed = mode.seed, .stream = Stream::dropout}, mode.step);
}

LayerInfo Dropout::info(const Shape& input) const {
  return {text("Dropout ", probability), input};
}

Tensor Flatten::operator()(const Tensor& x) const {
  // Of one pixel or one channel, or of vectors, there is one order.
  if (x.rank() != 4 || x.dim(1) * x.dim(2) == 1 || x.dim(3) == 1) return flatten(x);
  if (!flattening.doubt.empty()) {
    fail(ErrorKind::data, "Flatten of ", x.shape(), " in the order ", name_of(flattening.order),
         ": ", flattening.doubt);
  }
  return flatten(flattening.order == FlattenOrder::chw ? permute(x, {0, 3, 1, 2}) : x);
}

LayerInfo Flatten::info(const Shape& input) const {
  check(input.rank() >= 1 && input[0] > 0, "Flatten: input is ", input);
  return {"Flatten", Shape{input[0], input.numel() / input[0]}};
}

Sequential& Sequential::add(Module layer) {
  return add(std::to_string(layers_.size()), std::move(layer));
}

Sequential& Sequential::add(std::string name, Module layer) {
  layers_.emplace_back(std::move(name), std::move(layer));
  return *this;
}

LayerNorm::LayerNorm(const Options& o) : options(o) {
  check(o.features > 0, "LayerNorm: features is ", o.features);
  weight = parameter({o.features});
  bias = parameter({o.features});
}

Tensor LayerNorm::operator()(const Tensor& x) const {
  check(x.rank() >= 1 && x.dim(-1) == options.features, "LayerNorm: input is ", x.shape(),
        ", expected [..., ", options.features, "]");
  const Tensor centred = x - mean(x, -1, true);
  const Tensor deviation = sqrt(mean(square(centred), -1, true) + options.epsilon);
  return centred / deviation * weight + bias;
}

void LayerNorm::visit(Visitor& visitor) {
  visitor.parameter("weight", weight, init::ones());
  visitor.parameter("bias", bias, init::zeros());
}

LayerInfo LayerNorm::info(const Shape& input) const {
  return {"LayerNorm", input};
}

GroupNorm::GroupNorm(const Options& o) : options(o) {
  check(o.groups > 0 && o.channels > 0 && o.channels % o.groups == 0, "GroupNorm: ", o.channels,
        " channels in ", o.groups, " groups");
  weight = parameter({o.channels});
  bias = parameter({o.channels});
}

Tensor GroupNorm::operator()(const Tensor& x) const {
  check(x.rank() == 4 && x.dim(3) == options.channels, "GroupNorm: input is ", x.shape(),
        ", expected [n, h, w, ", options.channels, "]");
  const auto mean_of = [](const Tensor& groups) { return mean(mean(groups, 3, true), 1, true); };
  const Tensor groups =
      x.reshape({x.dim(0), x.dim(1) * x.dim(2), options.groups, options.channels / options.groups});
  const Tensor centred = groups - mean_of(groups);
  const Tensor normal = centred / sqrt(mean_of(square(centred)) + options.epsilon);
  return normal.reshape(x.shape()) * weight + bias;
}

void GroupNorm::visit(Visitor& visitor) {
  visitor.parameter("weight", weight, init::ones());
  visitor.parameter("bias", bias, init::zeros());
}

LayerInfo GroupNorm::info(const Shape& input) const {
  return {text("GroupNorm ", options.groups), input};
}

Embedding::Embedding(const Options& o) : options(o) {
  check(o.count > 0 && o.size > 0, "Embedding: count ", o.count, ", size ", o.size,
        "; both must be positive");
  weight = parameter({o.count, o.size});
}

Tensor Embedding::operator()(const Tensor& x) const {
  return index_select(weight, 0, x.reshape({x.numel()})).reshape(info(x.shape()).output);
}

void Embedding::visit(Visitor& visitor) {
  visitor.parameter("weight", weight, options.weight_init);
}

LayerInfo Embedding::info(const Shape& input) const {
  std::vector<std::int64_t> dims(input.dims().begin(), input.dims().end());
  dims.push_back(options.size);
  return {text("Embedding ", options.count, " x ", options.size), Shape(dims)};
}

Tensor Residual::operator()(const Tensor& x) const {
  const Tensor body = at_layer("body", [&] { return body_(x); });
  const Tensor shortcut = shortcut_ ? at_layer("shortcut", [&] { return (*shortcut_)(x); }) : x;
  check(body.shape() == shortcut.shape(), "Residual: the body gives ", body.shape(),
        ", the shortcut ", shortcut.shape());
  return body + shortcut;
}

void Residual::visit(Visitor& visitor) {
  visitor.child("body", body_);
  if (shortcut_) visitor.child("shortcut", *shortcut_);
}

LayerInfo Residual::info(const Shape& input) const {
  LayerInfo all = body_.info(input);
  all.type = "Residual";
  all.children = LayerInfo::Children::in_parallel;
  if (shortcut_) all.multiply_adds += shortcut_->info(input).multiply_adds;
  return all;
}

const Module& Sequential::operator[](std::size_t i) const {
  check(i < layers_.size(), "Sequential: layer ", i, " of ", layers_.size());
  return layers_[i].second;
}

Tensor Sequential::forward(const Tensor& x, const Tensor& into) const {
  Tensor y = x;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto& [name, layer] = layers_[i];
    y = at_layer(name, [&] { return layer.forward(y, i + 1 == layers_.size() ? into : Tensor()); });
  }
  return y;
}

void Sequential::visit(Visitor& visitor) {
  for (auto& [name, layer] : layers_) visitor.child(name, layer);
}

LayerInfo Sequential::info(const Shape& input) const {
  LayerInfo all{"Sequential", input, 0, LayerInfo::Children::in_turn};
  for (const auto& [name, layer] : layers_) {
    const LayerInfo one = at_layer(name, [&] { return layer.info(all.output); });
    all.output = one.output;
    all.multiply_adds += one.multiply_adds;
  }
  return all;
}

bool Sequential::described() const {
  return std::ranges::all_of(layers_, [](const auto& layer) { return layer.second.described(); });
}

Tensor Branches::forward(const Tensor& x, const Tensor& into) const {
  std::vector<Tensor> parts;
  if (!described()) {
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      parts.push_back(at_layer(std::to_string(i), [&] { return branches_[i](x); }));
    }
    return concat(parts);
  }
  std::vector<std::int64_t> channels;
  Shape shape;
  for (const Module& branch : branches_) {
    shape = branch.info(x.shape()).output;
    channels.push_back(shape[-1]);
  }
  std::int64_t total = 0;
  for (const std::int64_t c : channels) total += c;
  shape = shape.with(-1, total);
  const Tensor joined = into ? into.detach() : Tensor::empty(shape, x.dtype(), x.device());
  check(joined.shape() == shape, "Branches: `into` is ", joined.str(), ", the result ", shape);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    parts.push_back(at_layer(std::to_string(i), [&] {
      return branches_[i].forward(x, joined.slice_channels(begin, channels[i]));
    }));
    begin += channels[i];
  }
  return concat(parts);
}

void Branches::visit(Visitor& visitor) {
  for (std::size_t i = 0; i < branches_.size(); ++i) visitor.child(std::to_string(i), branches_[i]);
}

LayerInfo Branches::info(const Shape& input) const {
  LayerInfo all{"Branches", input, 0, LayerInfo::Children::in_parallel};
  std::int64_t total = 0;
  for (const Module& branch : branches_) {
    const LayerInfo one = branch.info(input);
    all.output = one.output;
    total += one.output[-1];
    all.multiply_adds += one.multiply_adds;
  }
  all.output = all.output.with(-1, total);
  return all;
}

bool Branches::described() const {
  return std::ranges::all_of(branches_, [](const Module& branch) { return branch.described(); });
}

}  // namespace shatter
