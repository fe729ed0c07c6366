// Parameter updates on CUDA: one launch for as many tensors as fit its parameters.
#include <algorithm>
#include <cmath>

#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

constexpr int most_tensors = 64;  // 4 KiB of kernel parameters
constexpr std::int64_t elements_per_block = 4 * threads_per_block;

// Tensor i is updated by blocks first_block[i] .. first_block[i + 1] - 1.
template <class T>
struct TensorList {
  UpdateTensor<T> tensors[most_tensors];
  std::int32_t first_block[most_tensors + 1];
};

// Whether a tensor's arrays may be accessed in vectors.
template <class T>
__device__ bool aligned(const UpdateTensor<T>& t) {
  const auto bits = reinterpret_cast<std::uintptr_t>(t.w) | reinterpret_cast<std::uintptr_t>(t.dw) |
                    reinterpret_cast<std::uintptr_t>(t.state) |
                    reinterpret_cast<std::uintptr_t>(t.momentum_buffer);
  return bits % 16 == 0;
}

// Calls update.run<width>(tensor, i) for the elements of this thread.
template <class T, class Update>
__device__ void for_elements(const TensorList<T>& list, const Update& update) {
  constexpr int width = vector_width<T>;
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  int tensor = 0;
  while (block >= list.first_block[tensor + 1]) ++tensor;
  const UpdateTensor<T>& t = list.tensors[tensor];
  const std::int64_t begin = (block - list.first_block[tensor]) * elements_per_block;
  const std::int64_t end = std::min(begin + elements_per_block, t.n);
  std::int64_t i = begin + threadIdx.x;
  if (aligned(t)) {
    const std::int64_t whole = begin + (end - begin) / width * width;
    for (std::int64_t v = begin + width * threadIdx.x; v < whole; v += width * blockDim.x)
      update.template run<width>(t, v);
    i += whole - begin;
  }
  for (; i < end; i += blockDim.x) update.template run<1>(t, i);
}

template <class T>
struct Sgd {
  T rate, momentum;
  bool nesterov;
  template <int width>
  __device__ void run(const UpdateTensor<T>& t, std::int64_t i) const {
    auto w = load<width>(t.w + i), g = load<width>(t.dw + i);
    const auto decay = static_cast<T>(t.weight_decay);
    for (int k = 0; k < width; ++k) g[k] += decay * w[k];
    if (t.state) {
      auto velocity = load<width>(t.state + i);
      for (int k = 0; k < width; ++k) {
        velocity[k] = momentum * velocity[k] + g[k];
        g[k] = nesterov ? g[k] + momentum * velocity[k] : velocity[k];
      }
      store(velocity, t.state + i);
    }
    for (int k = 0; k < width; ++k) w[k] -= rate * g[k];
    store(w, t.w + i);
  }
};

template <class T>
__global__ void sgd(TensorList<T> list, const double* learning_rate, const std::int32_t* stopped,
                    T momentum, bool nesterov) {
  if (stopped && *stopped) return;
  for_elements(list, Sgd<T>{static_cast<T>(*learning_rate), momentum, nesterov});
}

template <class T>
struct RmsProp {
  T rate, decay, rest, momentum, epsilon;
  template <int width>
  __device__ void run(const UpdateTensor<T>& t, std::int64_t i) const {
    auto w = load<width>(t.w + i), g = load<width>(t.dw + i), square = load<width>(t.state + i);
    const auto weight_decay = static_cast<T>(t.weight_decay);
    for (int k = 0; k < width; ++k) {
      g[k] += weight_decay * w[k];
      square[k] = decay * square[k] + rest * g[k] * g[k];
      g[k] = rate * g[k] / std::sqrt(square[k] + epsilon);
    }
    store(square, t.state + i);
    if (t.momentum_buffer) {
      const auto buffer = load<width>(t.momentum_buffer + i);
      for (int k = 0; k < width; ++k) g[k] += momentum * buffer[k];
      store(g, t.momentum_buffer + i);
    }
    for (int k = 0; k < width; ++k) w[k] -= g[k];
    store(w, t.w + i);
  }
};

template <class T>
__global__ void rmsprop(TensorList<T> list, const double* learning_rate,
                        const std::int32_t* stopped, T decay, T rest, T momentum, T epsilon) {
  if (stopped && *stopped) return;
  for_elements(list, RmsProp<T>{static_cast<T>(*learning_rate), decay, rest, momentum, epsilon});
}

// Calls run(shape, list) for lists that cover the tensors.
template <class T, class Run>
void for_lists(std::span<const UpdateTensor<T>> tensors, Run run) {
  for (std::size_t begin = 0; begin < tensors.size(); begin += most_tensors) {
    const std::size_t count = std::min<std::size_t>(most_tensors, tensors.size() - begin);
    TensorList<T> list{};
    for (std::size_t i = 0; i < count; ++i) {
      list.tensors[i] = tensors[begin + i];
      const std::int64_t blocks = ceil_div(tensors[begin + i].n, elements_per_block);
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
  const ProfileScope scope(context, "sgd_update", sgd_work(tensors, nesterov));
  for_lists(tensors, [&](const LaunchShape& shape, const TensorList<T>& list) {
    launch(context, "sgd_update", shape, sgd<T>, list, learning_rate, stopped,
           static_cast<T>(momentum), nesterov);
  });
}

template <class T>
void rmsprop_update(CudaContext& context, std::span<const UpdateTensor<T>> tensors,
                    const double* learning_rate, const std::int32_t* stopped, double decay,
                    double momentum, double epsilon) {
  const ProfileScope scope(context, "rmsprop_update", rmsprop_work(tensors));
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
