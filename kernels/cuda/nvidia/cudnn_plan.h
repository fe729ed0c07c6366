// Plans of cuDNN's graph API for convolutions, for a GPU or for the description of one; not
// installed.
#pragma once

#include <cudnn_backend.h>

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <shatter/kernels/cuda/conv2d_plans.h>

namespace shatter::kernels {

/// Throws Error (device) with cuDNN's words.
void check_cudnn(const char* what, cudnnStatus_t status);

/// One descriptor of the graph API.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

  void set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
           const void* values);
  void set(cudnnBackendAttributeName_t name, std::int64_t value);
  void set(cudnnBackendAttributeName_t name, std::span<const std::int64_t> values);
  void set(cudnnBackendAttributeName_t name, cudnnDataType_t value);
  void set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value);
  void set_handle(cudnnBackendAttributeName_t name, cudnnHandle_t value);
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(get()); }
  void finalize(const char* what) { check_cudnn(what, try_finalize()); }

  std::int64_t integer(cudnnBackendAttributeName_t name) const;
  /// The values of an attribute of enumerators, at most `most` (which cuDNN wants exact where an
  /// attribute has one value).
  template <class Enumerator>
  std::set<Enumerator> enumerators(cudnnBackendAttributeName_t name,
                                   cudnnBackendAttributeType_t type, std::size_t most) const;
  /// The descriptors under an attribute, of the given type, at most `most`.
  std::vector<CudnnDescriptor> children(cudnnBackendAttributeName_t name,
                                        cudnnBackendDescriptorType_t type, std::int64_t most) const;

  cudnnBackendDescriptor_t get() const { return descriptor_.get(); }

 private:
  struct Destroy {
    void operator()(void* descriptor) const { cudnnBackendDestroyDescriptor(descriptor); }
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

/// What plans are made for: the GPU of a handle, or a described one, which nothing can run on.
struct PlanTarget {
  cudnnHandle_t handle = nullptr;
  const CudnnDescriptor* device = nullptr;
};

/// A GPU from cuDNN's JSON description of it.
CudnnDescriptor describe_device(const std::string& json);

/// The names tensors have in a variant pack.
enum CudnnTensor : std::int64_t { tensor_x = 'x', tensor_w = 'w', tensor_y = 'y' };

struct CudnnPlan {
  Conv2dPlan description;
  CudnnDescriptor plan;
};

/// The geometry cuDNN is given. Tensor-core kernels want channels in eights: where c is no multiple
/// of 8, x (or dx) and w (or dw) are copies of padded_channels(c) channels with zeros behind.
Conv2dGeometry planned_geometry(const Conv2dProblem& problem);
constexpr std::int64_t padded_channels(std::int64_t c) {
  return (c + 7) / 8 * 8;
}

/// Whether an engine with these notes sums the products of the operands as they are (on tensor
/// cores, where those are allowed, rounded as they round them) in float. One that converts its
/// inputs to a shorter type, sums in one, or transforms them (FFT, Winograd) does not; nor, as far
/// as is known, does one with a note that cuDNN may add.
bool sums_products(const std::set<cudnnBackendNumericalNote_t>& notes, bool tensor_cores);

/// The operation graph of a problem with what cuDNN's heuristics offer for it.
class Conv2dPlanner {
 public:
  Conv2dPlanner(const PlanTarget& target, const Conv2dProblem& problem,
                std::int64_t workspace_limit);

  /// The first plan in cuDNN's order that is deterministic, within the limit, on tensor cores where
  /// they are allowed, and not compiled at run time; else the first that gives up the last, then
  /// the last two of these. Nothing where no plan is deterministic.
  std::optional<CudnnPlan> first();
  std::optional<CudnnPlan> by_name(const std::string& name);
  std::vector<CudnnPlan> all();

 private:
  struct Candidate {
    Conv2dPlan description;
    CudnnDescriptor config;
  };
  // Candidates of cuDNN's heuristic modes in turn; null past the last one.
  Candidate* candidate(std::size_t i);
  void ask(cudnnBackendHeurMode_t mode);
  std::optional<CudnnPlan> finalized(const Candidate& candidate) const;

  PlanTarget target_;
  bool tensor_cores_;
  std::int64_t workspace_limit_;
  CudnnDescriptor graph_;
  std::vector<Candidate> candidates_;
  std::set<std::string> names_;
  std::size_t modes_asked_ = 0;
};

}  // namespace shatter::kernels
