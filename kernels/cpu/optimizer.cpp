// Parameter updates: the ranges of all tensors are one list of chunks.
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <shatter/kernels/optimizer.h>
#include <shatter/kernels/work.h>

#include "multiversion.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

// The number of each tensor's first chunk, and of all chunks behind them.
template <class T>
std::vector<std::int64_t> first_chunks(std::span<const UpdateTensor<T>> tensors) {
  std::vector<std::int64_t> first{0};
  for (const UpdateTensor<T>& tensor : tensors)
    first.push_back(first.back() + ceil_div(tensor.n, elements_per_chunk));
  return first;
}

// Calls use(chunk, tensor, begin, end) for ranges that cover every tensor.
template <class T, class Use>
void for_chunks(CpuContext& context, std::span<const UpdateTensor<T>> tensors,
                const std::vector<std::int64_t>& first, Use use) {
  context.parallel(first.back(), [&](std::int64_t chunk) {
    const auto after = std::upper_bound(first.begin(), first.end(), chunk);
    const auto i = static_cast<std::size_t>(after - first.begin() - 1);
    const std::int64_t begin = (chunk - first[i]) * elements_per_chunk;
    use(chunk, tensors[i], begin, std::min(begin + elements_per_chunk, tensors[i].n));
  });
}

template <class T, class Rule, std::size_t... buffer>
void update_range(const Rule& the_rule, const StepValues<T>& values, const UpdateTensor<T>& tensor,
                  std::int64_t begin, std::int64_t end, std::index_sequence<buffer...>) {
  multiversion(
      [=, rule = the_rule, step = values, w = tensor.w, dw = tensor.dw, buffers = tensor.buffers] {
        SHATTER_INDEPENDENT
        for (std::int64_t i = begin; i < end; ++i) rule(step, w[i], dw[i], buffers[buffer][i]...);
      });
}

// The sum of squares of n values; sixteen running sums keep the order fixed and the lanes busy.
template <class T>
double sum_of_squares(std::int64_t n, const T* x) {
  constexpr std::int64_t lanes = 16;
  double partial[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t j = 0; j < lanes; ++j) {
      const auto value = static_cast<double>(x[i + j]);
      partial[j] += value * value;
    }
  for (; i < n; ++i) partial[i % lanes] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (std::int64_t j = 1; j < lanes; ++j) partial[0] += partial[j];
  return partial[0];
}

}  // namespace

template <class T>
void update(CpuContext& context, const UpdateRule& any_rule,
            std::span<const UpdateTensor<T>> tensors, const UpdateStep& step) {
  std::visit(
      [&]<class Rule>(const Rule& rule) {
        const ProfileScope scope(context, Rule::name, update_work<Rule>(tensors));
        if (step.stopped && *step.stopped) return;
        Corrections corrections;
        if constexpr (CountsUpdates<Rule>)
          corrections = rule.corrections(static_cast<double>(++*step.count));
        const double rate = step.rate ? *step.rate : 0;
        for_chunks(
            context, tensors, first_chunks(tensors),
            [&](std::int64_t, const UpdateTensor<T>& tensor, std::int64_t begin, std::int64_t end) {
              update_range(rule, step_values(tensor, rate, corrections), tensor, begin, end,
                           std::make_index_sequence<Rule::buffers>());
            });
      },
      any_rule);
}

template <class T>
void gradient_norm(CpuContext& context, std::span<const UpdateTensor<T>> tensors, double most,
                   double* norm, double* factor) {
  const ProfileScope scope(context, "gradient_norm", gradient_norm_work(tensors));
  const std::vector<std::int64_t> first = first_chunks(tensors);
  const Workspace<double> partials(first.back());
  for_chunks(
      context, tensors, first,
      [&](std::int64_t chunk, const UpdateTensor<T>& tensor, std::int64_t begin, std::int64_t end) {
        multiversion([n = end - begin, x = tensor.dw + begin, y = partials.data() + chunk] {
          *y = sum_of_squares(n, x);
        });
      });
  double squares = 0;
  for (std::int64_t i = 0; i < first.back(); ++i) squares += partials[i];
  *norm = std::sqrt(squares);
  *factor = clipping_factor(*norm, most);
}

template void update(CpuContext&, const UpdateRule&, std::span<const UpdateTensor<float>>,
                     const UpdateStep&);
template void update(CpuContext&, const UpdateRule&, std::span<const UpdateTensor<double>>,
                     const UpdateStep&);
template void gradient_norm(CpuContext&, std::span<const UpdateTensor<float>>, double, double*,
                            double*);
template void gradient_norm(CpuContext&, std::span<const UpdateTensor<double>>, double, double*,
                            double*);

}  // namespace shatter::kernels
