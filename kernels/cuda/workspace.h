// Scratch memory of CUDA kernels.
#pragma once

#include <shatter/kernels/cuda/context.h>

namespace shatter::kernels {

/// Memory of a context for one kernel's scratch, given back at the end of the scope (to later work
/// of the same stream).
template <class T>
class CudaWorkspace {
 public:
  CudaWorkspace(CudaContext& context, std::int64_t n)
      : context_(context),
        bytes_(static_cast<std::size_t>(n) * sizeof(T)),
        data_(static_cast<T*>(context.allocate(bytes_))) {}
  ~CudaWorkspace() { context_.free(data_, bytes_); }
  CudaWorkspace(const CudaWorkspace&) = delete;
  CudaWorkspace& operator=(const CudaWorkspace&) = delete;
  T* data() const { return data_; }

 private:
  CudaContext& context_;
  std::size_t bytes_;
  T* data_;
};

}  // namespace shatter::kernels
