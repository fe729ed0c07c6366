// Accesses of several neighbouring elements at once, and kernels that do one thing to each element.
#pragma once

#include <bit>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/geometry.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// Elements of T in the widest access of a thread.
template <class T>
inline constexpr int vector_width = 16 / static_cast<int>(sizeof(T));

/// `width` neighbouring elements as they lie in memory, at a multiple of their size.
template <class T, int width>
struct alignas(sizeof(T) * width) Packed {
  T at[width];
};

/// `width` neighbouring elements in registers, as arithmetic has them.
template <class A, int width>
struct Values {
  A at[width];
  __device__ A& operator[](int i) { return at[i]; }
  __device__ const A& operator[](int i) const { return at[i]; }
};

/// Unsigned integers of a size. A GPU's accesses are spelled in them, because nvcc now and then
/// takes a struct apart, member by member.
template <std::size_t bytes>
struct UnitOf;
template <>
struct UnitOf<16> {
  using type = uint4;
};
template <>
struct UnitOf<8> {
  using type = uint2;
};
template <>
struct UnitOf<4> {
  using type = std::uint32_t;
};
template <>
struct UnitOf<2> {
  using type = std::uint16_t;
};
template <>
struct UnitOf<1> {
  using type = std::uint8_t;
};

template <int width, class T>
__device__ inline Packed<T, width> load_packed(const T* from) {
  using Vector = Packed<T, width>;
#if defined(__CUDA_ARCH__)
  using Unit = typename UnitOf<sizeof(Vector)>::type;
  return std::bit_cast<Vector>(*reinterpret_cast<const Unit*>(from));
#else
  return *reinterpret_cast<const Vector*>(from);
#endif
}

template <int width, class T>
__device__ inline void store_packed(const Packed<T, width>& packed, T* to) {
#if defined(__CUDA_ARCH__)
  using Unit = typename UnitOf<sizeof(packed)>::type;
  __stwb(reinterpret_cast<Unit*>(to), std::bit_cast<Unit>(packed));
#else
  *reinterpret_cast<Packed<T, width>*>(to) = packed;
#endif
}

template <int width, class T>
__device__ inline Values<wide_t<T>, width> load(const T* from) {
  const auto packed = load_packed<width>(from);
  Values<wide_t<T>, width> values;
  for (int i = 0; i < width; ++i) values[i] = static_cast<wide_t<T>>(packed.at[i]);
  return values;
}

template <int width, class T, class A>
__device__ inline void store(const Values<A, width>& values, T* to) {
  Packed<T, width> packed;
  for (int i = 0; i < width; ++i) packed.at[i] = static_cast<T>(values[i]);
  store_packed(packed, to);
}

/// Whether vectors of `width` elements may start at every pointer. Null is aligned.
template <int width, class... T>
bool vectors_at(const T*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % (width * sizeof(T)) == 0) && ...);
}
/// Whether every size is a multiple of `width`.
template <int width, class... Sizes>
bool multiples(Sizes... sizes) {
  return ((sizes % width == 0) && ...);
}

/// Calls body.run<width>(i) for i = 0, width, ... and body.run<1> on what is left of n.
template <int width, class Body>
__global__ void for_vectors(std::int64_t n, Body body) {
  std::int64_t i = width * thread_index();
  if (i + width <= n)
    body.template run<width>(i);
  else
    for (; i < n; ++i) body.template run<1>(i);
}

/// Does `body` to n elements, `width` at a time where `vectors` allows it.
template <int width, class Body>
void launch_vectors(CudaContext& context, const char* name, std::int64_t n, bool vectors,
                    const Body& body) {
  if (vectors)
    launch(context, name, one_thread_each(ceil_div(n, width)), for_vectors<width, Body>, n, body);
  else
    launch(context, name, one_thread_each(n), for_vectors<1, Body>, n, body);
}

}  // namespace shatter::kernels
