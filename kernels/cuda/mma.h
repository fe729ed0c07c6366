// Tensor cores and asynchronous copies: one function for each PTX instruction. Off the GPU they are
// emulated by the fragment layouts of the PTX ISA ("Warp Level Matrix Instructions"). With
// g = lane / 4 and t = lane % 4 a lane holds of
//                 A [16, k]                          B [k, 8]                C, D [16, 8]
//   TF32, k = 8:  (g, t) (g+8, t) (g, t+4) (g+8, t+4)   (t, g) (t+4, g)        (g, 2t) (g, 2t+1)
//   bfloat16, 16: the same in pairs: (g, 2t..2t+1)      (2t..2t+1, g)          (g+8, 2t) (g+8,
//   2t+1)
//                 (g+8, ..) (g, 2t+8..) (g+8, ..)       (2t+8..2t+9, g)
// the lower bfloat16 of a pair in the lower half of the register.
#pragma once

#include <bit>

#include <shatter/kernels/cuda/launch.h>
#include <shatter/kernels/types.h>

namespace shatter::kernels {

/// x rounded to TF32's 10 bits of fraction, ties away from zero, as a float's bits. The tensor core
/// ignores the other 13 bits, so an operand that did not pass through here is cut off instead.
__device__ inline unsigned to_tf32(float x) {
#if defined(__CUDACC__)
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#else
  const auto bits = std::bit_cast<unsigned>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fffffffu;
  return (bits + 0x1000u) & 0xffffe000u;
#endif
}

#if !defined(__CUDACC__)
namespace emulated {

// What a lane brings to an operation of its warp.
struct MmaLane {
  float* c;
  const unsigned *a, *b;
};

// c += a b of the warp, products and sums in float, k rising. `per_register` values lie in each
// register; value(bits, i) is the i-th.
template <int k, int per_register, class Value>
void multiply(void** lanes, Value value) {
  float a[16][k], b[k][8];
  const auto lane = [&](int i) -> MmaLane& { return *static_cast<MmaLane*>(lanes[i]); };
  for (int l = 0; l < warpSize; ++l) {
    const int g = l / 4, t = l % 4;
    for (int i = 0; i < per_register; ++i) {
      const int column = t * per_register + i;
      for (int r = 0; r < 4; ++r) a[g + r % 2 * 8][column + r / 2 * k / 2] = value(lane(l).a[r], i);
      for (int r = 0; r < 2; ++r) b[column + r * k / 2][g] = value(lane(l).b[r], i);
    }
  }
  for (int l = 0; l < warpSize; ++l)
    for (int r = 0; r < 4; ++r) {
      const int row = l / 4 + r / 2 * 8, column = l % 4 * 2 + r % 2;
      float sum = lane(l).c[r];
      for (int i = 0; i < k; ++i) sum += a[row][i] * b[i][column];
      lane(l).c[r] = sum;
    }
}

struct MatrixLane {
  const void* row;
  unsigned* d;
};

// Matrix i is the eight rows of 16 bytes that lanes 8i to 8i+7 point to; lane l receives the l-th
// pair of its 16-bit elements, in row order, or in column order if transposed.
template <int matrices, bool transposed>
void load_matrices(unsigned (&d)[matrices], const void* row, const std::source_location& where) {
  MatrixLane mine{row, d};
  emulation::meet(
      0xffffffffu, &mine,
      [](void** lanes) {
        for (int l = 0; l < warpSize; ++l)
          for (int i = 0; i < matrices; ++i) {
            std::uint16_t pair[2];
            for (int j = 0; j < 2; ++j) {
              const int r = transposed ? l % 4 * 2 + j : l / 4;
              const int c = transposed ? l / 4 : l % 4 * 2 + j;
              const void* const from = static_cast<MatrixLane*>(lanes[8 * i + r])->row;
              std::memcpy(&pair[j], static_cast<const std::uint16_t*>(from) + c, sizeof pair[j]);
            }
            static_cast<MatrixLane*>(lanes[l])->d[i] = pair[0] | unsigned{pair[1]} << 16;
          }
      },
      where);
}

}  // namespace emulated
#define SHATTER_WHERE , std::source_location where = std::source_location::current()
#else
#define SHATTER_WHERE
#endif

/// c [16, 8] += a [16, 8] b [8, 8], operands TF32 (to_tf32), sums in float. By all lanes of a warp.
__device__ inline void mma_tf32(float (&c)[4], const unsigned (&a)[4],
                                const unsigned (&b)[2] SHATTER_WHERE) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulated::MmaLane mine{c, a, b};
  emulation::meet(
      0xffffffffu, &mine,
      [](void** lanes) {
        emulated::multiply<8, 1>(
            lanes, [](unsigned bits, int) { return std::bit_cast<float>(bits & 0xffffe000u); });
      },
      where);
#endif
}

