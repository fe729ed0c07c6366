// Convolution plans by cuDNN's graph API: tensors, operation, heuristics, selection.
#include "cudnn_plan.h"

#include <algorithm>
#include <array>

#include <shatter/kernels/error.h>

namespace shatter::kernels {

void check_cudnn(const char* what, cudnnStatus_t status) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  cudaGetLastError();  // a launch that was refused would be reported once more
  std::array<char, 512> words{};
  cudnnGetLastErrorString(words.data(), words.size());
  fail(ErrorKind::device, what, ": cuDNN: ", cudnnGetErrorString(status),
       words[0] ? text(" (", words.data(), ")") : "");
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  check_cudnn("cudnnBackendCreateDescriptor", cudnnBackendCreateDescriptor(type, &descriptor));
  descriptor_.reset(descriptor);
}

void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          std::int64_t count, const void* values) {
  check_cudnn("cudnnBackendSetAttribute",
              cudnnBackendSetAttribute(get(), name, type, count, values));
}
void CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::int64_t value) {
  set(name, CUDNN_TYPE_INT64, 1, &value);
}
void CudnnDescriptor::set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values) {
  set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
}
void CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
void CudnnDescriptor::set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
  const cudnnBackendDescriptor_t descriptor = value.get();
  set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
}
void CudnnDescriptor::set_handle(cudnnBackendAttributeName_t name, cudnnHandle_t value) {
  set(name, CUDNN_TYPE_HANDLE, 1, &value);
}

std::int64_t CudnnDescriptor::integer(cudnnBackendAttributeName_t name) const {
  std::int64_t count = 0, value = 0;
  check_cudnn("cudnnBackendGetAttribute",
              cudnnBackendGetAttribute(get(), name, CUDNN_TYPE_INT64, 1, &count, &value));
  return value;
}

template <class Enumerator>
std::set<Enumerator> CudnnDescriptor::enumerators(cudnnBackendAttributeName_t name,
                                                  cudnnBackendAttributeType_t type,
                                                  std::size_t most) const {
  std::vector<Enumerator> values(most);
  std::int64_t count = 0;
  check_cudnn("cudnnBackendGetAttribute",
              cudnnBackendGetAttribute(get(), name, type, static_cast<std::int64_t>(most), &count,
                                       values.data()));
  return {values.begin(), values.begin() + count};
}

std::vector<CudnnDescriptor> CudnnDescriptor::children(cudnnBackendAttributeName_t name,
                                                       cudnnBackendDescriptorType_t type,
                                                       std::int64_t most) const {
  std::vector<CudnnDescriptor> result;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < most; ++i) raw.push_back(result.emplace_back(type).get());
  std::int64_t count = 0;
  check_cudnn("cudnnBackendGetAttribute",
              cudnnBackendGetAttribute(get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &count,
                                       raw.data()));
  result.erase(result.begin() + std::min(count, most), result.end());
  return result;
}

CudnnDescriptor describe_device(const std::string& json) {
  CudnnDescriptor device(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  // The terminating zero counts.
  device.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
             static_cast<std::int64_t>(json.size() + 1), json.c_str());
  device.finalize("describe_device");
  return device;
}

Conv2dGeometry planned_geometry(const Conv2dProblem& problem) {
  Conv2dGeometry g = problem.geometry;
  if (problem.tensor_cores() && g.c != padded_channels(g.c)) {
    g.c = padded_channels(g.c);
    g.x_pitch = 0;
  }
  return g;
}

bool sums_products(const std::set<cudnnBackendNumericalNote_t>& notes, bool tensor_cores) {
  return std::all_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
           note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP ||
           (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && tensor_cores);
  });
}

namespace {

constexpr std::array modes{CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};

// Dimensions in cuDNN's order [n, c, h, w], whatever their strides.
CudnnDescriptor tensor(CudnnTensor id, const std::array<std::int64_t, 4>& dimensions,
                       const std::array<std::int64_t, 4>& strides, cudnnDataType_t type,
                       std::int64_t alignment) {
  CudnnDescriptor t(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  t.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, static_cast<std::int64_t>(id));
  t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  t.set(CUDNN_ATTR_TENSOR_DIMENSIONS, dimensions);
  t.set(CUDNN_ATTR_TENSOR_STRIDES, strides);
  t.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  t.finalize("cuDNN tensor");
  return t;
}

CudnnDescriptor image(CudnnTensor id, std::int64_t n, std::int64_t h, std::int64_t w,
                      std::int64_t c, std::int64_t pitch, cudnnDataType_t type,
                      std::int64_t alignment) {
  return tensor(id, {n, c, h, w}, {h * w * pitch, 1, w * pitch, pitch}, type, alignment);
}

CudnnDescriptor convolution(const Windows& win) {
  CudnnDescriptor c(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const std::array<std::int64_t, 2> dilation{win.dilation_h, win.dilation_w};
  const std::array<std::int64_t, 2> stride{win.stride_h, win.stride_w};
  const std::array<std::int64_t, 2> before{win.padding.top, win.padding.left};
  const std::array<std::int64_t, 2> after{win.padding.bottom, win.padding.right};
  c.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
  c.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  c.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  c.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, before);
  c.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, after);
  c.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation);
  c.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride);
  c.finalize("cuDNN convolution");
  return c;
}

