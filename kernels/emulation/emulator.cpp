// The emulator: fibers for the threads that meet a barrier, a plain loop for those that do not.
#include <shatter/kernels/emulation/emulator.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <shatter/kernels/philox.h>

#include "stack_switch.h"

namespace shatter::emulation {
namespace {

constexpr unsigned largest_block = 1024;
constexpr std::size_t largest_shared = 227 * 1024;  // compute capability 9.0

// A stack on which threads run one after another until one of them has to wait; then the stack is
// that thread's until it ends.
using Fiber = Stack;

// Asynchronous copies of a thread, oldest first.
struct Copies {
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes, valid;
    int group;
  };
  std::vector<Copy> pending;
  int groups = 0;  // committed so far; those after them belong to the group of this number
};

enum class State { waiting_to_start, running, at_block_barrier, at_meeting, ended };

struct Thread {
  State state = State::waiting_to_start;
  uint3 index;
  Fiber* fiber = nullptr;
  std::source_location where;
  unsigned mask = 0;
  void* mine = nullptr;
  void (*combine)(void**) = nullptr;
};

struct Block {
  const char* kernel;
  const std::function<void()>* body;
  std::vector<Thread> threads;
  std::vector<Copies> copies;
  std::vector<unsigned> order;  // the threads as they take turns
  std::size_t next = 0;         // place in `order` of the next thread to start
  unsigned current = 0;
  Fiber* running = nullptr;
  Stack scheduler;
  std::exception_ptr failure;  // of a thread
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  std::byte* shared = nullptr;
};

Block* block = nullptr;
ThreadOrder thread_order = ThreadOrder::forward;
std::recursive_mutex one_grid;

std::vector<unsigned> order_of(std::size_t count, std::uint32_t which) {
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  if (thread_order == ThreadOrder::reverse) std::reverse(order.begin(), order.end());
  if (thread_order == ThreadOrder::shuffled)
    for (std::size_t i = count; i > 1; --i) {
      const Words4 words = random_words({1}, static_cast<std::uint32_t>(i), which);
      std::swap(order[i - 1], order[below(static_cast<std::uint32_t>(i), words[0], words[1])]);
    }
  return order;
}

void enter(unsigned thread) {
  block->current = thread;
  threadIdx = block->threads[thread].index;
}

// What a fiber does: starts threads until none is left. Whenever one has to wait, the scheduler
// goes on with another fiber.
void serve() {
  arrive();
  for (;;) {
    while (block->next < block->order.size()) {
      Fiber* const self = block->running;
      const unsigned thread = block->order[block->next++];
      Thread& t = block->threads[thread];
      t.state = State::running;
      t.fiber = self;
      enter(thread);
      try {
        (*block->body)();
      } catch (...) {
        block->failure = std::current_exception();
        block->next = block->order.size();
      }
      t.state = State::ended;
    }
    Fiber* const self = block->running;
    block->idle.push_back(self);
    switch_stack(*self, block->scheduler);
  }
}

void resume(Fiber* fiber) {
  block->running = fiber;
  switch_stack(block->scheduler, *fiber);
  if (block->failure) std::rethrow_exception(std::exchange(block->failure, nullptr));
}

// The calling thread gives way until the scheduler has released it.
void wait(State state, const std::source_location& where) {
  Thread& t = block->threads[block->current];
  const unsigned self = block->current;
  t.state = state;
  t.where = where;
  Fiber* const fiber = t.fiber;
  switch_stack(*fiber, block->scheduler);
  enter(self);
}

Fiber* fresh_fiber() {
  if (block->idle.empty()) {
    block->fibers.push_back(std::make_unique<Fiber>());
    prepare_stack(*block->fibers.back(), serve);
    return block->fibers.back().get();
  }
  Fiber* const fiber = block->idle.back();
  block->idle.pop_back();
  return fiber;
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name());
}

