// Softmax, log-softmax, and softmax cross-entropy with its gradient on CUDA: one warp for each row,
// which is done in double.
#include <cmath>
#include <limits>

#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/softmax_cross_entropy.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// The row of this warp, its lane, and the row's elements that are the lane's.
struct Row {
  std::int64_t row, classes, begin;
  std::int64_t lane;

  __device__ explicit Row(std::int64_t classes_)
      : row(thread_index() / warpSize),
        classes(classes_),
        begin(row * classes),
        lane(threadIdx.x % warpSize) {}

  // Calls use(i) for the lane's places i in the array.
  template <class Use>
  __device__ void each(Use use) const {
    for (std::int64_t i = begin + lane; i < begin + classes; i += warpSize) use(i);
  }
};

template <class T>
__device__ T rounded(double value) {
  return static_cast<T>(static_cast<wide_t<T>>(value));
}

// The row's maximum and the sum of exp(x - maximum).
struct RowSums {
  double maximum, exponentials;
};

template <class T>
__device__ RowSums row_sums(const Row& row, const T* x) {
  double maximum = static_cast<double>(x[row.begin]);
  row.each([&](std::int64_t i) { maximum = Maximum{}(maximum, static_cast<double>(x[i])); });
  maximum = join_warp(maximum, Maximum{});
  double sum = 0;
  row.each([&](std::int64_t i) { sum += exp(static_cast<double>(x[i]) - maximum); });
  return {maximum, join_warp(sum, Add{})};
}

template <class T>
__global__ void softmax_row(std::int64_t rows, std::int64_t classes, const T* x, T* y) {
  const Row row(classes);
  if (row.row >= rows) return;
  const RowSums sums = row_sums(row, x);
  row.each([&](std::int64_t i) {
    y[i] = rounded<T>(exp(static_cast<double>(x[i]) - sums.maximum) / sums.exponentials);
  });
}

template <class T>
__global__ void softmax_gradient(std::int64_t rows, std::int64_t classes, const T* y, const T* dy,
                                 T* dx) {
  const Row row(classes);
  if (row.row >= rows) return;
  double sum = 0;
  row.each([&](std::int64_t i) { sum += static_cast<double>(dy[i]) * static_cast<double>(y[i]); });
  sum = join_warp(sum, Add{});
  row.each([&](std::int64_t i) {
    dx[i] = rounded<T>(static_cast<double>(y[i]) * (static_cast<double>(dy[i]) - sum));
  });
}

template <class T>
__global__ void log_softmax_row(std::int64_t rows, std::int64_t classes, const T* x, T* y) {
  const Row row(classes);
  if (row.row >= rows) return;
  const RowSums sums = row_sums(row, x);
  const double log_sum = log(sums.exponentials);
  row.each([&](std::int64_t i) {
    y[i] = rounded<T>(static_cast<double>(x[i]) - sums.maximum - log_sum);
  });
}

template <class T>
__global__ void log_softmax_gradient(std::int64_t rows, std::int64_t classes, const T* y,
                                     const T* dy, T* dx) {
  const Row row(classes);
  if (row.row >= rows) return;
  double sum = 0;
  row.each([&](std::int64_t i) { sum += static_cast<double>(dy[i]); });
  sum = join_warp(sum, Add{});
  row.each([&](std::int64_t i) {
    dx[i] = rounded<T>(static_cast<double>(dy[i]) - exp(static_cast<double>(y[i])) * sum);
  });
}

template <class T>
__global__ void cross_entropy_row(CrossEntropyGeometry g, const T* x, const std::int32_t* labels,
                                  wide_t<T>* loss, T* gradient) {
  const Row row(g.classes);
  if (row.row >= g.rows) return;
  const double share = g.label_smoothing / static_cast<double>(g.classes);
  const double main = 1 - g.label_smoothing;
  const std::int64_t label = labels[row.row];
  const bool valid = label >= 0 && label < g.classes;
  const RowSums sums = row_sums(row, x);
  const double log_sum = log(sums.exponentials);
  const auto log_probability = [&](std::int64_t i) {
    return static_cast<double>(x[i]) - sums.maximum - log_sum;
  };
  double total = 0;
  if (share != 0) {
    row.each([&](std::int64_t i) { total -= share * log_probability(i); });
    total = join_warp(total, Add{});
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (row.lane == 0)
    loss[row.row] =
        static_cast<wide_t<T>>(valid ? total - main * log_probability(row.begin + label) : nan);
  if (!gradient) return;
  row.each([&](std::int64_t i) {
    const double target = share + (i == row.begin + label ? main : 0.0);
    const double p = exp(static_cast<double>(x[i]) - sums.maximum) / sums.exponentials;
    gradient[i] = rounded<T>(valid ? p - target : nan);
  });
}

LaunchShape one_warp_each(std::int64_t rows, std::int64_t classes) {
  return one_thread_each(classes > 0 ? 32 * rows : 0);
}

}  // namespace

