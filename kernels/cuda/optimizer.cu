// Parameter updates on CUDA: one launch for as many tensors as fit its parameters.
#include <algorithm>
#include <cmath>
#include <utility>

#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

constexpr int most_tensors = 64;  // 4 KiB of kernel parameters
constexpr std::int64_t elements_per_block = 4 * threads_per_block;

// Tensor i belongs to blocks first_block[i] .. first_block[i + 1] - 1.
template <class T>
struct TensorList {
  UpdateTensor<T> tensors[most_tensors];
  std::int32_t first_block[most_tensors + 1];
};

// A block's elements of its tensor.
template <class T>
struct BlockRange {
  const UpdateTensor<T>& tensor;
  std::int64_t begin, end;
};

template <class T>
__device__ BlockRange<T> range_of_block(const TensorList<T>& list) {
  const auto block = static_cast<std::int32_t>(blockIdx.x);
  int i = 0;
  while (block >= list.first_block[i + 1]) ++i;
  const UpdateTensor<T>& tensor = list.tensors[i];
  const std::int64_t begin = (block - list.first_block[i]) * elements_per_block;
  return {tensor, begin, std::min(begin + elements_per_block, tensor.n)};
}

// Whether a tensor's arrays may be accessed in vectors.
template <class T>
__device__ bool aligned(const UpdateTensor<T>& t) {
  auto bits = reinterpret_cast<std::uintptr_t>(t.w) | reinterpret_cast<std::uintptr_t>(t.dw);
  for (const T* const buffer : t.buffers) bits |= reinterpret_cast<std::uintptr_t>(buffer);
  return bits % 16 == 0;
}

// `width` elements from i on.
template <int width, class T, class Rule, std::size_t... buffer>
__device__ void apply(const Rule& rule, const StepValues<T>& step, const UpdateTensor<T>& t,
                      std::int64_t i, std::index_sequence<buffer...>) {
  auto w = load<width>(t.w + i);
  const auto g = load<width>(t.dw + i);
  Values<T, width> buffers[most_buffers];
  ((buffers[buffer] = load<width>(t.buffers[buffer] + i)), ...);
  for (int k = 0; k < width; ++k) rule(step, w[k], g[k], buffers[buffer][k]...);
  (store(buffers[buffer], t.buffers[buffer] + i), ...);
  store(w, t.w + i);
}

template <class T, class Rule>
__global__ void update_tensors(const __grid_constant__ TensorList<T> list, Rule rule,
                               const double* rate, const std::int32_t* stopped,
                               const Corrections* corrections) {
  if (stopped && *stopped) return;
  constexpr int width = vector_width<T>;
  constexpr auto buffers = std::make_index_sequence<Rule::buffers>();
  const auto [t, begin, end] = range_of_block(list);
  const StepValues<T> step =
      step_values(t, rate ? *rate : 0, corrections ? *corrections : Corrections{});
  std::int64_t i = begin + threadIdx.x;
  if (aligned(t)) {
    const std::int64_t whole = begin + (end - begin) / width * width;
    for (std::int64_t v = begin + width * threadIdx.x; v < whole; v += width * blockDim.x)
      apply<width>(rule, step, t, v, buffers);
    i += whole - begin;
  }
  for (; i < end; i += blockDim.x) apply<1>(rule, step, t, i, buffers);
}

template <class Rule>
__global__ void count_update(Rule rule, const std::int32_t* stopped, std::int64_t* count,
                             Corrections* corrections) {
  if (stopped && *stopped) return;
  *corrections = rule.corrections(static_cast<double>(++*count));
}

// The sum of squares of each block's gradients.
template <class T>
__global__ void squares_of_blocks(const __grid_constant__ TensorList<T> list, double* sums) {
  const auto [t, begin, end] = range_of_block(list);
  double sum = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
    sum += static_cast<double>(t.dw[i]) * static_cast<double>(t.dw[i]);
  sum = join_block(sum, 0.0, Add{});
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void join_squares(std::int64_t n, const double* sums, double most, double* norm,
                             double* factor) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += sums[i];
  sum = join_block(sum, 0.0, Add{});
  if (threadIdx.x != 0) return;
  *norm = std::sqrt(sum);
  *factor = clipping_factor(*norm, most);
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
void update(CudaContext& context, const UpdateRule& any_rule,
            std::span<const UpdateTensor<T>> tensors, const UpdateStep& step) {
  std::visit(
      [&]<class Rule>(const Rule& rule) {
        static_assert(sizeof(TensorList<T>) + sizeof(Rule) + 3 * sizeof(void*) <= 4096);
        const ProfileScope scope(context, Rule::name, update_work<Rule>(tensors));
        const auto run = [&](const Corrections* corrections) {
          for_lists(tensors, [&](const LaunchShape& shape, const TensorList<T>& list) {
            launch(context, Rule::name, shape, update_tensors<T, Rule>, list, rule, step.rate,
                   step.stopped, corrections);
          });
        };
        if constexpr (CountsUpdates<Rule>) {
          const CudaWorkspace<Corrections> corrections(context, 1);
          launch(context, "count_update", {dim3(1), dim3(1)}, count_update<Rule>, rule,
                 step.stopped, step.count, corrections.data());
          run(corrections.data());
        } else {
          run(nullptr);
        }
      },
      any_rule);
}

template <class T>
void gradient_norm(CudaContext& context, std::span<const UpdateTensor<T>> tensors, double most,
                   double* norm, double* factor) {
  const ProfileScope scope(context, "gradient_norm", gradient_norm_work(tensors));
  std::int64_t blocks = 0;
  for (const UpdateTensor<T>& tensor : tensors) blocks += ceil_div(tensor.n, elements_per_block);
  const CudaWorkspace<double> sums(context, blocks);
  double* next = sums.data();
  for_lists(tensors, [&](const LaunchShape& shape, const TensorList<T>& list) {
    launch(context, "gradient_norm", shape, squares_of_blocks<T>, list, next);
    next += shape.grid.x;
  });
  launch(context, "gradient_norm", {dim3(1), dim3(threads_per_block)}, join_squares, blocks,
         sums.data(), most, norm, factor);
}

template void update(CudaContext&, const UpdateRule&, std::span<const UpdateTensor<float>>,
                     const UpdateStep&);
template void update(CudaContext&, const UpdateRule&, std::span<const UpdateTensor<double>>,
                     const UpdateStep&);
template void gradient_norm(CudaContext&, std::span<const UpdateTensor<float>>, double, double*,
                            double*);
template void gradient_norm(CudaContext&, std::span<const UpdateTensor<double>>, double, double*,
                            double*);

}  // namespace shatter::kernels
