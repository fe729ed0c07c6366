// Runs hot loops in the best instruction set of the machine, chosen at run time.
#pragma once

/// Placed before a loop: no iteration reads what another writes. Arrays that are the same one
/// (in-place calls) then still vectorise.
#if defined(__clang__)
#define SHATTER_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define SHATTER_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace shatter::kernels {

enum class InstructionSet { baseline, avx2, avx512 };

/// The best of this machine, or less where ONEDNN_MAX_CPU_ISA, which oneDNN obeys too, says so.
InstructionSet find_instruction_set();
inline InstructionSet instruction_set() {
  static const InstructionSet best = find_instruction_set();
  return best;
}

/// Whether the machine multiplies bfloat16, with the same limit.
bool has_bfloat16_products();

// `flatten` pulls the loop into a function of the wider instruction set. The body comes by value,
// so that what it captured is known not to alias the arrays it writes. No resolver runs before
// main, which is why this also works under the sanitizers.
#if defined(__x86_64__)
#define SHATTER_AVX2 "avx2,fma"
#if defined(__clang__)
#define SHATTER_AVX512 "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"
#else
#define SHATTER_AVX512 "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"
#endif
template <class Body>
[[gnu::flatten, gnu::target(SHATTER_AVX2)]] void run_avx2(Body body) {
  body();
}
template <class Body>
[[gnu::flatten, gnu::target(SHATTER_AVX512)]] void run_avx512(Body body) {
  body();
}
#endif
template <class Body>
[[gnu::flatten]] void run_baseline(Body body) {
  body();
}

/// Calls body() compiled for this machine. The body is a lambda that captures by value.
template <class Body>
void multiversion(Body body) {
#if defined(__x86_64__)
  switch (instruction_set()) {
    case InstructionSet::avx512: return run_avx512(body);
    case InstructionSet::avx2: return run_avx2(body);
    case InstructionSet::baseline: break;
  }
#endif
  run_baseline(body);
}

}  // namespace shatter::kernels
