// Parameter updates: the ranges of all tensors are one list of chunks.
#include <cmath>
#include <vector>

#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// Calls update(tensor, begin, end) for ranges that cover every tensor.
template <class T, class Update>
void for_tensors(CpuContext& context, std::span<const UpdateTensor<T>> tensors, Update update) {
  std::vector<std::int64_t> first_chunk{0};
  for (const UpdateTensor<T>& tensor : tensors)
    first_chunk.push_back(first_chunk.back() + ceil_div(tensor.n, elements_per_chunk));
  context.parallel(first_chunk.back(), [&](std::int64_t chunk) {
    const auto after = std::upper_bound(first_chunk.begin(), first_chunk.end(), chunk);
    const auto i = static_cast<std::size_t>(after - first_chunk.begin() - 1);
    const std::int64_t begin = (chunk - first_chunk[i]) * elements_per_chunk;
    update(tensors[i], begin, std::min(begin + elements_per_chunk, tensors[i].n));
  });
}

}  // namespace

template <class T>
void sgd_update(CpuContext& context, std::span<const UpdateTensor<T>> tensors,
                const double* learning_rate, const std::int32_t* stopped, double momentum,
                bool nesterov) {
  const ProfileScope scope(context, "sgd_update", sgd_work(tensors, nesterov));
  if (stopped && *stopped) return;
  for_tensors(
      context, tensors, [=](const UpdateTensor<T>& tensor, std::int64_t begin, std::int64_t end) {
        multiversion([=, w = tensor.w, dw = tensor.dw, v = tensor.state, rate = T(*learning_rate),
                      decay = T(tensor.weight_decay), m = T(momentum)] {
          if (!v) {
            SHATTER_INDEPENDENT
            for (std::int64_t i = begin; i < end; ++i) w[i] -= rate * (dw[i] + decay * w[i]);
          } else if (nesterov) {
            SHATTER_INDEPENDENT
            for (std::int64_t i = begin; i < end; ++i) {
              const T g = dw[i] + decay * w[i];
              const T velocity = m * v[i] + g;
              v[i] = velocity;
              w[i] -= rate * (g + m * velocity);
            }
          } else {
            SHATTER_INDEPENDENT
            for (std::int64_t i = begin; i < end; ++i) {
              const T velocity = m * v[i] + (dw[i] + decay * w[i]);
              v[i] = velocity;
              w[i] -= rate * velocity;
            }
          }
        });
      });
}

template <class T>
void rmsprop_update(CpuContext& context, std::span<const UpdateTensor<T>> tensors,
                    const double* learning_rate, const std::int32_t* stopped, double decay,
                    double momentum, double epsilon) {
  const ProfileScope scope(context, "rmsprop_update", rmsprop_work(tensors));
  if (stopped && *stopped) return;
  for_tensors(
      context, tensors, [=](const UpdateTensor<T>& tensor, std::int64_t begin, std::int64_t end) {
        multiversion([=, w = tensor.w, dw = tensor.dw, s = tensor.state, b = tensor.momentum_buffer,
                      rate = T(*learning_rate), weight_decay = T(tensor.weight_decay),
                      keep = T(decay), rest = T(1 - decay), m = T(momentum), eps = T(epsilon)] {
          if (b) {
            SHATTER_INDEPENDENT
            for (std::int64_t i = begin; i < end; ++i) {
              const T g = dw[i] + weight_decay * w[i];
              const T square = keep * s[i] + rest * g * g;
              const T step = m * b[i] + rate * g / std::sqrt(square + eps);
              s[i] = square;
              b[i] = step;
              w[i] -= step;
            }
          } else {
            SHATTER_INDEPENDENT
            for (std::int64_t i = begin; i < end; ++i) {
              const T g = dw[i] + weight_decay * w[i];
              const T square = keep * s[i] + rest * g * g;
              s[i] = square;
              w[i] -= rate * g / std::sqrt(square + eps);
            }
          }
        });
      });
}

template void sgd_update(CpuContext&, std::span<const UpdateTensor<float>>, const double*,
                         const std::int32_t*, double, bool);
template void sgd_update(CpuContext&, std::span<const UpdateTensor<double>>, const double*,
                         const std::int32_t*, double, bool);
template void rmsprop_update(CpuContext&, std::span<const UpdateTensor<float>>, const double*,
                             const std::int32_t*, double, double, double);
template void rmsprop_update(CpuContext&, std::span<const UpdateTensor<double>>, const double*,
                             const std::int32_t*, double, double, double);

}  // namespace shatter::kernels
