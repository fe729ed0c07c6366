// Convolution by oneDNN: the batch is cut into chunks of images, each one single-threaded
// primitive.
#include "conv2d_onednn.h"

#include <compare>
#include <map>
#include <mutex>
#include <optional>

#include <shatter/kernels/error.h>

#include "multiversion.h"
#include "one_thread.h"
#include "onednn.h"
#include "workspace.h"

namespace shatter::kernels {

namespace {

using dnnl::memory;

enum class Direction : std::int64_t { forward, forward_bias, backward_data, backward_weight };

// Pitches are no part of it: images are packed first.
struct Key {
  Conv2dGeometry geometry;
  Direction direction;
  DType dtype;
  friend auto operator<=>(const Key&, const Key&) = default;
};

Key key_of(Conv2dGeometry g, Direction direction, DType dtype) {
  g.x_pitch = g.y_pitch = 0;
  return {g, direction, dtype};
}

// What one chunk executes, and the layouts it wants.
struct Plan {
  dnnl::primitive convolution;
  memory::desc x, w, y, bias, scratch;
  memory::desc w_krsc;
  std::optional<dnnl::reorder> reorder;  // KRSC to w, or back for the weight gradient
};

memory::data_type onednn_type(DType dtype) {
  return dtype == DType::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// x and y are packed NHWC: for pitched images oneDNN has only its slow reference. The weights'
// layout is oneDNN's choice. Bias and weight gradient are float.
Plan make_plan(const dnnl::engine& engine, const Conv2dGeometry& g, Direction direction,
               DType dtype) {
  const Windows& win = g.windows;
  const auto image = [&](std::int64_t channels, std::int64_t h, std::int64_t w) {
    return memory::desc({win.n, channels, h, w}, onednn_type(dtype), memory::format_tag::nhwc);
  };
  Plan plan;
  plan.x = image(g.c, win.h, win.w);
  plan.y = image(g.k, win.out_h(), win.out_w());
  const std::int64_t filter_c = g.filter_c(), filters = g.k / g.groups;
  memory::dims w_dims{filters, filter_c, win.r, win.s};
  memory::dims krsc{win.r * win.s * filter_c, 1, win.s * filter_c, filter_c};
  if (g.groups > 1) {
    w_dims.insert(w_dims.begin(), g.groups);
    krsc.insert(krsc.begin(), filters * win.r * win.s * filter_c);
  }
  const auto w_desc = [&](DType type, const auto& layout) {
    return memory::desc(w_dims, onednn_type(type), layout);
  };
  const memory::desc any = w_desc(dtype, memory::format_tag::any);
  plan.w_krsc = w_desc(direction == Direction::backward_weight ? DType::float32 : dtype, krsc);
  plan.bias = memory::desc({g.k}, memory::data_type::f32, memory::format_tag::x);
  const memory::dims strides{win.stride_h, win.stride_w};
  const memory::dims dilation{win.dilation_h - 1, win.dilation_w - 1};  // oneDNN counts from 0
  const memory::dims before{win.padding.top, win.padding.left};
  const memory::dims after{win.padding.bottom, win.padding.right};
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const auto training = dnnl::prop_kind::forward_training;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);

  const auto describe = [&](const auto&... tensors) {
    return onednn_descriptor<dnnl::convolution_forward>(
        engine, attributes, training, algorithm, tensors..., strides, dilation, before, after);
  };
  const auto forward = direction == Direction::forward_bias
                           ? describe(plan.x, any, plan.bias, plan.y)
                           : describe(plan.x, any, plan.y);
  if (direction == Direction::backward_data) {
    const auto backward = onednn_gradient_descriptor<dnnl::convolution_backward_data>(
        engine, attributes, forward, algorithm, plan.x, any, plan.y, strides, dilation, before,
        after);
    plan.convolution = dnnl::convolution_backward_data(backward);
    plan.w = backward.weights_desc();
    plan.scratch = backward.scratchpad_desc();
  } else if (direction == Direction::backward_weight) {
    const memory::desc gradient = w_desc(DType::float32, memory::format_tag::any);
    const auto backward = onednn_gradient_descriptor<dnnl::convolution_backward_weights>(
        engine, attributes, forward, algorithm, plan.x, gradient, plan.y, strides, dilation, before,
        after);
    plan.convolution = dnnl::convolution_backward_weights(backward);
    plan.w = backward.diff_weights_desc();
    plan.scratch = backward.scratchpad_desc();
  } else {
    plan.convolution = dnnl::convolution_forward(forward);
    plan.w = forward.weights_desc();
    plan.scratch = forward.scratchpad_desc();
  }
  if (plan.w != plan.w_krsc) {
    const bool back = direction == Direction::backward_weight;
    plan.reorder = dnnl::reorder(
        {engine, back ? plan.w : plan.w_krsc, engine, back ? plan.w_krsc : plan.w, attributes});
  }
  return plan;
}

// One context's engine and primitives. Plans are never dropped: a model has a few dozen.
struct OnednnState {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  std::mutex mutex;
  std::map<Key, Plan> plans;