std::string place(const Thread& t) {
  if (t.state == State::ended) return "has ended";
  return text(t.state == State::at_block_barrier ? "waits at __syncthreads of "
                                                 : "waits at a warp operation of ",
              t.where.file_name(), ":", t.where.line());
}

[[noreturn]] void deadlock(unsigned a, unsigned b) {
  fail(ErrorKind::device, block->kernel, ": deadlock in block (", blockIdx.x, ", ", blockIdx.y,
       ", ", blockIdx.z, "): thread ", a, " ", place(block->threads[a]), ", thread ", b, " ",
       place(block->threads[b]));
}

// Lets the warp's lanes go on whose meeting is complete; says whether there were any.
bool release_meetings(std::size_t first) {
  auto& threads = block->threads;
  bool released = false;
  for (std::size_t i = first; i < std::min(first + warpSize, threads.size()); ++i) {
    Thread& t = threads[i];
    if (t.state != State::at_meeting) continue;
    void* lanes[warpSize] = {};
    bool complete = true;
    for (unsigned lane = 0; lane < unsigned(warpSize) && complete; ++lane) {
      if (!(t.mask >> lane & 1)) continue;
      // Lanes beyond the end of a partial warp never arrive, and are not waited for.
      if (first + lane >= threads.size()) continue;
      const Thread& other = threads[first + lane];
      complete = other.state == State::at_meeting && other.mask == t.mask &&
                 same_place(other.where, t.where);
      lanes[lane] = other.mine;
    }
    if (!complete) continue;
    if (!lanes[i - first])
      fail(ErrorKind::device, block->kernel, ": thread ", i, " is not in the mask of its own ",
           place(t));
    t.combine(lanes);
    for (unsigned lane = 0; lane < unsigned(warpSize); ++lane)
      if (lanes[lane]) threads[first + lane].state = State::running;
    released = true;
  }
  return released;
}

// Lets waiting threads go on, or throws when none can.
void release() {
  auto& threads = block->threads;
  bool released = false;
  for (std::size_t first = 0; first < threads.size(); first += warpSize)
    released |= release_meetings(first);
  if (released) return;
  std::optional<unsigned> waiting;
  for (unsigned i = 0; i < threads.size(); ++i) {
    const Thread& t = threads[i];
    if (t.state == State::ended) continue;
    if (!waiting) waiting = i;
    const Thread& first = threads[*waiting];
    if (t.state != first.state || !same_place(t.where, first.where)) deadlock(*waiting, i);
    if (t.state == State::at_meeting) {
      // Some lane of the mask is missing although nobody can move.
      for (unsigned lane = 0; lane < unsigned(warpSize); ++lane) {
        const unsigned other = i / warpSize * warpSize + lane;
        if ((t.mask >> lane & 1) && other < threads.size() &&
            threads[other].state != State::at_meeting)
          deadlock(i, other);
      }
      deadlock(i, i);
    }
  }
  for (Thread& t : threads)
    if (t.state == State::at_block_barrier) t.state = State::running;
}

void run_block() {
  Block& b = *block;
  for (;;) {
    // One turn for each thread: those that wait go on in order, new ones start on fresh fibers.
    bool unfinished = false;
    while (b.next < b.order.size()) resume(fresh_fiber());
    for (const unsigned thread : b.order) {
      Thread& t = b.threads[thread];
      if (t.state == State::running) resume(t.fiber);
      unfinished |= t.state != State::ended;
    }
    if (!unfinished) return;
    release();
  }
}

}  // namespace

void set_thread_order(ThreadOrder order) {
  thread_order = order;
}

void synchronize_block(const std::source_location& where) {
  wait(State::at_block_barrier, where);
}

void meet(unsigned mask, void* mine, void (*combine)(void** lanes),
          const std::source_location& where) {
  Thread& t = block->threads[block->current];
  t.mask = mask;
  t.mine = mine;
  t.combine = combine;
  wait(State::at_meeting, where);
}