// The attributes by which each direction's operation names its parts.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
};
constexpr OperationNames operation_names[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

CudnnDescriptor operation_graph(const PlanTarget& target, const Conv2dProblem& problem) {
  const Conv2dGeometry g = planned_geometry(problem);
  const Windows& win = g.windows;
  const bool half = problem.dtype == DType::bfloat16;
  const cudnnDataType_t type = half ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const std::int64_t alignment = problem.aligned ? 16 : half ? 2 : 4;
  const OperationNames& names = operation_names[static_cast<int>(problem.direction)];
  CudnnDescriptor operation(names.type);
  operation.set(names.convolution, convolution(win));
  operation.set(names.x, image(tensor_x, win.n, win.h, win.w, g.c, g.x_step(), type, alignment));
  operation.set(names.w, image(tensor_w, g.k, win.r, win.s, g.c, g.c, type, alignment));
  operation.set(names.y,
                image(tensor_y, win.n, win.out_h(), win.out_w(), g.k, g.y_step(), type, alignment));
  const float alpha = 1, beta = 0;
  operation.set(names.alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
  operation.set(names.beta, CUDNN_TYPE_FLOAT, 1, &beta);
  operation.finalize("cuDNN operation");

  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  if (target.handle) graph.set_handle(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, target.handle);
  graph.finalize("cuDNN operation graph");
  return graph;
}

std::string name_of(const CudnnDescriptor& config, const CudnnDescriptor& engine) {
  std::string name = text("eng", engine.integer(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  for (const CudnnDescriptor& knob :
       config.children(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR,
                       CUDNN_KNOB_TYPE_COUNTS)) {
    const auto type = knob.enumerators<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                                               CUDNN_TYPE_KNOB_TYPE, 1);
    name += text(" k", static_cast<int>(*type.begin()), "=",
                 knob.integer(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return name;
}

}  // namespace

Conv2dPlanner::Conv2dPlanner(const PlanTarget& target, const Conv2dProblem& problem,
                             std::int64_t workspace_limit)
    : target_(target),
      tensor_cores_(problem.tensor_cores()),
      workspace_limit_(workspace_limit),
      graph_(operation_graph(target, problem)) {}

void Conv2dPlanner::ask(cudnnBackendHeurMode_t mode) {
  CudnnDescriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (target_.device) heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target_.device);
  if (heuristic.try_finalize() != CUDNN_STATUS_SUCCESS) return;  // the mode knows nothing
  std::int64_t count = 0;
  check_cudnn("cuDNN heuristics",
              cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  for (CudnnDescriptor& config : heuristic.children(CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                    CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, count)) {
    const std::vector<CudnnDescriptor> engines =
        config.children(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (engines.empty()) continue;
    const auto numerics = engines[0].enumerators<cudnnBackendNumericalNote_t>(
        CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
        CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    const auto behaviour = engines[0].enumerators<cudnnBackendBehaviorNote_t>(
        CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
    if (!sums_products(numerics, tensor_cores_)) continue;
    const Conv2dPlan description{
        .name = name_of(config, engines[0]),
        .deterministic = !numerics.contains(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
        .tensor_core = numerics.contains(CUDNN_NUMERICAL_NOTE_TENSOR_CORE),
        .runtime_compiled = behaviour.contains(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)};
    if (names_.insert(description.name).second)
      candidates_.push_back({description, std::move(config)});
  }
}

Conv2dPlanner::Candidate* Conv2dPlanner::candidate(std::size_t i) {
  while (i >= candidates_.size() && modes_asked_ < modes.size()) ask(modes[modes_asked_++]);
  return i < candidates_.size() ? &candidates_[i] : nullptr;
}

std::optional<CudnnPlan> Conv2dPlanner::finalized(const Candidate& candidate) const {
  CudnnPlan result{candidate.description, CudnnDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)};
  result.plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate.config);
  if (target_.handle) result.plan.set_handle(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target_.handle);
  if (target_.device) result.plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target_.device);
  if (result.plan.try_finalize() != CUDNN_STATUS_SUCCESS) return std::nullopt;
  result.description.workspace_bytes =
      result.plan.integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  if (result.description.workspace_bytes > workspace_limit_) return std::nullopt;
  return result;
}

std::optional<CudnnPlan> Conv2dPlanner::first() {
  // What is wanted besides determinism, given up from the back.
  struct Wish {
    bool tensor_core, precompiled;
  };
  for (const Wish wish : {Wish{tensor_cores_, true}, Wish{tensor_cores_, false}, Wish{}}) {
    for (std::size_t i = 0; const Candidate* c = candidate(i); ++i) {
      const Conv2dPlan& plan = c->description;
      if (!plan.deterministic || (wish.tensor_core && !plan.tensor_core) ||
          (wish.precompiled && plan.runtime_compiled))
        continue;
      if (std::optional<CudnnPlan> result = finalized(*c)) return result;
    }
  }
  return std::nullopt;
}

std::optional<CudnnPlan> Conv2dPlanner::by_name(const std::string& name) {
  for (std::size_t i = 0; const Candidate* c = candidate(i); ++i)
    if (c->description.name == name) return finalized(*c);
  return std::nullopt;
}

std::vector<CudnnPlan> Conv2dPlanner::all() {
  std::vector<CudnnPlan> plans;
  for (std::size_t i = 0; const Candidate* c = candidate(i); ++i)
    if (std::optional<CudnnPlan> plan = finalized(*c)) plans.push_back(std::move(*plan));
  return plans;
}

}  // namespace shatter::kernels