/// c [16, 8] += a [16, 16] b [16, 8], operands bfloat16, sums in float. By all lanes of a warp.
__device__ inline void mma_bfloat16(float (&c)[4], const unsigned (&a)[4],
                                    const unsigned (&b)[2] SHATTER_WHERE) {
#if defined(__CUDACC__)
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulated::MmaLane mine{c, a, b};
  emulation::meet(
      0xffffffffu, &mine,
      [](void** lanes) {
        emulated::multiply<16, 2>(lanes, [](unsigned bits, int i) {
          return std::bit_cast<float>(i ? bits & 0xffff0000u : bits << 16);
        });
      },
      where);
#endif
}

/// Four 8 x 8 matrices of 16-bit elements from shared memory: the lanes 8i to 8i+7 name the rows of
/// matrix i, each 16 bytes at a multiple of 16; lane l receives the elements (l / 4, 2 (l % 4)) and
/// its right neighbour, which is also the layout of a 32-bit element (l / 4, l % 4).
__device__ inline void load_matrices(unsigned (&d)[4], const void* row SHATTER_WHERE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))));
#else
  emulated::load_matrices<4, false>(d, row, where);
#endif
}

/// Two of them, named by lanes 0 to 15; the other lanes' pointers are not used.
__device__ inline void load_matrices(unsigned (&d)[2], const void* row SHATTER_WHERE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(d[0]), "=r"(d[1])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))));
#else
  emulated::load_matrices<2, false>(d, row, where);
#endif
}

/// The same with each matrix transposed: lane l receives (2 (l % 4), l / 4) and its lower
/// neighbour.
__device__ inline void load_matrices_transposed(unsigned (&d)[4], const void* row SHATTER_WHERE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))));
#else
  emulated::load_matrices<4, true>(d, row, where);
#endif
}

__device__ inline void load_matrices_transposed(unsigned (&d)[2], const void* row SHATTER_WHERE) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(d[0]), "=r"(d[1])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))));
#else
  emulated::load_matrices<2, true>(d, row, where);
#endif
}

#undef SHATTER_WHERE

/// Starts a copy of 16 bytes from global to shared memory, both at multiples of 16: the first
/// `valid` (0 to 16) from `from`, the others 0. With valid == 0 `from` is not read.
__device__ inline void copy_async(void* to, const void* from, int valid = 16) {
#if defined(__CUDACC__)
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(__cvta_generic_to_global(from)), "r"(valid)
               : "memory");
#else
  emulation::copy_later(to, from, 16, static_cast<std::size_t>(valid));
#endif
}

/// Makes a group of the calling thread's copies since the last one.
__device__ inline void copy_async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulation::commit_copies();
#endif
}

/// Waits until all but the calling thread's `newest` last groups have arrived. Other threads see
/// them after a barrier.
template <int newest>
__device__ inline void copy_async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(newest) : "memory");
#else
  emulation::wait_for_copies(newest);
#endif
}

}  // namespace shatter::kernels