  const Plan& plan(const Conv2dGeometry& g, Direction direction, DType dtype) {
    const std::lock_guard lock(mutex);
    const Key key = key_of(g, direction, dtype);
    const auto found = plans.find(key);
    if (found != plans.end()) return found->second;
    return plans.emplace(key, make_plan(engine, g, direction, dtype)).first->second;
  }
};

// Runs `body` with OpenMP at one thread, oneDNN's failures turned into Error.
template <class Body>
void with_onednn(const Conv2dGeometry& g, const char* op, Body&& body) {
  const OneThread one_thread;
  try {
    body();
  } catch (const dnnl::error& error) {
    const Windows& win = g.windows;
    fail(ErrorKind::unexpected, op, ": oneDNN failed: ", error.what(), " (input [", win.n, ",",
         win.h, ",", win.w, ",", g.c, "], weight [", g.k, ",", win.r, ",", win.s, ",", g.filter_c(),
         "])");
  }
}

// The batch in chunks of `images`; the last may be smaller and has a plan of its own.
struct Chunks {
  std::int64_t images = 0, count = 0;
  const Plan* whole = nullptr;
  const Plan* last = nullptr;

  const Plan& plan(std::int64_t chunk) const { return chunk + 1 < count ? *whole : *last; }
};

Chunks make_chunks(OnednnState& state, const Conv2dGeometry& g, Direction direction, DType dtype,
                   std::int64_t images) {
  Chunks chunks;
  chunks.images = images;
  chunks.count = ceil_div(g.windows.n, images);
  Conv2dGeometry part = g;
  part.windows.n = images;
  chunks.whole = &state.plan(part, direction, dtype);
  part.windows.n = g.windows.n - (chunks.count - 1) * images;
  chunks.last = &state.plan(part, direction, dtype);
  return chunks;
}

// Images of one chunk: about a quarter of a million elements of both operands, and a multiple of
// eight chunks if the batch allows, so that they spread evenly.
std::int64_t images_per_chunk(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const std::int64_t image = win.h * win.w * g.x_step() + win.out_h() * win.out_w() * g.y_step();
  const std::int64_t fitting = std::max<std::int64_t>(1, (1 << 18) / image);
  const std::int64_t chunks = ceil_div(ceil_div(win.n, fitting), 8) * 8;
  return ceil_div(win.n, chunks);
}

template <class T>
memory make_memory(const dnnl::engine& engine, const memory::desc& desc, const T* data) {
  return memory(desc, engine, const_cast<T*>(data));
}

// A chunk of images as oneDNN wants it: where it lies if packed, else a packed copy.
template <class T>
class PackedImages {
 public:
  PackedImages(T* images, std::int64_t pixels, std::int64_t channels, std::int64_t step)
      : images_(images), pixels_(pixels), channels_(channels), step_(step) {
    if (step != channels) copy_.emplace(pixels * channels);
  }

  T* data() const { return copy_ ? copy_->data() : images_; }

  void load() const {
    if (!copy_) return;
    for (std::int64_t i = 0; i < pixels_; ++i)
      std::copy_n(images_ + i * step_, channels_, copy_->data() + i * channels_);
  }
  void store() const {
    if (!copy_) return;
    for (std::int64_t i = 0; i < pixels_; ++i)
      std::copy_n(copy_->data() + i * channels_, channels_, images_ + i * step_);
  }

