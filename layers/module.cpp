// Walking, initialising, saving and describing models.
#include <shatter/layers/module.h>

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>

#include <shatter/core/autograd.h>
#include <shatter/core/multiply_adds.h>
#include <shatter/core/ops.h>
#include <shatter/core/random.h>
#include <shatter/core/safetensors.h>
#include <shatter/core/text.h>

namespace shatter {

void Visitor::parameter(const std::string&, Tensor&, const Initializer&) {}
void Visitor::buffer(const std::string&, Tensor&, double) {}
void Visitor::mode(Mode&) {}
void Visitor::flattening(Flattening&) {}

void Visitor::child(const std::string& name, ModelRef model) {
  const std::string outer = prefix_;
  prefix_ = qualified(name);
  model.visit(*this);
  prefix_ = outer;
}

std::string Visitor::qualified(const std::string& name) const {
  if (prefix_.empty() || name.empty()) return prefix_ + name;
  return prefix_ + "." + name;
}

namespace {

class Collector final : public Visitor {
 public:
  explicit Collector(bool buffers) : buffers_(buffers) {}
  void parameter(const std::string& name, Tensor& tensor, const Initializer&) override {
    found.push_back({qualified(name), tensor});
  }
  void buffer(const std::string& name, Tensor& tensor, double) override {
    if (buffers_) found.push_back({qualified(name), tensor});
  }
  std::vector<NamedTensor> found;

 private:
  bool buffers_;
};

class Starter final : public Visitor {
 public:
  explicit Starter(const InitializeOptions& options) : options_(options) {}
  void parameter(const std::string& name, Tensor& tensor, const Initializer& initializer) override {
    tensor.rebind(Tensor::empty(tensor.shape(), options_.dtype, tensor.device()));
    initializer.fill(tensor, derive_seed(options_.seed, qualified(name)));
    tensor.set_requires_grad(false);
    tensor.set_requires_grad();
  }
  void buffer(const std::string&, Tensor& tensor, double value) override {
    tensor.rebind(Tensor::full(tensor.shape(), value, options_.dtype, tensor.device()));
  }
  void mode(Mode& mode) override { mode = {.seed = derive_seed(options_.seed, qualified("mode"))}; }
  void flattening(Flattening& flattening) override { flattening.doubt.clear(); }

 private:
  InitializeOptions options_;
};

bool same_elements(const Tensor& a, const Tensor& b) {
  return a.shares_storage(b) && a.offset() == b.offset() && a.shape() == b.shape();
}

/// Replaces handles, where rebind() would change those of the original too.
class Separator final : public Visitor {
 public:
  void parameter(const std::string&, Tensor& tensor, const Initializer&) override { own(tensor); }
  void buffer(const std::string&, Tensor& tensor, double) override { own(tensor); }

 private:
  void own(Tensor& tensor) {
    for (const auto& [original, copy] : copies_) {
      if (same_elements(tensor, copy)) return;  // a layer visited twice has its copy already
      if (same_elements(tensor, original)) {
        tensor = copy;
        return;
      }
    }
    const Tensor copy = tensor.is_set()
                            ? tensor.detach().clone()
                            : Tensor::unset(tensor.shape(), tensor.dtype(), tensor.device());
    if (tensor.requires_grad()) copy.set_requires_grad();
    copies_.emplace_back(tensor, copy);
    tensor = copy;
  }
  std::vector<std::pair<Tensor, Tensor>> copies_;
};

class ModeSetter final : public Visitor {
 public:
  explicit ModeSetter(std::function<void(Mode&)> set) : set_(std::move(set)) {}
  void mode(Mode& mode) override { set_(mode); }

 private:
  std::function<void(Mode&)> set_;
};

class Flattenings final : public Visitor {
 public:
  explicit Flattenings(ModelRef model) { model.visit(*this); }
  void flattening(Flattening& flattening) override { found.push_back(&flattening); }
  std::vector<Flattening*> found;
};

/// A model out of training while this lives.
class NotTraining {
 public:
  explicit NotTraining(ModelRef model) {
    ModeSetter setter([this](Mode& mode) {
      modes_.emplace_back(&mode, mode.training);
      mode.training = false;
    });
    model.visit(setter);
  }
  ~NotTraining() {
    for (const auto& [mode, training] : modes_) mode->training = training;
  }
  NotTraining(const NotTraining&) = delete;
  NotTraining& operator=(const NotTraining&) = delete;

