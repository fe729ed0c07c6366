// What stands for cuDNN's convolutions where there is no cuDNN.
#include <shatter/kernels/cuda/conv2d_algorithms.h>
#include <shatter/kernels/error.h>

namespace shatter::kernels {
namespace {

[[noreturn]] void refuse(const char* op) {
  fail(ErrorKind::device, op, ": this build has no cuDNN");
}

}  // namespace

bool has_cudnn() {
  return false;
}

template <class T>
void conv2d_forward_cudnn(CudaContext&, const Conv2dGeometry&, const T*, const T*, const wide_t<T>*,
                          T*) {
  refuse("conv2d_forward");
}

template <class T>
void conv2d_backward_data_cudnn(CudaContext&, const Conv2dGeometry&, const T*, const T*, T*) {
  refuse("conv2d_backward_data");
}

template <class T>
void conv2d_backward_weight_cudnn(CudaContext&, const Conv2dGeometry&, const T*, const T*,
                                  wide_t<T>*) {
  refuse("conv2d_backward_weight");
}

template void conv2d_forward_cudnn(CudaContext&, const Conv2dGeometry&, const float*, const float*,
                                   const float*, float*);
template void conv2d_forward_cudnn(CudaContext&, const Conv2dGeometry&, const bfloat16*,
                                   const bfloat16*, const float*, bfloat16*);
template void conv2d_backward_data_cudnn(CudaContext&, const Conv2dGeometry&, const float*,
                                         const float*, float*);
template void conv2d_backward_data_cudnn(CudaContext&, const Conv2dGeometry&, const bfloat16*,
                                         const bfloat16*, bfloat16*);
template void conv2d_backward_weight_cudnn(CudaContext&, const Conv2dGeometry&, const float*,
                                           const float*, float*);
template void conv2d_backward_weight_cudnn(CudaContext&, const Conv2dGeometry&, const bfloat16*,
                                           const bfloat16*, float*);

}  // namespace shatter::kernels