template <class T>
void softmax_forward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                     T* y) {
  const ProfileScope scope(context, "softmax_forward", elementwise_work<T>(rows * classes, 5, 2));
  launch(context, "softmax_forward", one_warp_each(rows, classes), softmax_row<T>, rows, classes, x,
         y);
}

template <class T>
void softmax_backward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                      const T* dy, T* dx) {
  const ProfileScope scope(context, "softmax_backward", elementwise_work<T>(rows * classes, 4, 3));
  launch(context, "softmax_backward", one_warp_each(rows, classes), softmax_gradient<T>, rows,
         classes, y, dy, dx);
}

template <class T>
void log_softmax_forward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                         T* y) {
  const ProfileScope scope(context, "log_softmax_forward",
                           elementwise_work<T>(rows * classes, 5, 2));
  launch(context, "log_softmax_forward", one_warp_each(rows, classes), log_softmax_row<T>, rows,
         classes, x, y);
}

template <class T>
void log_softmax_backward(CudaContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                          const T* dy, T* dx) {
  const ProfileScope scope(context, "log_softmax_backward",
                           elementwise_work<T>(rows * classes, 4, 3));
  launch(context, "log_softmax_backward", one_warp_each(rows, classes), log_softmax_gradient<T>,
         rows, classes, y, dy, dx);
}

template <class T>
void softmax_cross_entropy(CudaContext& context, const CrossEntropyGeometry& g, const T* logits,
                           const std::int32_t* labels, wide_t<T>* loss, T* gradient) {
  const ProfileScope scope(context, "softmax_cross_entropy",
                           cross_entropy_work<T>(g, gradient != nullptr));
  launch(context, "softmax_cross_entropy", one_warp_each(g.rows, g.classes), cross_entropy_row<T>,
         g, logits, labels, loss, gradient);
}

template void softmax_forward(CudaContext&, std::int64_t, std::int64_t, const float*, float*);
template void softmax_forward(CudaContext&, std::int64_t, std::int64_t, const double*, double*);
template void softmax_forward(CudaContext&, std::int64_t, std::int64_t, const bfloat16*, bfloat16*);
template void log_softmax_forward(CudaContext&, std::int64_t, std::int64_t, const float*, float*);
template void log_softmax_forward(CudaContext&, std::int64_t, std::int64_t, const double*, double*);
template void log_softmax_forward(CudaContext&, std::int64_t, std::int64_t, const bfloat16*,
                                  bfloat16*);
template void softmax_backward(CudaContext&, std::int64_t, std::int64_t, const float*, const float*,
                               float*);
template void softmax_backward(CudaContext&, std::int64_t, std::int64_t, const double*,
                               const double*, double*);
template void softmax_backward(CudaContext&, std::int64_t, std::int64_t, const bfloat16*,
                               const bfloat16*, bfloat16*);
template void log_softmax_backward(CudaContext&, std::int64_t, std::int64_t, const float*,
                                   const float*, float*);
template void log_softmax_backward(CudaContext&, std::int64_t, std::int64_t, const double*,
                                   const double*, double*);
template void log_softmax_backward(CudaContext&, std::int64_t, std::int64_t, const bfloat16*,
                                   const bfloat16*, bfloat16*);
template void softmax_cross_entropy(CudaContext&, const CrossEntropyGeometry&, const float*,
                                    const std::int32_t*, float*, float*);
template void softmax_cross_entropy(CudaContext&, const CrossEntropyGeometry&, const double*,
                                    const std::int32_t*, double*, double*);
template void softmax_cross_entropy(CudaContext&, const CrossEntropyGeometry&, const bfloat16*,
                                    const std::int32_t*, float*, bfloat16*);

}  // namespace shatter::kernels