 private:
  T* images_;
  std::int64_t pixels_, channels_, step_;
  std::optional<Workspace<T>> copy_;
};

// The images of chunk `chunk` in x or dx, and in y or dy.
template <class T>
PackedImages<T> x_images(const Conv2dGeometry& g, const Chunks& chunks, std::int64_t chunk,
                         const T* x) {
  const std::int64_t image = g.windows.h * g.windows.w, first = chunk * chunks.images;
  const std::int64_t images = std::min(chunks.images, g.windows.n - first);
  return PackedImages<T>(const_cast<T*>(x) + first * image * g.x_step(), images * image, g.c,
                         g.x_step());
}

template <class T>
PackedImages<T> y_images(const Conv2dGeometry& g, const Chunks& chunks, std::int64_t chunk,
                         const T* y) {
  const std::int64_t image = g.windows.out_h() * g.windows.out_w(), first = chunk * chunks.images;
  const std::int64_t images = std::min(chunks.images, g.windows.n - first);
  return PackedImages<T>(const_cast<T*>(y) + first * image * g.y_step(), images * image, g.k,
                         g.y_step());
}

// Weights in the layout of the plan: KRSC itself, or reordered into `space`.
template <class T>
memory reordered_weights(const dnnl::engine& engine, const Plan& plan, const T* w,
                         std::optional<Workspace<T>>& space) {
  memory source = make_memory(engine, plan.w_krsc, w);
  if (!plan.reorder) return source;
  space.emplace(static_cast<std::int64_t>(plan.w.get_size() / sizeof(T)));
  memory target = make_memory(engine, plan.w, space->data());
  dnnl::stream stream(engine);
  plan.reorder->execute(stream, source, target);
  stream.wait();
  return target;
}

// The weights in the layouts of both plans, which differ only if oneDNN chooses by batch size.
template <class T>
class ChunkWeights {
 public:
  ChunkWeights(const dnnl::engine& engine, const Chunks& chunks, const T* w)
      : chunks_(chunks), whole_(reordered_weights(engine, *chunks.whole, w, whole_space_)) {
    const bool one_layout = chunks.last->w == chunks.whole->w;
    last_ = one_layout ? whole_ : reordered_weights(engine, *chunks.last, w, last_space_);
  }
  const memory& of(std::int64_t chunk) const { return chunk + 1 < chunks_.count ? whole_ : last_; }

 private:
  const Chunks& chunks_;
  std::optional<Workspace<T>> whole_space_, last_space_;
  memory whole_, last_;
};

void execute(const dnnl::engine& engine, const Plan& plan,
             std::unordered_map<int, memory> arguments) {
  const Workspace<unsigned char> scratch(static_cast<std::int64_t>(plan.scratch.get_size()));
  arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(plan.scratch, engine, scratch.data()));
  dnnl::stream stream(engine);
  plan.convolution.execute(stream, arguments);
  stream.wait();
}

}  // namespace

bool onednn_fits(const Conv2dGeometry& g) {
  const Windows& win = g.windows;
  const Padding& pad = win.padding;
  if (g.filter_c() == 1 && win.out_w() == 1 && win.stride_w > 1) return false;
  return win.extent_h() <= win.h && win.extent_w() <= win.w &&
         std::max(pad.top, pad.bottom) < win.extent_h() &&
         std::max(pad.left, pad.right) < win.extent_w();
}

bool onednn_fits_bfloat16(const Conv2dGeometry& g, Conv2dDirection direction) {
  const Windows& win = g.windows;
  if (direction == Conv2dDirection::backward_weight) return win.w >= win.stride_w;
  const bool steps = win.stride_h > 1 || win.stride_w > 1;
  const std::int64_t last_row = (win.out_h() - 1) * win.stride_h - win.padding.top;
  return direction != Conv2dDirection::forward || !steps || last_row < win.h;
}

template <class T>
void conv2d_forward_onednn(CpuContext& context, const Conv2dGeometry& g, const T* x, const T* w,
                           const float* bias, T* y) {
  with_onednn(g, "conv2d_forward", [&] {
    auto& state = context.state<OnednnState>();
    const Chunks chunks = make_chunks(state, g, bias ? Direction::forward_bias : Direction::forward,
                                      dtype_of<T>, images_per_chunk(g));
    const ChunkWeights<T> weights(state.engine, chunks, w);
    context.parallel(chunks.count, [&](std::int64_t i) {
      const OneThread one_thread;
      const Plan& plan = chunks.plan(i);
      const PackedImages<T> in = x_images(g, chunks, i, x), out = y_images(g, chunks, i, y);
      in.load();
      std::unordered_map<int, memory> arguments{
          {DNNL_ARG_SRC, make_memory(state.engine, plan.x, in.data())},
          {DNNL_ARG_WEIGHTS, weights.of(i)},
          {DNNL_ARG_DST, make_memory(state.engine, plan.y, out.data())}};
      if (bias) arguments.emplace(DNNL_ARG_BIAS, make_memory(state.engine, plan.bias, bias));
      execute(state.engine, plan, std::move(arguments));
      out.store();
    });
  });
}