void* dynamic_shared() {
  return block->shared;
}

void copy_later(void* to, const void* from, std::size_t bytes, std::size_t valid) {
  const auto address = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p); };
  if (address(to) % bytes != 0 || (valid && address(from) % bytes != 0))
    fail(ErrorKind::device, block->kernel, ": asynchronous copy of ", bytes,
         " bytes between addresses that are no multiples of it");
  // The copy may happen at once on a GPU, so what lay there is gone from now on.
  std::memset(to, 0xFF, bytes);
  Copies& copies = block->copies[block->current];
  copies.pending.push_back({to, from, bytes, valid, copies.groups});
}

void commit_copies() {
  ++block->copies[block->current].groups;
}

void wait_for_copies(int newest) {
  Copies& copies = block->copies[block->current];
  const int done = copies.groups - newest;
  auto copy = copies.pending.begin();
  for (; copy != copies.pending.end() && copy->group < done; ++copy) {
    if (copy->valid) std::memcpy(copy->to, copy->from, copy->valid);
    std::memset(static_cast<std::byte*>(copy->to) + copy->valid, 0, copy->bytes - copy->valid);
  }
  copies.pending.erase(copies.pending.begin(), copy);
}

void run_grid(const char* kernel, const LaunchShape& shape, const std::function<void()>& thread) {
  const std::lock_guard lock(one_grid);
  const std::size_t count = std::size_t{shape.block.x} * shape.block.y * shape.block.z;
  if (count == 0 || count > largest_block || shape.block.z > 64 || shape.grid.y > 65535 ||
      shape.grid.z > 65535 || shape.grid.x > 0x7fffffffu)
    fail(ErrorKind::device, kernel, ": grid (", shape.grid.x, ", ", shape.grid.y, ", ",
         shape.grid.z, ") of blocks (", shape.block.x, ", ", shape.block.y, ", ", shape.block.z,
         ") exceeds a GPU's limits");
  if (shape.shared_bytes > largest_shared)
    fail(ErrorKind::device, kernel, ": ", shape.shared_bytes, " bytes of shared memory, at most ",
         largest_shared);

  // Its fibers are kept from grid to grid, and never change the thread they run on.
  thread_local Block the_block;
  thread_local std::vector<std::unique_ptr<Fiber>> abandoned;
  the_block.kernel = kernel;
  the_block.body = &thread;
  blockDim = shape.block;
  gridDim = shape.grid;
  struct Current {
    explicit Current(Block& b) { block = &b; }
    ~Current() { block = nullptr; }
  } const current(the_block);
  const std::unique_ptr<std::byte, void (*)(void*)> shared(
      shape.shared_bytes
          ? static_cast<std::byte*>(std::aligned_alloc(128, (shape.shared_bytes + 127) / 128 * 128))
          : nullptr,
      std::free);
  the_block.shared = shared.get();

  const std::size_t blocks = std::size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  const std::vector<unsigned> blocks_order = order_of(blocks, 0);
  for (const unsigned index : blocks_order) {
    blockIdx = {index % shape.grid.x, index / shape.grid.x % shape.grid.y,
                index / shape.grid.x / shape.grid.y};
    if (shared) std::memset(shared.get(), 0xFF, shape.shared_bytes);
    the_block.threads.assign(count, {});
    for (unsigned i = 0; i < count; ++i)
      the_block.threads[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y,
                                    i / blockDim.x / blockDim.y};
    the_block.copies.assign(count, {});
    the_block.order = order_of(count, index + 1);
    the_block.next = 0;
    try {
      run_block();
    } catch (...) {
      // Threads that wait for ever hold their fibers; nobody will resume those.
      for (auto& fiber : the_block.fibers) abandoned.push_back(std::move(fiber));
      the_block.fibers.clear();
      the_block.idle.clear();
      throw;
    }
  }
}

}  // namespace shatter::emulation
