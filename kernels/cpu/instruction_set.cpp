// What the machine's processor can do, as far as oneDNN's environment variable lets it.
#include <dnnl.h>

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "multiversion.h"

namespace shatter::kernels {

namespace {

#if defined(__x86_64__)
// Some virtual machines show AMX and hide the table of its tile sizes (leaf 0x1d), without which
// oneDNN configures no tiles and dies of an illegal instruction.
bool has_amx_without_palette() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amx_tile = 1u << 24;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & amx_tile)) return false;
  return !__get_cpuid_count(0x1d, 0, &a, &b, &c, &d) || a == 0;
}
#endif

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value && *value;
}

// Before anything else asks oneDNN, which takes the first answer for good.
unsigned allowed_sets() {
#if defined(__x86_64__)
  const bool chosen = is_set("ONEDNN_MAX_CPU_ISA") || is_set("DNNL_MAX_CPU_ISA");
  if (!chosen && has_amx_without_palette()) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16);
#endif
  return static_cast<unsigned>(dnnl_get_effective_cpu_isa());
}

// oneDNN's sets are masks: each holds the bits of those that it includes.
bool allows(unsigned set) {
  static const unsigned allowed = allowed_sets();
  return (allowed & set) == set;
}

}  // namespace

InstructionSet find_instruction_set() {
#if defined(__x86_64__)
  if (allows(dnnl_cpu_isa_avx512_core)) return InstructionSet::avx512;
  if (allows(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("fma")) return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}

bool has_bfloat16_products() {
  return allows(dnnl_cpu_isa_avx512_core_bf16);
}

}  // namespace shatter::kernels
