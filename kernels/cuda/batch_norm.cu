// Batch normalisation on CUDA: statistics, normalisation (with ReLU), and their gradients.
//
// A block takes blockDim.x neighbouring vectors of channels and a chunk of rows, which its
// blockDim.y row lanes share; what is per channel lies in its shared memory and then in registers.
// Sums over rows are of four rows at a time in the type of the arithmetic and of everything else in
// double: four terms lose no more than their own roundings, and conversions to double, the slowest
// instructions here, stay few. Blocks leave partial sums, which a second launch adds in order.
#include <cmath>

#include <shatter/kernels/batch_norm.h>
#include <shatter/kernels/cuda/block.h>
#include <shatter/kernels/cuda/vector.h>
#include <shatter/kernels/cuda/workspace.h>
#include <shatter/kernels/functions.h>
#include <shatter/kernels/work.h>

namespace shatter::kernels {
namespace {

// Rows and channels, and the rows of one block.
struct Slab {
  std::int64_t rows, channels, x_step, y_step, chunk;
};

// The forward value before the ReLU. Backward takes its mask from this very expression, whose
// roundings are spelled out so that no compiler chooses them.
template <class A>
__device__ A normalized(A x, A mean, A scale, A shift) {
  return std::fma(x - mean, scale, shift);
}

template <class A>
__device__ A inverse_deviation(A variance, A epsilon) {
  return A(1) / std::sqrt(variance + epsilon);
}

// What normalisation needs to know of each channel; gamma and beta may be null.
template <class A>
struct ChannelArrays {
  const A *mean, *variance, *gamma, *beta;
  A epsilon;
};

// The same of one thread's channels.
template <class A, int width>
struct Channels {
  Values<A, width> mean, scale, shift;
};

// The first of the thread's channels; beyond the last one for threads that have none.
template <int width>
__device__ std::int64_t first_channel() {
  return (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * width;
}

// Computes each of the block's channels once. Every thread of the block calls it.
template <int width, class A>
__device__ Channels<A, width> fold(const ChannelArrays<A>& arrays, std::int64_t channels) {
  __shared__ A mean[width * threads_per_block], scale[width * threads_per_block],
      shift[width * threads_per_block];
  const std::int64_t block = std::int64_t{blockIdx.x} * blockDim.x * width;
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const int threads = static_cast<int>(blockDim.x * blockDim.y);
  for (int i = thread; i < static_cast<int>(blockDim.x) * width; i += threads) {
    const std::int64_t c = block + i;
    if (c >= channels) break;
    const A inverse = inverse_deviation(arrays.variance[c], arrays.epsilon);
    mean[i] = arrays.mean[c];
    scale[i] = arrays.gamma ? arrays.gamma[c] * inverse : inverse;
    shift[i] = arrays.beta ? arrays.beta[c] : A(0);
  }
  __syncthreads();
  Channels<A, width> mine;
  for (int k = 0; k < width; ++k) {
    const int i = static_cast<int>(threadIdx.x) * width + k;
    mine.mean[k] = mean[i];
    mine.scale[k] = scale[i];
    mine.shift[k] = shift[i];
  }
  return mine;
}

// Calls four(row, lanes) for rows row, row + lanes, .. row + 3 lanes of the thread's share of its
// block's chunk, and one(row) for the last ones.
template <class Four, class One>
__device__ void for_rows(const Slab& slab, Four four, One one) {
  const std::int64_t begin = blockIdx.y * slab.chunk, lanes = blockDim.y;
  const std::int64_t end = std::min(begin + slab.chunk, slab.rows);
  std::int64_t row = begin + threadIdx.y;
  for (; row + 3 * lanes < end; row += 4 * lanes) four(row, lanes);
  for (; row < end; row += lanes) one(row);
}

// One row's values a and b, of which sum_rows adds up a and a * b.
template <class A, int width>
struct Terms {
  Values<A, width> a, b;
};

// Statistics: a = b = x less the first row, so that nothing cancels where the mean is large.
template <class T>
struct Deviations {
  using A = wide_t<T>;
  const T* x;

  template <int width>
  struct Reader {
    const T* x;
    std::int64_t step;
    Values<A, width> origin;
    __device__ Terms<A, width> operator()(std::int64_t row) const {
      Terms<A, width> terms;
      const auto v = load<width>(x + row * step);
      for (int k = 0; k < width; ++k) terms.a[k] = terms.b[k] = v[k] - origin[k];
      return terms;
    }
  };
  template <int width>
  __device__ Reader<width> reader(const Slab& slab, std::int64_t c, bool inside) const {
    Reader<width> result{x + c, slab.x_step, {}};
    if (inside) result.origin = load<width>(x + c);
    return result;
  }
};

// dy behind the ReLU's mask.
template <bool relu, class A>
__device__ A masked(A dy, A x, A mean, A scale, A shift) {
  if constexpr (relu)
    return normalized(x, mean, scale, shift) <= A(0) ? A(0) : dy;
  else
    return dy;
}

// Gradients: a is dy behind the mask, b is x - mean.
template <bool relu, class T>
struct Gradients {
  using A = wide_t<T>;
  ChannelArrays<A> arrays;
  const T *x, *dy;

  template <int width>
  struct Reader {
    const T *x, *dy;
    std::int64_t x_step, y_step;
    Channels<A, width> channels;
    __device__ Terms<A, width> operator()(std::int64_t row) const {
      const auto v = load<width>(x + row * x_step), d = load<width>(dy + row * y_step);
      Terms<A, width> terms;
      for (int k = 0; k < width; ++k) {
        terms.a[k] =
            masked<relu>(d[k], v[k], channels.mean[k], channels.scale[k], channels.shift[k]);
        terms.b[k] = v[k] - channels.mean[k];
      }
      return terms;
    }
  };
  template <int width>
  __device__ Reader<width> reader(const Slab& slab, std::int64_t c, bool) const {
    return {x + c, dy + c, slab.x_step, slab.y_step, fold<width>(arrays, slab.channels)};
  }
};

// partials [row blocks, 2, channels]: each block's sums of a and of a * b.
template <int width, class Source>
__global__ void sum_rows(Slab slab, Source source, double* partials) {
  using A = typename Source::A;
  const std::int64_t c = first_channel<width>();
  const bool inside = c < slab.channels;
  const auto read = source.template reader<width>(slab, c, inside);
  Values<double, width> sum{}, product{};
  if (inside)
    for_rows(
        slab,
        [&](std::int64_t row, std::int64_t lanes) {
          Terms<A, width> terms[4];
          for (int r = 0; r < 4; ++r) terms[r] = read(row + r * lanes);
          for (int k = 0; k < width; ++k) {
            A p = terms[0].a[k] * terms[0].b[k];
            for (int r = 1; r < 4; ++r) p = std::fma(terms[r].a[k], terms[r].b[k], p);
            sum[k] += static_cast<double>((terms[0].a[k] + terms[1].a[k]) +
                                          (terms[2].a[k] + terms[3].a[k]));
            product[k] += static_cast<double>(p);
          }
        },
        [&](std::int64_t row) {
          const Terms<A, width> terms = read(row);
          for (int k = 0; k < width; ++k) {
            sum[k] += static_cast<double>(terms.a[k]);
            product[k] += static_cast<double>(terms.a[k] * terms.b[k]);
          }
        });
  __shared__ double shared[width * threads_per_block];
  const int lane = static_cast<int>(threadIdx.y), lanes = static_cast<int>(blockDim.y);
  const int stride = static_cast<int>(blockDim.x) * width;
  double* const column = shared + threadIdx.x * width;
  const auto write = [&](const Values<double, width>& mine, double* out) {
    for (int k = 0; k < width; ++k) column[lane * stride + k] = mine[k];
    join_columns<width>(column, lane, lanes, stride, Add{});
    if (inside && lane == 0)
      for (int k = 0; k < width; ++k) out[k] = column[k];
  };
  double* const out = partials + 2 * slab.channels * blockIdx.y + c;
  write(sum, out);
  __syncthreads();  // the first sums are read
  write(product, out + slab.channels);
}

// Adds the row blocks' partial sums, one thread column for each channel, and hands each channel's
// two totals to finish(c, sum, product).
template <class Finish>
__global__ void add_partials(std::int64_t row_blocks, std::int64_t channels, const double* partials,
                             Finish finish) {
  __shared__ double shared[2][1024];
  const std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int lane = static_cast<int>(threadIdx.y), lanes = static_cast<int>(blockDim.y);
  const int stride = static_cast<int>(blockDim.x);
  double sum = 0, product = 0;
  if (c < channels)
    for (std::int64_t block = lane; block < row_blocks; block += lanes) {
      sum += partials[2 * block * channels + c];
      product += partials[(2 * block + 1) * channels + c];
    }
  double* const sums = shared[0] + threadIdx.x;
  double* const products = shared[1] + threadIdx.x;
  sums[lane * stride] = sum;
  products[lane * stride] = product;
  join_columns(sums, lane, lanes, stride, Add{});
  join_columns(products, lane, lanes, stride, Add{});
  if (lane == 0 && c < channels) finish(c, *sums, *products);
}

template <class T>
struct FinishStatistics {
  double rows;
  const T* x;
  wide_t<T>*mean, *variance;
  __device__ void operator()(std::int64_t c, double sum, double square) const {
    const double difference = sum / rows;
    const double spread = square / rows - difference * difference;
    mean[c] = static_cast<wide_t<T>>(static_cast<double>(x[c]) + difference);
    variance[c] = static_cast<wide_t<T>>(spread < 0 ? 0.0 : spread);
  }
};

// terms [2, channels], for the gradient of x: mean(dz), and what x - mean is multiplied by.
template <class A>
struct FinishGradients {
  double rows;
  const A* variance;
  A epsilon;
  A *dgamma, *dbeta, *terms;
  std::int64_t channels;
  __device__ void operator()(std::int64_t c, double sum, double product) const {
    const auto inverse = static_cast<double>(inverse_deviation(variance[c], epsilon));
    if (dbeta) dbeta[c] = static_cast<A>(sum);
    if (dgamma) dgamma[c] = static_cast<A>(product * inverse);
    terms[c] = static_cast<A>(sum / rows);
    terms[channels + c] = static_cast<A>(product / rows * inverse * inverse);
  }
};

template <int width, bool relu, class T>
__global__ void normalize(Slab slab, ChannelArrays<wide_t<T>> arrays, const T* x, T* y) {
  using A = wide_t<T>;
  const auto channels = fold<width>(arrays, slab.channels);
  const std::int64_t c = first_channel<width>();
  if (c >= slab.channels) return;
  const auto write = [&](std::int64_t row, Values<A, width> v) {
    for (int k = 0; k < width; ++k) {
      const A z = normalized(v[k], channels.mean[k], channels.scale[k], channels.shift[k]);
      v[k] = relu && z <= A(0) ? A(0) : z;
    }
    store(v, y + row * slab.y_step + c);
  };
  const auto read = [&](std::int64_t row) { return load<width>(x + row * slab.x_step + c); };
  for_rows(
      slab,
      [&](std::int64_t row, std::int64_t lanes) {
        Values<A, width> v[4];
        for (int r = 0; r < 4; ++r) v[r] = read(row + r * lanes);
        for (int r = 0; r < 4; ++r) write(row + r * lanes, v[r]);
      },
      [&](std::int64_t row) { write(row, read(row)); });
}

// terms as FinishGradients leaves them; null where the statistics did not depend on x.
template <int width, bool relu, class T>
__global__ void input_gradient(Slab slab, ChannelArrays<wide_t<T>> arrays, const wide_t<T>* terms,
                               const T* x, const T* dy, T* dx) {
  using A = wide_t<T>;
  const auto channels = fold<width>(arrays, slab.channels);
  const std::int64_t c = first_channel<width>();
  if (c >= slab.channels) return;
  Values<A, width> mean_dz{}, slope{};
  if (terms)
    for (int k = 0; k < width; ++k) {
      mean_dz[k] = terms[c + k];
      slope[k] = terms[slab.channels + c + k];
    }
  const auto write = [&](std::int64_t row, const Values<A, width>& v, Values<A, width> d) {
    for (int k = 0; k < width; ++k) {
      const A mean = channels.mean[k], scale = channels.scale[k];
      const A dz = masked<relu>(d[k], v[k], mean, scale, channels.shift[k]);
      d[k] = scale * std::fma(mean - v[k], slope[k], dz - mean_dz[k]);
    }
    store(d, dx + row * slab.x_step + c);
  };
  const auto read_x = [&](std::int64_t row) { return load<width>(x + row * slab.x_step + c); };
  const auto read_dy = [&](std::int64_t row) { return load<width>(dy + row * slab.y_step + c); };
  for_rows(
      slab,
      [&](std::int64_t row, std::int64_t lanes) {
        Values<A, width> v[4], d[4];
        for (int r = 0; r < 4; ++r) {
          v[r] = read_x(row + r * lanes);
          d[r] = read_dy(row + r * lanes);
        }
        for (int r = 0; r < 4; ++r) write(row + r * lanes, v[r], d[r]);
      },
      [&](std::int64_t row) { write(row, read_x(row), read_dy(row)); });
}

// A slab and the launch that covers it with at most `blocks` blocks of at least `rows_of_lane` rows
// for each row lane.
struct Cover {
  Slab slab;
  LaunchShape shape;

  Cover(const BatchNormGeometry& g, int width, std::int64_t blocks, std::int64_t rows_of_lane) {
    const std::int64_t vectors = g.channels / width;
    const std::int64_t columns = ceil_div(vectors, threads_per_block);
    const std::int64_t lanes = columns ? ceil_div(vectors, columns) : 1;
    const std::int64_t row_lanes = threads_per_block / lanes;
    const std::int64_t row_blocks =
        std::min(ceil_div(g.rows, row_lanes * rows_of_lane),
                 std::max<std::int64_t>(1, columns ? blocks / columns : 1));
    slab = {g.rows, g.channels, g.x_step(), g.y_step(),
            row_blocks ? ceil_div(g.rows, row_blocks) : 0};
    shape = {dim3(static_cast<unsigned>(columns), static_cast<unsigned>(row_blocks)),
             dim3(static_cast<unsigned>(lanes), static_cast<unsigned>(row_lanes))};
  }
  std::int64_t row_blocks() const { return shape.grid.y; }
};

// Sums: few blocks, so that few partial sums are left. Streams: enough to balance themselves.
Cover cover_sums(const BatchNormGeometry& g, int width) {
  return Cover(g, width, 512, 8);
}
Cover cover_stream(const BatchNormGeometry& g, int width) {
  return Cover(g, width, 4096, 4);
}

// Calls use(width) with the vector width, a compile-time constant, that pitches and pointers allow.
template <class T, class Use, class... Pointers>
void with_width(const BatchNormGeometry& g, Use use, const Pointers*... pointers) {
  constexpr int width = vector_width<T>;
  if (multiples<width>(g.channels, g.x_step(), g.y_step()) && vectors_at<width>(pointers...))
    use(std::integral_constant<int, width>{});
  else
    use(std::integral_constant<int, 1>{});
}

template <class Finish>
void launch_add_partials(CudaContext& context, const char* name, std::int64_t row_blocks,
                         std::int64_t channels, const double* partials, const Finish& finish) {
  unsigned lanes = 1;
  while (lanes < 32 && 4 * lanes < row_blocks) lanes *= 2;
  launch(context, name, {dim3(static_cast<unsigned>(ceil_div(channels, 32))), dim3(32, lanes)},
         add_partials<Finish>, row_blocks, channels, partials, finish);
}

template <bool relu, class T>
void backward(CudaContext& context, const BatchNormGeometry& g,
              const ChannelArrays<wide_t<T>>& arrays, const T* x, const T* dy, T* dx,
              wide_t<T>* dgamma, wide_t<T>* dbeta) {
  using A = wide_t<T>;
  const CudaWorkspace<A> terms(context, 2 * g.channels);
  with_width<T>(
      g,
      [&](auto constant) {
        constexpr int width = decltype(constant)::value;
        if (g.training || dgamma || dbeta) {
          const Cover cover = cover_sums(g, width);
          const CudaWorkspace<double> partials(context, 2 * cover.row_blocks() * g.channels);
          launch(context, "batch_norm_backward (sums)", cover.shape,
                 sum_rows<width, Gradients<relu, T>>, cover.slab, Gradients<relu, T>{arrays, x, dy},
                 partials.data());
          launch_add_partials(
              context, "batch_norm_backward (totals)", cover.row_blocks(), g.channels,
              partials.data(),
              FinishGradients<A>{static_cast<double>(g.rows), arrays.variance, arrays.epsilon,
                                 dgamma, dbeta, terms.data(), g.channels});
        }
        const Cover cover = cover_stream(g, width);
        launch(context, "batch_norm_backward", cover.shape, input_gradient<width, relu, T>,
               cover.slab, arrays, g.training ? terms.data() : nullptr, x, dy, dx);
      },
      x, dy, dx);
}

template <class A>
struct RunningAverage {
  double decay, scale;
  const A* batch;
  A* running;
  template <int>
  __device__ void run(std::int64_t i) const {
    running[i] = static_cast<A>(decay * static_cast<double>(running[i]) +
                                (1 - decay) * scale * static_cast<double>(batch[i]));
  }
};

}  // namespace

template <class T>
void batch_norm_statistics(CudaContext& context, const BatchNormGeometry& g, const T* x,
                           wide_t<T>* mean, wide_t<T>* variance) {
  const ProfileScope scope(context, "batch_norm_statistics", batch_norm_statistics_work<T>(g));
  with_width<T>(
      g,
      [&](auto constant) {
        constexpr int width = decltype(constant)::value;
        const Cover cover = cover_sums(g, width);
        const CudaWorkspace<double> partials(context, 2 * cover.row_blocks() * g.channels);
        launch(context, "batch_norm_statistics (sums)", cover.shape, sum_rows<width, Deviations<T>>,
               cover.slab, Deviations<T>{x}, partials.data());
        launch_add_partials(context, "batch_norm_statistics", cover.row_blocks(), g.channels,
                            partials.data(),
                            FinishStatistics<T>{static_cast<double>(g.rows), x, mean, variance});
      },
      x);
}

template <class T>
void batch_norm_forward(CudaContext& context, const BatchNormGeometry& g, double epsilon,
                        const T* x, const wide_t<T>* mean, const wide_t<T>* variance,
                        const wide_t<T>* gamma, const wide_t<T>* beta, T* y) {
  const ProfileScope scope(context, "batch_norm_forward", batch_norm_forward_work<T>(g));
  using A = wide_t<T>;
  const ChannelArrays<A> arrays{mean, variance, gamma, beta, static_cast<A>(epsilon)};
  with_width<T>(
      g,
      [&](auto constant) {
        constexpr int width = decltype(constant)::value;
        const Cover cover = cover_stream(g, width);
        launch(context, "batch_norm_forward", cover.shape,
               g.relu ? normalize<width, true, T> : normalize<width, false, T>, cover.slab, arrays,
               x, y);
      },
      x, y);
}

template <class T>
void batch_norm_backward(CudaContext& context, const BatchNormGeometry& g, double epsilon,
                         const T* x, const T* dy, const wide_t<T>* mean, const wide_t<T>* variance,
                         const wide_t<T>* gamma, const wide_t<T>* beta, T* dx, wide_t<T>* dgamma,
                         wide_t<T>* dbeta) {
  const ProfileScope scope(context, "batch_norm_backward", batch_norm_backward_work<T>(g));
  using A = wide_t<T>;
  const ChannelArrays<A> arrays{mean, variance, gamma, beta, static_cast<A>(epsilon)};
  if (g.relu)
    backward<true>(context, g, arrays, x, dy, dx, dgamma, dbeta);
  else
    backward<false>(context, g, arrays, x, dy, dx, dgamma, dbeta);
}

template <class T>
void running_average(CudaContext& context, std::int64_t n, double decay, double scale,
                     const T* batch, T* running) {
  const ProfileScope scope(context, "running_average", elementwise_work<T>(n, 3, 3));
  launch_vectors<1>(context, "running_average", n, false,
                    RunningAverage<T>{decay, scale, batch, running});
}

template void batch_norm_statistics(CudaContext&, const BatchNormGeometry&, const float*, float*,
                                    float*);
template void batch_norm_statistics(CudaContext&, const BatchNormGeometry&, const double*, double*,
                                    double*);
template void batch_norm_statistics(CudaContext&, const BatchNormGeometry&, const bfloat16*, float*,
                                    float*);
template void batch_norm_forward(CudaContext&, const BatchNormGeometry&, double, const float*,
                                 const float*, const float*, const float*, const float*, float*);
template void batch_norm_forward(CudaContext&, const BatchNormGeometry&, double, const double*,
                                 const double*, const double*, const double*, const double*,
                                 double*);
template void batch_norm_forward(CudaContext&, const BatchNormGeometry&, double, const bfloat16*,
                                 const float*, const float*, const float*, const float*, bfloat16*);
template void batch_norm_backward(CudaContext&, const BatchNormGeometry&, double, const float*,
                                  const float*, const float*, const float*, const float*,
                                  const float*, float*, float*, float*);
template void batch_norm_backward(CudaContext&, const BatchNormGeometry&, double, const double*,
                                  const double*, const double*, const double*, const double*,
                                  const double*, double*, double*, double*);
template void batch_norm_backward(CudaContext&, const BatchNormGeometry&, double, const bfloat16*,
                                  const bfloat16*, const float*, const float*, const float*,
                                  const float*, bfloat16*, float*, float*);
template void running_average(CudaContext&, std::int64_t, double, double, const float*, float*);
template void running_average(CudaContext&, std::int64_t, double, double, const double*, double*);

}  // namespace shatter::kernels
