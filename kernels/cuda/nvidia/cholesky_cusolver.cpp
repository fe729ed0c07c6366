// Cholesky factors on CUDA by cuSOLVER. The library is loaded when first asked for: few programs
// need it, and it and what it brings are larger than all the rest.
#include <cusolverDn.h>
#include <dlfcn.h>

#include <memory>
#include <type_traits>
#include <vector>

#include <shatter/kernels/cuda/cholesky.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/profile.h>

#include "check.h"

namespace shatter::kernels {
namespace {

void check_cusolver(const char* call, cusolverStatus_t status) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  cudaGetLastError();  // a launch that was refused would be reported once more
  fail(ErrorKind::device, call, ": cuSOLVER status ", static_cast<int>(status));
}

// The functions used, from a library that stays loaded.
class Functions {
 public:
  Functions() {
    const std::string name = "libcusolver.so." + std::to_string(CUSOLVER_VER_MAJOR);
    library_ = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library_)
      fail(ErrorKind::device, "cuSOLVER: ", dlerror(),
           "; it comes with the CUDA toolkit, LD_LIBRARY_PATH must name its folder");
    find("cusolverDnCreate", create);
    find("cusolverDnDestroy", destroy);
    find("cusolverDnSetStream", set_stream);
    find("cusolverDnSetDeterministicMode", set_deterministic_mode);
    find("cusolverDnCreateParams", create_params);
    find("cusolverDnDestroyParams", destroy_params);
    find("cusolverDnXpotrf_bufferSize", potrf_buffer_size);
    find("cusolverDnXpotrf", potrf);
    find("cusolverDnXpotrs", potrs);
  }

  decltype(&cusolverDnCreate) create;
  decltype(&cusolverDnDestroy) destroy;
  decltype(&cusolverDnSetStream) set_stream;
  decltype(&cusolverDnSetDeterministicMode) set_deterministic_mode;
  decltype(&cusolverDnCreateParams) create_params;
  decltype(&cusolverDnDestroyParams) destroy_params;
  decltype(&cusolverDnXpotrf_bufferSize) potrf_buffer_size;
  decltype(&cusolverDnXpotrf) potrf;
  decltype(&cusolverDnXpotrs) potrs;

 private:
  template <class Function>
  void find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
    if (!function) fail(ErrorKind::device, "cuSOLVER: ", dlerror());
  }
  void* library_ = nullptr;
};

const Functions& cusolver() {
  static const Functions functions;
  return functions;
}

// The handle of a context.
class Cusolver {
 public:
  explicit Cusolver(CudaContext& context) {
    cusolverDnHandle_t handle = nullptr;
    check_cusolver("cusolverDnCreate", cusolver().create(&handle));
    handle_.reset(handle);
    check_cusolver("cusolverDnSetStream",
                   cusolver().set_stream(handle, static_cast<cudaStream_t>(context.stream())));
    check_cusolver("cusolverDnSetDeterministicMode",
                   cusolver().set_deterministic_mode(handle, CUSOLVER_DETERMINISTIC_RESULTS));
    cusolverDnParams_t parameters = nullptr;
    check_cusolver("cusolverDnCreateParams", cusolver().create_params(&parameters));
    parameters_.reset(parameters);
  }
  cusolverDnHandle_t handle() const { return handle_.get(); }
  cusolverDnParams_t parameters() const { return parameters_.get(); }

 private:
  struct Destroy {
    void operator()(cusolverDnHandle_t handle) const { cusolver().destroy(handle); }
    void operator()(cusolverDnParams_t parameters) const { cusolver().destroy_params(parameters); }
  };
  std::unique_ptr<std::remove_pointer_t<cusolverDnHandle_t>, Destroy> handle_;
  std::unique_ptr<std::remove_pointer_t<cusolverDnParams_t>, Destroy> parameters_;
};

// A row-major lower triangle is a column-major upper one.
constexpr cublasFillMode_t triangle = CUBLAS_FILL_MODE_UPPER;

// What the last call left; waits for it.
int info_of(CudaContext& context, const char* call, const CudaWorkspace<int>& info) {
  int value = 0;
  context.copy_to_host(&value, info.data(), sizeof value);
  if (value < 0) fail(ErrorKind::device, call, ": cuSOLVER refuses argument ", -value);
  return value;
}

}  // namespace

std::int64_t cholesky(CudaContext& context, std::int64_t n, float* a) {
  if (n == 0) return -1;
  const ProfileScope scope(context, "cholesky", {n * n * n / 3, 2 * n * n * 4});
  const Cusolver& solver = context.state<Cusolver>();
  std::size_t device_bytes = 0, host_bytes = 0;
  check_cusolver(
      "cusolverDnXpotrf_bufferSize",
      cusolver().potrf_buffer_size(solver.handle(), solver.parameters(), triangle, n, CUDA_R_32F, a,
                                   n, CUDA_R_32F, &device_bytes, &host_bytes));
  const CudaWorkspace<char> workspace(context, static_cast<std::int64_t>(device_bytes));
  const CudaWorkspace<int> info(context, 1);
  std::vector<char> host(host_bytes);
  check_cusolver("cusolverDnXpotrf",
                 cusolver().potrf(solver.handle(), solver.parameters(), triangle, n, CUDA_R_32F, a,
                                  n, CUDA_R_32F, workspace.data(), device_bytes, host.data(),
                                  host_bytes, info.data()));
  return std::int64_t{info_of(context, "cusolverDnXpotrf", info)} - 1;
}

void cholesky_solve(CudaContext& context, std::int64_t n, std::int64_t columns, const float* l,
                    float* b) {
  if (n == 0 || columns == 0) return;
  const ProfileScope scope(context, "cholesky_solve", {2 * n * n * columns, n * n * 4});
  const Cusolver& solver = context.state<Cusolver>();
  const CudaWorkspace<int> info(context, 1);
  check_cusolver("cusolverDnXpotrs",
                 cusolver().potrs(solver.handle(), solver.parameters(), triangle, n, columns,
                                  CUDA_R_32F, l, n, CUDA_R_32F, b, n, info.data()));
  info_of(context, "cusolverDnXpotrs", info);
}

}  // namespace shatter::kernels
