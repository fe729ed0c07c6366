// The calling thread's CUDA contexts.
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include <shatter/kernels/cuda/context.h>

namespace shatter {
namespace {

thread_local CudaContext* current_context = nullptr;

struct SharedContexts {
  std::mutex mutex;  // under it no other is taken
  std::map<int, std::unique_ptr<CudaContext>> contexts;
};

// Never destroyed: tensors with static lifetime may be freed after any static of this file.
SharedContexts& shared_contexts() {
  static SharedContexts& shared = *new SharedContexts;
  return shared;
}

}  // namespace

CudaContext& cuda_context(int device) {
  if (current_context && current_context->device() == device) return *current_context;
  SharedContexts& shared = shared_contexts();
  const std::lock_guard lock(shared.mutex);
  std::unique_ptr<CudaContext>& context = shared.contexts[device];
  if (!context) context = std::make_unique<CudaContext>(device);
  return *context;
}

CudaContextGuard::CudaContextGuard(CudaContext& context)
    : previous_(std::exchange(current_context, &context)) {}

CudaContextGuard::~CudaContextGuard() {
  current_context = previous_;
}

}  // namespace shatter
