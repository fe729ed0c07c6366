// Stacks of the emulator's fibers and the switch between them. In assembly on x86-64, because
// swapcontext makes a system call each time; by ucontext elsewhere and where AddressSanitizer has
// to follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define SHATTER_SWITCH_IN_ASSEMBLY 1
#else
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace shatter::emulation {

inline constexpr std::size_t stack_bytes = 256 * 1024;

#if defined(SHATTER_SWITCH_IN_ASSEMBLY)

// Pushes the registers that a call preserves, leaves the stack's top in *from, and takes up at `to`
// what another call left there.
extern "C" void shatter_switch_stack(void** from, void* to);
asm(R"(
.pushsection .text
.weak shatter_switch_stack
.type shatter_switch_stack, @function
shatter_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size shatter_switch_stack, .-shatter_switch_stack
.popsection
)");

/// A thread of control while another one runs. Without memory of its own, the program's stack.
struct Stack {
  void* top = nullptr;
  std::unique_ptr<char[]> memory;
};

/// Makes the first switch to `stack` call `start`, which must not return.
inline void prepare_stack(Stack& stack, void (*start)()) {
  // Stacks begin at different places of a page, as they would share few lines of the cache else.
  static std::size_t stacks = 0;
  const std::size_t offset = ++stacks % 32 * 320;
  stack.memory.reset(new char[stack_bytes]);
  const auto end =
      reinterpret_cast<std::uintptr_t>(stack.memory.get() + stack_bytes - offset) / 16 * 16;
  // As a call would have left it: six registers, the address to go on at, and one to return to.
  void** const top = reinterpret_cast<void**>(end) - 8;
  for (int i = 0; i < 8; ++i) top[i] = nullptr;
  top[6] = reinterpret_cast<void*>(start);
  stack.top = top;
}

inline void switch_stack(Stack& from, Stack& to) {
  shatter_switch_stack(&from.top, to.top);
}

/// The first thing that `start` does.
inline void arrive() {}

#else

struct Stack {
  ucontext_t context{};
  std::unique_ptr<char[]> memory;
  const void* bottom = nullptr;  // for AddressSanitizer, as the two below
  std::size_t size = 0;
  void* frames = nullptr;
};

#if defined(__SANITIZE_ADDRESS__)
inline Stack* left = nullptr;  // by the last switch

inline void arrive(void* frames = nullptr) {
  __sanitizer_finish_switch_fiber(frames, &left->bottom, &left->size);
}
#else
inline void arrive() {}
#endif

inline void prepare_stack(Stack& stack, void (*start)()) {
  stack.memory.reset(new char[stack_bytes]);
  stack.bottom = stack.memory.get();
  stack.size = stack_bytes;
  getcontext(&stack.context);
  stack.context.uc_stack.ss_sp = stack.memory.get();
  stack.context.uc_stack.ss_size = stack_bytes;
  makecontext(&stack.context, start, 0);
}

inline void switch_stack(Stack& from, Stack& to) {
#if defined(__SANITIZE_ADDRESS__)
  left = &from;
  __sanitizer_start_switch_fiber(&from.frames, to.bottom, to.size);
  swapcontext(&from.context, &to.context);
  arrive(from.frames);
#else
  swapcontext(&from.context, &to.context);
#endif
}

#endif

}  // namespace shatter::emulation
