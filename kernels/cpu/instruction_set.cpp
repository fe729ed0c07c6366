// What the machine's processor can do, as far as oneDNN's environment variable lets it.
#include <dnnl.h>

#include "multiversion.h"

namespace shatter::kernels {

namespace {

// oneDNN's sets are masks: each holds the bits of those that it includes.
bool allows(unsigned set) {
  static const auto allowed = static_cast<unsigned>(dnnl_get_effective_cpu_isa());
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