 private:
  std::vector<std::pair<Mode*, bool>> modes_;
};

/// Zeros for the parameters that have no elements, while this lives.
class BorrowedZeros final : public Visitor {
 public:
  explicit BorrowedZeros(ModelRef model) { model.visit(*this); }
  ~BorrowedZeros() override {
    for (const Tensor& x : borrowers_) x.rebind(Tensor::unset(x.shape(), x.dtype(), x.device()));
  }
  BorrowedZeros(const BorrowedZeros&) = delete;
  BorrowedZeros& operator=(const BorrowedZeros&) = delete;
  void parameter(const std::string&, Tensor& x, const Initializer&) override {
    if (x.is_set()) return;
    x.rebind(zeros_like(x));
    borrowers_.push_back(x);
  }

 private:
  std::vector<Tensor> borrowers_;
};

LayerInfo probe_with(const std::function<Tensor(const Tensor&)>& forward, const Tensor& x) {
  const NoGrad guard;
  const MultiplyAddCount count;
  const Shape output = forward(x).shape();
  return {.type = "function", .output = output, .multiply_adds = count.total()};
}

std::vector<NamedTensor> collect(ModelRef model, bool buffers) {
  Collector collector(buffers);
  model.visit(collector);
  std::set<std::string> names;
  for (const auto& [name, tensor] : collector.found) {
    check(names.insert(name).second, "model: two tensors are named ", name);
  }
  return std::move(collector.found);
}

Tensor to_pytorch(const Tensor& x) {
  return x.rank() == 4 ? permute(x.detach(), {0, 3, 1, 2}) : x.detach();
}
Shape pytorch_shape(const Tensor& x) {
  const Shape& s = x.shape();
  return x.rank() == 4 ? Shape{s[0], s[3], s[1], s[2]} : s;
}
Tensor from_pytorch(const Tensor& x) {
  return x.rank() == 4 ? permute(x, {0, 2, 3, 1}) : x;
}

constexpr const char* flatten_key = "flatten";  // of a file's metadata
constexpr const char* batches_tracked = "num_batches_tracked";

FlattenOrder order_named(const std::string& path, const std::string& name) {
  for (const FlattenOrder order : {FlattenOrder::hwc, FlattenOrder::chw}) {
    if (name == name_of(order)) return order;
  }
  fail(ErrorKind::data, path, ": metadata say ", flatten_key, " is \"", name,
       "\", expected hwc or chw");
}

/// Notes in every Flatten whether the weights now behind it may be of another order than its own.
void settle(ModelRef model, std::optional<FlattenOrder> said) {
  for (Flattening* one : Flattenings(model).found) {
    const char* own = name_of(one->order);
    if (said.value_or(FlattenOrder::chw) == one->order) {
      one->doubt.clear();
    } else if (said) {
      one->doubt = text("the weights were loaded from a state of the order ", name_of(*said),
                        "; make the layer Flatten(FlattenOrder::", name_of(*said), ")");
    } else {
      one->doubt = text(
          "the weights were loaded from a state that does not say its order, which "
          "PyTorch's is chw; make the layer Flatten(FlattenOrder::chw), or load with "
          "{.flatten = FlattenOrder::",
          own, "} where the state is ", own);
    }
  }
}

std::string listed(const ImportReport& report) {
  std::string lines;
  for (const std::string& line : report.missing) lines += "\n  missing " + line;
  for (const std::string& line : report.mismatched) lines += "\n  " + line;
  for (const std::string& line : report.unexpected) lines += "\n  unexpected " + line;
  return lines;
}

}  // namespace

const char* name_of(FlattenOrder order) {
  return order == FlattenOrder::hwc ? "hwc" : "chw";
}

LayerInfo probe(const std::function<Tensor(const Tensor&)>& forward, const Shape& input) {
  return probe_with(forward, Tensor::zeros(input));
}

LayerInfo probe(const std::function<Tensor(const Tensor&)>& forward, const Shape& input,
                ModelRef layer) {
  const NotTraining guard(layer);
  const BorrowedZeros zeros(layer);
  const std::vector<NamedTensor> state = named_state(layer);
  if (state.empty()) return probe(forward, input);
  const Tensor& like = state.front().tensor;
  return probe_with(forward, Tensor::zeros(input, like.dtype(), like.device()));
}

void detail::separate(ModelRef copy) {
  Separator separator;
  copy.visit(separator);
}

std::vector<NamedTensor> named_parameters(ModelRef model) {
  return collect(model, false);
}
std::vector<NamedTensor> named_state(ModelRef model) {
  return collect(model, true);
}

std::vector<Tensor> parameters(ModelRef model) {
  std::vector<Tensor> tensors;
  for (const NamedTensor& named : named_parameters(model)) tensors.push_back(named.tensor);
  return tensors;
}

std::vector<NamedTensor> trainable_parameters(ModelRef model) {
  std::vector<NamedTensor> trainable = named_parameters(model);
  std::erase_if(trainable, [](const NamedTensor& named) { return !named.tensor.requires_grad(); });
  return trainable;
}

void freeze(ModelRef model) {
  for (const Tensor& tensor : parameters(model)) tensor.set_requires_grad(false);
}
void unfreeze(ModelRef model) {
  for (const Tensor& tensor : parameters(model)) tensor.set_requires_grad();
}

std::int64_t parameter_count(ModelRef model) {
  std::int64_t count = 0;
  for (const Tensor& tensor : parameters(model)) count += tensor.numel();
  return count;
}

void initialize(ModelRef model, const InitializeOptions& options) {
  check(options.dtype == DType::float32 || options.dtype == DType::float64,
        "initialize: parameters of ", name_of(options.dtype), ", expected float32 or float64");
  Starter starter(options);
  model.visit(starter);
}

void to(ModelRef model, Device device) {
  for (const NamedTensor& named : named_state(model))
    named.tensor.rebind(named.tensor.detach().to(device));
}

void zero_grad(ModelRef model) {
  for (const Tensor& tensor : parameters(model)) {
    if (tensor.requires_grad()) tensor.set_grad({});
  }
}

void set_training(ModelRef model, bool training) {
  ModeSetter setter([training](Mode& mode) { mode.training = training; });
  model.visit(setter);
}

void set_step(ModelRef model, std::int64_t step) {
  const std::vector<Tensor> all = parameters(model);
  set_step(model, Tensor::full({1}, double(step), DType::int64,
                               all.empty() ? Device::cpu() : all.front().device()));
}

void set_step(ModelRef model, const Tensor& step) {
  check(step.defined() && step.dtype() == DType::int64 && step.numel() == 1, "set_step: step is ",
        step.str(), ", expected int64 [1]");
  ModeSetter setter([step](Mode& mode) { mode.step = step; });
  model.visit(setter);
}

std::vector<NamedTensor> export_state(ModelRef model) {
  std::vector<NamedTensor> state = named_state(model);
  for (NamedTensor& named : state) named.tensor = to_pytorch(named.tensor.to(Device::cpu()));
  return state;
}

ImportReport import_state(ModelRef model, const std::vector<NamedTensor>& state,
                          const ImportOptions& options) {
  std::map<std::string, Tensor> given;
  for (const auto& [name, tensor] : state) {
    check(given.emplace(name, tensor).second, "model state: two tensors are named ", name);
  }
  std::vector<std::pair<Tensor, Tensor>> copies;
  ImportReport report;
  for (const auto& [name, tensor] : named_state(model)) {
    const auto found = given.find(name);
    if (found == given.end()) {
      report.missing.push_back(text(name, " ", tensor.str()));
      continue;
    }
    const Tensor source = found->second;
    const Shape wanted = pytorch_shape(tensor);
    if (source.shape() != wanted || !is_floating(source.dtype())) {
      report.mismatched.push_back(
          text(name, " is ", source.str(), ", expected ", name_of(tensor.dtype()), " ", wanted));
    } else {
      copies.emplace_back(tensor, source);
    }
    given.erase(found);
  }
  for (const auto& [name, tensor] : given) {
    // PyTorch's batch norm counts its batches, which it needs only for an average it does not take.
    if (name == batches_tracked || name.ends_with(text(".", batches_tracked))) continue;
    report.unexpected.push_back(text(name, " ", tensor.str()));
  }
  if (options.strict && !report.complete()) {
    fail(ErrorKind::data, "model state does not fit the model:", listed(report));
  }
  for (const auto& [tensor, source] : copies) {
    tensor.copy_from(from_pytorch(source.to(tensor.dtype())).to(tensor.device()));
  }
  settle(model, options.flatten);
  return report;
}

void save_model(ModelRef model, const std::string& path) {
  NamedTensors content;
  for (const auto& [name, tensor] : export_state(model)) content.tensors[name] = tensor;
  const Flattenings flattenings(model);
  bool known = !flattenings.found.empty();
  for (const Flattening* one : flattenings.found) {
    const FlattenOrder first = flattenings.found.front()->order;
    check(one->order == first, "save_model: ", path, ": Flatten layers of the orders ",
          name_of(first), " and ", name_of(one->order), "; a file says one");
    known = known && one->doubt.empty();
  }
  if (known) content.metadata[flatten_key] = name_of(flattenings.found.front()->order);
  save_safetensors(path, content);
}

ImportReport load_model(ModelRef model, const std::string& path, const ImportOptions& options) {
  const NamedTensors content = load_safetensors(path);
  std::vector<NamedTensor> state;
  for (const auto& [name, tensor] : content.tensors) state.push_back({name, tensor});
  ImportOptions known = options;
  if (const auto said = content.metadata.find(flatten_key); said != content.metadata.end()) {
    known.flatten = order_named(path, said->second);
  }
  return import_state(model, state, known);
}

namespace {

/// Finds a layer's children and own parameters without walking into the children.
class Outline final : public Visitor {
 public:
  void child(const std::string& name, ModelRef model) override {
    children.emplace_back(name, model);
  }
  std::vector<std::pair<std::string, ModelRef>> children;
};

std::string dotted(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : prefix + "." + name;
}

void describe(ModelRef model, const std::string& name, const Shape& input, int depth,
              std::vector<SummaryRow>& rows) {
  Outline outline;
  model.visit(outline);
  const LayerInfo info = model.info(input);
  rows.push_back({name, depth, info, parameter_count(model)});
  if (info.children == LayerInfo::Children::unknown) return;
  Shape at = input;
  for (auto& [child_name, child] : outline.children) {
    describe(child, dotted(name, child_name), at, depth + 1, rows);
    if (info.children == LayerInfo::Children::in_turn) at = child.info(at).output;
  }
}

}  // namespace

Summary summarize(ModelRef model, const Shape& input) {
  check(input.rank() >= 1 && input[0] >= 1, "summarize: input is ", input);
  Summary summary;
  describe(model, "", input, 0, summary.rows);
  summary.parameters = parameter_count(model);
  summary.multiply_adds = summary.rows.front().info.multiply_adds / input[0];
  return summary;
}

std::string Summary::str(std::int64_t training_examples) const {
  std::size_t name_width = 5, type_width = 4;
  for (const SummaryRow& row : rows) {
    name_width = std::max(name_width, row.name.size());
    type_width = std::max(type_width, row.info.type.size() + 2 * std::size_t(row.depth));
  }
  std::ostringstream out;
  const auto line = [&](const std::string& name, const std::string& type, const std::string& shape,
                        const std::string& count, const std::string& cost) {
    out << std::left << std::setw(int(name_width)) << name << "  " << std::setw(int(type_width))
        << type << "  " << std::setw(20) << shape << std::right << std::setw(12) << count
        << std::setw(16) << cost << '\n';
  };
  line("name", "layer", "output", "parameters", "multiply-adds");
  for (const SummaryRow& row : rows) {
    line(row.name, std::string(2 * std::size_t(row.depth), ' ') + row.info.type,
         row.info.output.str(), grouped(row.parameters), grouped(row.info.multiply_adds));
  }
  out << "parameters " << grouped(parameters) << ", multiply-adds per image "
      << grouped(multiply_adds) << '\n';
  if (training_examples > 0) {
    out << "parameters per training example " << std::fixed << std::setprecision(1)
        << double(parameters) / double(training_examples)
        << " (p/n, n = " << grouped(training_examples) << ")\n";
  }
  return out.str();
}

}  // namespace shatter