template <class T>
void conv2d_backward_data_onednn(CpuContext& context, const Conv2dGeometry& g, const T* dy,
                                 const T* w, T* dx) {
  with_onednn(g, "conv2d_backward_data", [&] {
    auto& state = context.state<OnednnState>();
    const Chunks chunks =
        make_chunks(state, g, Direction::backward_data, dtype_of<T>, images_per_chunk(g));
    const ChunkWeights<T> weights(state.engine, chunks, w);
    context.parallel(chunks.count, [&](std::int64_t i) {
      const OneThread one_thread;
      const Plan& plan = chunks.plan(i);
      const PackedImages<T> in = y_images(g, chunks, i, dy), out = x_images(g, chunks, i, dx);
      in.load();
      execute(state.engine, plan,
              {{DNNL_ARG_DIFF_DST, make_memory(state.engine, plan.y, in.data())},
               {DNNL_ARG_WEIGHTS, weights.of(i)},
               {DNNL_ARG_DIFF_SRC, make_memory(state.engine, plan.x, out.data())}});
      out.store();
    });
  });
}

template <class T>
void conv2d_backward_weight_onednn(CpuContext& context, const Conv2dGeometry& g, const T* x,
                                   const T* dy, float* dw) {
  with_onednn(g, "conv2d_backward_weight", [&] {
    auto& state = context.state<OnednnState>();
    // Few chunks: each has a whole weight gradient of its own, added up below in order.
    const Chunks chunks =
        make_chunks(state, g, Direction::backward_weight, dtype_of<T>,
                    ceil_div(g.windows.n, std::min<std::int64_t>(8, g.windows.n)));
    const std::int64_t krsc = g.weights();
    const bool one_layout = chunks.last->w == chunks.whole->w;
    // With unlike layouts every chunk is turned to KRSC before the sum.
    const bool early = !one_layout && (chunks.whole->reorder || chunks.last->reorder);
    const std::int64_t partial =
        early ? krsc : static_cast<std::int64_t>(chunks.whole->w.get_size() / sizeof(float));
    const Workspace<float> partials(partial * chunks.count);
    context.parallel(chunks.count, [&](std::int64_t i) {
      const OneThread one_thread;
      const Plan& plan = chunks.plan(i);
      float* const target = partials.data() + i * partial;
      std::optional<Workspace<float>> space;
      float* raw = target;
      if (early) {
        space.emplace(static_cast<std::int64_t>(plan.w.get_size() / sizeof(float)));
        raw = space->data();
      }
      const memory weights = make_memory(state.engine, plan.w, raw);
      const PackedImages<T> images = x_images(g, chunks, i, x),
                            gradients = y_images(g, chunks, i, dy);
      images.load();
      gradients.load();
      execute(state.engine, plan,
              {{DNNL_ARG_SRC, make_memory(state.engine, plan.x, images.data())},
               {DNNL_ARG_DIFF_DST, make_memory(state.engine, plan.y, gradients.data())},
               {DNNL_ARG_DIFF_WEIGHTS, weights}});
      if (early) {
        dnnl::stream stream(state.engine);
        memory packed = make_memory(state.engine, plan.w_krsc, target);
        memory source = weights;
        if (plan.reorder)
          plan.reorder->execute(stream, source, packed);
        else
          std::copy(raw, raw + krsc, target);
        stream.wait();
      }
    });
    const bool reorder = !early && chunks.whole->reorder;
    float* const sum = reorder ? partials.data() : dw;
    context.parallel_for(partial, elements_per_chunk, [&](std::int64_t begin, std::int64_t end) {
      multiversion([=, all = partials.data(), count = chunks.count] {
        for (std::int64_t j = begin; j < end; ++j) sum[j] = all[j];
        for (std::int64_t i = 1; i < count; ++i) {
          SHATTER_INDEPENDENT
          for (std::int64_t j = begin; j < end; ++j) sum[j] += all[i * partial + j];
        }
      });
    });
    if (reorder) {
      dnnl::stream stream(state.engine);
      memory source = make_memory(state.engine, chunks.whole->w, sum);
      memory target = make_memory(state.engine, chunks.whole->w_krsc, dw);
      chunks.whole->reorder->execute(stream, source, target);
      stream.wait();
    }
  });
}

template void conv2d_forward_onednn(CpuContext&, const Conv2dGeometry&, const float*, const float*,
                                    const float*, float*);
template void conv2d_backward_data_onednn(CpuContext&, const Conv2dGeometry&, const float*,
                                          const float*, float*);
template void conv2d_backward_weight_onednn(CpuContext&, const Conv2dGeometry&, const float*,
                                            const float*, float*);
template void conv2d_forward_onednn(CpuContext&, const Conv2dGeometry&, const bfloat16*,
                                    const bfloat16*, const float*, bfloat16*);
template void conv2d_backward_data_onednn(CpuContext&, const Conv2dGeometry&, const bfloat16*,
                                          const bfloat16*, bfloat16*);
template void conv2d_backward_weight_onednn(CpuContext&, const Conv2dGeometry&, const bfloat16*,
                                            const bfloat16*, float*);

}  // namespace shatter::kernels
