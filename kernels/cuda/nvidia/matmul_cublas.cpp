// Matrix products on CUDA by cuBLAS.
#include <cublas_v2.h>

#include <type_traits>

#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/matmul.h>
#include <shatter/kernels/work.h>

#include "check.h"

namespace shatter::kernels {
namespace {

void check_cublas(const char* what, cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  cudaGetLastError();  // a launch that was refused would be reported once more
  fail(ErrorKind::device, what, ": cuBLAS: ", cublasGetStatusString(status), " (",
       cublasGetStatusName(status), ")");
}

// The handle of a context. Its own workspace keeps cuBLAS from allocating, which a graph being
// recorded would forbid, and its results repeatable.
class Cublas {
 public:
  explicit Cublas(CudaContext& context) : workspace_(context, workspace_bytes) {
    cublasHandle_t handle = nullptr;
    check_cublas("cublasCreate", cublasCreate(&handle));
    handle_.reset(handle);
    check_cublas("cublasSetStream",
                 cublasSetStream(handle, static_cast<cudaStream_t>(context.stream())));
    // After cublasSetStream, which puts cuBLAS's own workspace back.
    check_cublas("cublasSetWorkspace",
                 cublasSetWorkspace(handle, workspace_.data(), workspace_bytes));
    // Sums of bfloat16 products stay in float to the end.
    check_cublas("cublasSetMathMode",
                 cublasSetMathMode(handle, static_cast<cublasMath_t>(
                                               CUBLAS_DEFAULT_MATH |
                                               CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)));
  }
  cublasHandle_t handle() const { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(cublasHandle_t handle) const { cublasDestroy(handle); }
  };
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
  CudaWorkspace<char> workspace_;
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, Destroy> handle_;
};

template <class T>
constexpr cudaDataType cuda_type = std::is_same_v<T, double>  ? CUDA_R_64F
                                   : std::is_same_v<T, float> ? CUDA_R_32F
                                                              : CUDA_R_16BF;

template <class T>
cublasComputeType_t compute_type(const CudaContext& context) {
  if constexpr (std::is_same_v<T, double>)
    return CUBLAS_COMPUTE_64F;
  else if constexpr (std::is_same_v<T, float>)
    return context.tf32() ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  else
    return CUBLAS_COMPUTE_32F;
}

// c = beta * c, the product of nothing.
template <class Out>
void scale_rows(CudaContext& context, cublasHandle_t handle, std::int64_t m, std::int64_t n,
                wide_t<Out> beta, Out* c, std::int64_t ldc) {
  const auto row = static_cast<std::size_t>(n) * sizeof(Out);
  if (beta == 0)
    return check_cuda("matmul", cudaMemset2DAsync(c, static_cast<std::size_t>(ldc) * sizeof(Out), 0,
                                                  row, static_cast<std::size_t>(m),
                                                  static_cast<cudaStream_t>(context.stream())));
  for (std::int64_t i = 0; i < m; ++i)
    check_cublas("matmul", cublasScalEx_64(handle, n, &beta, cuda_type<wide_t<Out>>, c + i * ldc,
                                           cuda_type<Out>, 1, cuda_type<wide_t<Out>>));
}

// Row-major matrices are column-major ones transposed: c' = op(b)' op(a)'.
template <class In, class Out>
void multiply(CudaContext& context, const MatmulGeometry& g, wide_t<Out> alpha, const In* a,
              const In* b, wide_t<Out> beta, Out* c) {
  if (g.m <= 0 || g.n <= 0) return;
  const ProfileScope scope(context, "matmul", matmul_work<In, Out>(g, beta != 0));
  const std::int64_t lda = g.lda ? g.lda : g.transpose_a ? g.m : g.k;
  const std::int64_t ldb = g.ldb ? g.ldb : g.transpose_b ? g.k : g.n;
  const std::int64_t ldc = g.ldc ? g.ldc : g.n;
  const cublasHandle_t handle = context.state<Cublas>().handle();
  if (g.k <= 0) return scale_rows(context, handle, g.m, g.n, beta, c, ldc);
  check_cublas("matmul",
               cublasGemmEx_64(handle, g.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                               g.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, g.n, g.m, g.k, &alpha, b,
                               cuda_type<In>, ldb, a, cuda_type<In>, lda, &beta, c, cuda_type<Out>,
                               ldc, compute_type<In>(context), CUBLAS_GEMM_DEFAULT));
}

}  // namespace

template <class T>
void matmul(CudaContext& context, const MatmulGeometry& g, wide_t<T> alpha, const T* a, const T* b,
            wide_t<T> beta, T* c) {
  multiply(context, g, alpha, a, b, beta, c);
}

void matmul(CudaContext& context, const MatmulGeometry& g, float alpha, const bfloat16* a,
            const bfloat16* b, float beta, float* c) {
  multiply(context, g, alpha, a, b, beta, c);
}

template void matmul(CudaContext&, const MatmulGeometry&, float, const float*, const float*, float,
                     float*);
template void matmul(CudaContext&, const MatmulGeometry&, double, const double*, const double*,
                     double, double*);
template void matmul(CudaContext&, const MatmulGeometry&, float, const bfloat16*, const bfloat16*,
                     float, bfloat16*);

}  // namespace shatter::kernels
