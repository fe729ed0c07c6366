// Parameter updates on CUDA: one launch for as many tensors as fit its parameters.
#include <algorithm>
#include <cmath>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/optimizer.h>

namespace shatter::kernels {
namespace {

constexpr int most_tensors = 64;  // 4 KiB of kernel parameters
constexpr int elements_per_thread = 4;
constexpr std::int64_t elements_per_block = elements_per_thread * threads_per_block;

// Tensor i is updated by blocks first_block[i] .. first_block[i + 1] - 1.
template <class T>
struct TensorList {
  UpdateTensor<T> tensors[most_tensors];
  std::int32_t first_block[most_tensors + 1];
};

// Calls update(tensor, i) for the elements i of this thread.
template <class T, class Update>
__device__ void for_elements(const TensorList<T>& list, Update update) {
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  int tensor = 0;
  while (block >= list.first_block[tensor + 1]) ++tensor;
  const UpdateTensor<T>& t = list.tensors[tensor];
  const std::int64_t begin = (block - list.first_block[tensor]) * elements_per_block + threadIdx.x;
  for (int k = 0; k < elements_per_thread; ++k) {
    const std::int64_t i = begin + k * threads_per_block;
    if (i < t.n) update(t, i);
  }
}

template <class T>
__global__ void sgd(TensorList<T> list, const double* learning_rate, const std::int32_t* stopped,
                    T momentum, bool nesterov) {
  if (stopped && *stopped) return;
  const auto rate = static_cast<T>(*learning_rate);
  for_elements(list, [=](const UpdateTensor<T>& t, std::int64_t i) {
    const T w = t.w[i], g = t.dw[i] + static_cast<T>(t.weight_decay) * w;
    T direction = g;
    if (t.state) {
      const T velocity = momentum * t.state[i] + g;
      t.state[i] = velocity;
      direction = nesterov ? g + momentum * velocity : velocity;
    }
    t.w[i] = w - rate * direction;
  });
}

template <class T>
__global__ void rmsprop(TensorList<T> list, const double* learning_rate,
                        const std::int32_t* stopped, T decay, T rest, T momentum, T epsilon) {
  if (stopped && *stopped) return;
  const auto rate = static_cast<T>(*learning_rate);
  for_elements(list, [=](const UpdateTensor<T>& t, std::int64_t i) {
    const T w = t.w[i], g = t.dw[i] + static_cast<T>(t.weight_decay) * w;
    const T square = decay * t.state[i] + rest * g * g;
    t.state[i] = square;
    T step = rate * g / std::sqrt(square + epsilon);
    if (t.momentum_buffer) {
      step += momentum * t.momentum_buffer[i];
      t.momentum_buffer[i] = step;
    }
    t.w[i] = w - step;
  });
}

// Calls run(shape, list) for lists that cover the tensors.
template <class T, class Run>
void for_lists(std::span<const UpdateTensor<T>> tensors, Run run) {
  for (std::size_t begin = 0; begin < tensors.size(); begin += most_tensors) {
    const std::size_t count = std::min<std::size_t>(most_tensors, tensors.size() - begin);
    TensorList<T> list{};
    for (std::size_t i = 0; i < count; ++i) {
      list.tensors[i] = tensors[begin + i];
      const std::int64_t blocks =
          (tensors[begin + i].n + elements_per_block - 1) / elements_per_block;
      list.first_block[i + 1] = list.first_block[i] + static_cast<std::int32_t>(blocks);
    }
    run(LaunchShape{dim3(static_cast<unsigned>(list.first_block[count])), dim3(threads_per_block)},
        list);
  }
}

}  // namespace

template <class T>
void sgd_update(CudaContext& context, std::span<const UpdateTensor<T>> tensors,
                const double* learning_rate, const std::int32_t* stopped, double momentum,
                bool nesterov) {
  for_lists(tensors, [&](const LaunchShape& shape, const TensorList<T>& list) {
    launch(context, "sgd_update", shape, sgd<T>, list, learning_rate, stopped,
           static_cast<T>(momentum), nesterov);
  });
}

template <class T>
void rmsprop_update(CudaContext& context, std::span<const UpdateTensor<T>> tensors,
                    const double* learning_rate, const std::int32_t* stopped, double decay,
                    double momentum, double epsilon) {
  for_lists(tensors, [&](const LaunchShape& shape, const TensorList<T>& list) {
    launch(context, "rmsprop_update", shape, rmsprop<T>, list, learning_rate, stopped,
           static_cast<T>(decay), static_cast<T>(1 - decay), static_cast<T>(momentum),
           static_cast<T>(epsilon));
  });
}

template void sgd_update(CudaContext&, std::span<const UpdateTensor<float>>, const double*,
                         const std::int32_t*, double, bool);
template void sgd_update(CudaContext&, std::span<const UpdateTensor<double>>, const double*,
                         const std::int32_t*, double, bool);
template void rmsprop_update(CudaContext&, std::span<const UpdateTensor<float>>, const double*,
                             const std::int32_t*, double, double, double);
template void rmsprop_update(CudaContext&, std::span<const UpdateTensor<double>>, const double*,
                             const std::int32_t*, double, double, double);

}  // namespace shatter::kernels
