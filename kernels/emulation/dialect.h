// The dialect of CUDA's kernels for a host compiler: qualifiers, built-in variables, barriers, warp
// exchanges and atomics, as the CUDA C++ programming guide describes them. Kernel sources see these
// names where nvcc's are missing; nothing else includes this header.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

// Of the one thread that runs at the moment; the emulator sets them.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace shatter::emulation {

/// The calling thread waits until every thread of its block that has not ended waits here.
void synchronize_block(const std::source_location& where);

/// The calling thread waits until all lanes of its warp named in `mask` called with the same place;
/// then combine(lanes) runs once, lanes[i] being lane i's `mine` (null outside the mask).
void meet(unsigned mask, void* mine, void (*combine)(void** lanes),
          const std::source_location& where);

/// The block's dynamic shared memory.
void* dynamic_shared();

/// The calling thread's asynchronous copy of the first `valid` of `bytes` bytes, the others 0. It
/// happens when wait_for_copies() leaves at most `newest` committed groups, hers not among them,
/// open; until then the destination holds NaN.
void copy_later(void* to, const void* from, std::size_t bytes, std::size_t valid);
void commit_copies();
void wait_for_copies(int newest);

template <class T>
struct Exchange {
  T value;
  int source;  ///< the lane whose value this lane receives
  T received;
};

template <class T>
T exchange(unsigned mask, T value, int source, const std::source_location& where) {
  Exchange<T> mine{value, source, value};
  meet(
      mask, &mine,
      [](void** lanes) {
        for (int i = 0; i < warpSize; ++i) {
          if (!lanes[i]) continue;
          auto& lane = *static_cast<Exchange<T>*>(lanes[i]);
          // A source outside the mask gives an undefined value on a GPU; here all its bits are set.
          if (lane.source >= 0 && lane.source < warpSize && lanes[lane.source])
            lane.received = static_cast<Exchange<T>*>(lanes[lane.source])->value;
          else
            std::memset(static_cast<void*>(&lane.received), 0xFF, sizeof(T));
        }
      },
      where);
  return mine.received;
}

inline int lane() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) %
                          warpSize);
}

}  // namespace shatter::emulation

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  shatter::emulation::synchronize_block(where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu,
                       std::source_location where = std::source_location::current()) {
  shatter::emulation::meet(
      mask, &mask, [](void**) {}, where);
}

// `width` cuts a warp into groups of that many lanes, a power of two; a source beyond its group
// leaves the lane its own value, as the guide says.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              std::source_location where = std::source_location::current()) {
  const int lane = shatter::emulation::lane();
  return shatter::emulation::exchange(mask, value, lane / width * width + source % width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   std::source_location where = std::source_location::current()) {
  const int lane = shatter::emulation::lane();
  const int source = lane + static_cast<int>(delta);
  return shatter::emulation::exchange(mask, value,
                                      lane % width + int(delta) < width ? source : lane, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 std::source_location where = std::source_location::current()) {
  const int lane = shatter::emulation::lane();
  return shatter::emulation::exchange(mask, value,
                                      lane % width >= int(delta) ? lane - int(delta) : lane, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  std::source_location where = std::source_location::current()) {
  const int lane = shatter::emulation::lane();
  const int source = lane ^ bits;
  return shatter::emulation::exchange(mask, value, source / width == lane / width ? source : lane,
                                      where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  struct Vote {
    int predicate;
    unsigned result;
  } mine{predicate, 0};
  shatter::emulation::meet(
      mask, &mine,
      [](void** lanes) {
        unsigned votes = 0;
        for (int i = 0; i < warpSize; ++i)
          if (lanes[i] && static_cast<Vote*>(lanes[i])->predicate) votes |= 1u << i;
        for (int i = 0; i < warpSize; ++i)
          if (lanes[i]) static_cast<Vote*>(lanes[i])->result = votes;
      },
      where);
  return mine.result;
}

// One thread runs at a time, so plain arithmetic is atomic.
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, static_cast<T>(*at + value));
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, *at < value ? value : *at);
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T old = *at;
  if (old == expected) *at = value;
  return old;
}
inline void __threadfence() {}

template <class T>
T __ldg(const T* at) {
  return *at;
}
