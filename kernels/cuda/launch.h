// What CUDA sources are written in, and the one way to launch a kernel. nvcc compiles them against
// the CUDA headers, any C++ compiler against the emulation (kernels/emulation/dialect.h).
#pragma once

#include <shatter/kernels/cuda/context.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/error.h>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <tuple>
#include <utility>
#else
#include <shatter/kernels/emulation/dialect.h>
#endif

namespace shatter {

/// Blocks of a grid, threads of a block, and bytes of dynamic shared memory.
struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
};

/// The parts of CudaContext that launching needs.
struct LaunchAccess {
  /// Throws Error with the kernel's name if the launch failed; with SHATTER_SYNC=1 waits for it.
  static void launched(CudaContext& context, const char* kernel, int status);
#if !defined(__CUDACC__)
  /// Runs the grid at once, or records it in the graph being captured.
  static void emulate(CudaContext& context, const char* kernel, const LaunchShape& shape,
                      std::function<void()> thread);
#endif
};

/// Launches kernel<<<grid, block, shared_bytes, stream>>>(args...). An empty grid launches nothing.
/// Throws Error (device) naming `name` when the launch is refused.
template <class... Parameters, class... Args>
void launch(CudaContext& context, const char* name, const LaunchShape& shape,
            void (*kernel)(Parameters...), const Args&... args) {
  static_assert(sizeof...(Parameters) == sizeof...(Args));
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
#if defined(__CUDACC__)
  std::tuple<Parameters...> values(static_cast<Parameters>(args)...);
  std::apply(
      [&](Parameters&... value) {
        void* pointers[] = {&value..., nullptr};
        const auto stream = static_cast<cudaStream_t>(context.stream());
        cudaError_t status = cudaSuccess;
        if (shape.shared_bytes > 48 * 1024)
          status = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shape.shared_bytes));
        if (status == cudaSuccess)
          status = cudaLaunchKernel(reinterpret_cast<const void*>(kernel), shape.grid, shape.block,
                                    pointers, shape.shared_bytes, stream);
        LaunchAccess::launched(context, name, static_cast<int>(status));
      },
      values);
#else
  LaunchAccess::emulate(
      context, name, shape,
      [kernel, values = std::tuple<Parameters...>(static_cast<Parameters>(args)...)] {
        std::apply(kernel, values);
      });
#endif
}

namespace kernels {

inline constexpr int threads_per_block = 256;

/// One thread for each of n items, in blocks of threads_per_block.
inline LaunchShape one_thread_each(std::int64_t n) {
  return {dim3(static_cast<unsigned>((n + threads_per_block - 1) / threads_per_block)),
          dim3(threads_per_block)};
}

/// The thread's place in a one-dimensional grid.
__device__ inline std::int64_t thread_index() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}

/// The block's dynamic shared memory, at a multiple of 128 bytes.
template <class T>
__device__ T* dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) unsigned char memory[];
  return reinterpret_cast<T*>(memory);
#else
  return static_cast<T*>(emulation::dynamic_shared());
#endif
}

}  // namespace kernels
}  // namespace shatter
