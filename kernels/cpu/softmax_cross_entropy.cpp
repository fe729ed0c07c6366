// Softmax, log-softmax, and softmax cross-entropy with its gradient. Rows are done in double.
#include <cmath>

#include <shatter/kernels/functions.h>
#include <shatter/kernels/softmax_cross_entropy.h>
#include <shatter/kernels/work.h>

#include "workspace.h"

namespace shatter::kernels {

namespace {

// A result in double, rounded to the type arithmetic on T is done in and then to T.
template <class T>
T rounded(double value) {
  return static_cast<T>(static_cast<wide_t<T>>(value));
}

template <class Body>
void for_rows(CpuContext& context, std::int64_t rows, std::int64_t classes, Body body) {
  // An exponential costs about as much as sixteen plain operations.
  context.parallel_for(rows, rows_per_chunk(16 * classes),
                       [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t row = begin; row < end; ++row) body(row);
                       });
}

// The row's maximum and the sum of exp(x - maximum).
struct RowSums {
  double maximum, exponentials;
};

template <class T>
RowSums row_sums(std::int64_t classes, const T* x) {
  wide_t<T> maximum = x[0];
  for (std::int64_t i = 1; i < classes; ++i) maximum = Maximum{}(maximum, wide_t<T>(x[i]));
  RowSums sums{static_cast<double>(maximum), 0};
  for (std::int64_t i = 0; i < classes; ++i)
    sums.exponentials += std::exp(static_cast<double>(x[i]) - sums.maximum);
  return sums;
}

}  // namespace

template <class T>
void softmax_forward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                     T* y) {
  const ProfileScope scope(context, "softmax_forward", elementwise_work<T>(rows * classes, 5, 2));
  if (classes <= 0) return;
  for_rows(context, rows, classes, [=](std::int64_t row) {
    const T* const in = x + row * classes;
    T* const out = y + row * classes;
    const RowSums sums = row_sums(classes, in);
    for (std::int64_t i = 0; i < classes; ++i)
      out[i] = rounded<T>(std::exp(static_cast<double>(in[i]) - sums.maximum) / sums.exponentials);
  });
}

template <class T>
void softmax_backward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                      const T* dy, T* dx) {
  const ProfileScope scope(context, "softmax_backward", elementwise_work<T>(rows * classes, 4, 3));
  for_rows(context, rows, classes, [=](std::int64_t row) {
    const std::int64_t at = row * classes;
    double sum = 0;
    for (std::int64_t i = at; i < at + classes; ++i)
      sum += static_cast<double>(dy[i]) * static_cast<double>(y[i]);
    for (std::int64_t i = at; i < at + classes; ++i)
      dx[i] = rounded<T>(static_cast<double>(y[i]) * (static_cast<double>(dy[i]) - sum));
  });
}

template <class T>
void log_softmax_forward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* x,
                         T* y) {
  const ProfileScope scope(context, "log_softmax_forward",
                           elementwise_work<T>(rows * classes, 5, 2));
  if (classes <= 0) return;
  for_rows(context, rows, classes, [=](std::int64_t row) {
    const T* const in = x + row * classes;
    T* const out = y + row * classes;
    const RowSums sums = row_sums(classes, in);
    const double log_sum = std::log(sums.exponentials);
    for (std::int64_t i = 0; i < classes; ++i)
      out[i] = rounded<T>(static_cast<double>(in[i]) - sums.maximum - log_sum);
  });
}

template <class T>
void log_softmax_backward(CpuContext& context, std::int64_t rows, std::int64_t classes, const T* y,
                          const T* dy, T* dx) {
  const ProfileScope scope(context, "log_softmax_backward",
                           elementwise_work<T>(rows * classes, 4, 3));
  for_rows(context, rows, classes, [=](std::int64_t row) {
    const std::int64_t at = row * classes;
    double sum = 0;
    for (std::int64_t i = at; i < at + classes; ++i) sum += static_cast<double>(dy[i]);
    for (std::int64_t i = at; i < at + classes; ++i)
      dx[i] = rounded<T>(static_cast<double>(dy[i]) - std::exp(static_cast<double>(y[i])) * sum);
  });
}

template <class T>
void softmax_cross_entropy(CpuContext& context, const CrossEntropyGeometry& g, const T* logits,
                           const std::int32_t* labels, wide_t<T>* loss, T* gradient) {
  const ProfileScope scope(context, "softmax_cross_entropy",
                           cross_entropy_work<T>(g, gradient != nullptr));
  if (g.classes <= 0) return;
  const std::int64_t classes = g.classes;
  const double share = g.label_smoothing / static_cast<double>(classes);
  const double main = 1 - g.label_smoothing;
  for_rows(context, g.rows, classes, [=](std::int64_t row) {
    const T* const x = logits + row * classes;
    const RowSums sums = row_sums(classes, x);
    const double log_sum = std::log(sums.exponentials);
    const auto log_probability = [&](std::int64_t i) {
      return static_cast<double>(x[i]) - sums.maximum - log_sum;
    };
    const std::int64_t label = labels[row];
    double total = -main * log_probability(label);
    if (share != 0)
      for (std::int64_t i = 0; i < classes; ++i) total -= share * log_probability(i);
    loss[row] = static_cast<wide_t<T>>(total);
    if (!gradient) return;
    for (std::int64_t i = 0; i < classes; ++i) {
      const double target = share + (i == label ? main : 0.0);
      gradient[row * classes + i] = rounded<T>(
          std::exp(static_cast<double>(x[i]) - sums.maximum) / sums.exponentials - target);
    }
  });
}

template void softmax_forward(CpuContext&, std::int64_t, std::int64_t, const float*, float*);
template void softmax_forward(CpuContext&, std::int64_t, std::int64_t, const double*, double*);
template void softmax_backward(CpuContext&, std::int64_t, std::int64_t, const float*, const float*,
                               float*);
template void softmax_backward(CpuContext&, std::int64_t, std::int64_t, const double*,
                               const double*, double*);
template void log_softmax_forward(CpuContext&, std::int64_t, std::int64_t, const float*, float*);
template void log_softmax_forward(CpuContext&, std::int64_t, std::int64_t, const double*, double*);
template void log_softmax_backward(CpuContext&, std::int64_t, std::int64_t, const float*,
                                   const float*, float*);
template void log_softmax_backward(CpuContext&, std::int64_t, std::int64_t, const double*,
                                   const double*, double*);
template void softmax_cross_entropy(CpuContext&, const CrossEntropyGeometry&, const float*,
                                    const std::int32_t*, float*, float*);
template void softmax_cross_entropy(CpuContext&, const CrossEntropyGeometry&, const double*,
                                    const std::int32_t*, double*, double*);

template void softmax_forward(CpuContext&, std::int64_t, std::int64_t, const bfloat16*, bfloat16*);
template void softmax_backward(CpuContext&, std::int64_t, std::int64_t, const bfloat16*,
                               const bfloat16*, bfloat16*);
template void log_softmax_forward(CpuContext&, std::int64_t, std::int64_t, const bfloat16*,
                                  bfloat16*);
template void log_softmax_backward(CpuContext&, std::int64_t, std::int64_t, const bfloat16*,
                                   const bfloat16*, bfloat16*);
template void softmax_cross_entropy(CpuContext&, const CrossEntropyGeometry&, const bfloat16*,
                                    const std::int32_t*, float*, bfloat16*);

}  // namespace shatter::kernels
