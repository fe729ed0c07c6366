// Checked calls of the CUDA runtime; not installed.
#pragma once

#include <cuda_runtime_api.h>

#include <shatter/kernels/error.h>

namespace shatter {

/// Throws Error (device) with the driver's words, naming the call or kernel. The runtime forgets
/// the error, so that a library's next call does not report it as its own; a kernel's fault stays.
inline void check_cuda(const char* what, cudaError_t status) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  fail(ErrorKind::device, what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
       "); SHATTER_SYNC=1 names the kernel at fault");
}

}  // namespace shatter
