// The CPU context: thread pool, per-library state, and the stack of current contexts.
#include <sched.h>

#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <shatter/kernels/context.h>
#include <shatter/kernels/error.h>

#include "multiversion.h"

namespace shatter {

namespace {

// Set while this thread runs a body, so that nested calls stay on it.
thread_local bool inside_body = false;

thread_local CpuContext* current_context = nullptr;

struct InsideBody {
  InsideBody() { inside_body = true; }
  ~InsideBody() { inside_body = false; }
};

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `value` no longer holds `old`. Kernels follow each other within microseconds, so a
// short spin saves most sleeps; a sleeping thread costs nothing.
template <class T>
void wait_while(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < 1000; ++spin) {
    if (value.load() != old) return;
    pause();
  }
  value.wait(old);
}

}  // namespace

// A job is the fields below `busy`. Its owner writes them while it is closed and no worker is
// active, opens it, works along, closes it, and waits for the workers that had joined. A worker
// announces itself in `active` before it looks at `open`; both are sequentially consistent, so
// either it sees the job closed or the owner sees it active.
struct CpuContext::Impl {
  int threads = 1;
  std::vector<std::thread> workers;

  std::mutex state_mutex;
  std::map<const void*, std::shared_ptr<void>> states;

  std::mutex busy;  // held by the thread whose job the workers share
  std::int64_t chunks = 0;
  void (*call)(void*, std::int64_t) = nullptr;
  void* body = nullptr;
  std::atomic<std::int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;
  std::int64_t error_chunk = 0;

  alignas(64) std::atomic<std::uint32_t> epoch{0};  // one more for each job, and for the end
  alignas(64) std::atomic<bool> open{false};
  std::atomic<bool> stopping{false};
  alignas(64) std::atomic<std::int32_t> active{0};

  // Chunks are taken in rising order, so those below one that throws are always run: the error of
  // the lowest is the same whatever the timing.
  void work() {
    const InsideBody guard;
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      try {
        call(body, i);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error || i < error_chunk) {
          error = std::current_exception();
          error_chunk = i;
        }
        next.store(chunks, std::memory_order_relaxed);
      }
    }
  }

  void serve() {
    std::uint32_t seen = 0;
    for (;;) {
      wait_while(epoch, seen);
      seen = epoch.load();
      if (stopping.load()) return;
      active.fetch_add(1);
      if (open.load()) work();
      active.fetch_sub(1);
      active.notify_all();
    }
  }

  void stop() {
    stopping.store(true);
    epoch.fetch_add(1);
    epoch.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  void share() {
    next.store(0);
    open.store(true);
    epoch.fetch_add(1);
    epoch.notify_all();
    work();
    open.store(false);
    for (std::int32_t left; (left = active.load()) != 0;) wait_while(active, left);
  }
};

int usable_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  const unsigned count = std::thread::hardware_concurrency();
  return count ? static_cast<int>(count) : 1;
}

CpuContext::CpuContext(int threads) : impl_(std::make_unique<Impl>()) {
  check(threads >= 0, "CpuContext: ", threads, " threads; give 0 (all usable cores) or more");
  kernels::instruction_set();  // before any kernel calls oneDNN
  impl_->threads = threads ? threads : usable_cores();
  impl_->workers.reserve(static_cast<std::size_t>(impl_->threads - 1));
  try {
    for (int i = 1; i < impl_->threads; ++i)
      impl_->workers.emplace_back([this] {
        const CpuContextGuard guard(*this);
        impl_->serve();
      });
  } catch (const std::system_error& error) {
    impl_->stop();
    fail(ErrorKind::usage, "CpuContext: the system gave ", impl_->workers.size() + 1, " of ",
         impl_->threads, " threads: ", error.what());
  }
}

CpuContext::~CpuContext() {
  impl_->stop();
}

int CpuContext::threads() const noexcept {
  return impl_->threads;
}

void CpuContext::run(std::int64_t chunks, void (*call)(void*, std::int64_t), void* body) {
  const CpuContextGuard guard(*this);
  Impl& impl = *impl_;
  // Another thread's job may hold the workers; this one is then done by its caller alone.
  std::unique_lock<std::mutex> lock;
  if (chunks > 1 && impl.threads > 1 && !inside_body)
    lock = std::unique_lock(impl.busy, std::try_to_lock);
  if (!lock.owns_lock()) {
    for (std::int64_t i = 0; i < chunks; ++i) call(body, i);
    return;
  }
  impl.chunks = chunks;
  impl.call = call;
  impl.body = body;
  impl.share();
  if (impl.error) {
    const std::exception_ptr error = std::exchange(impl.error, nullptr);
    lock.unlock();
    std::rethrow_exception(error);
  }
}

void* CpuContext::find_state(const void* tag, std::shared_ptr<void> (*make)()) {
  const std::lock_guard lock(impl_->state_mutex);
  std::shared_ptr<void>& state = impl_->states[tag];
  if (!state) state = make();
  return state.get();
}

namespace {

struct SharedContext {
  std::mutex mutex;
  int threads = 0;
  std::unique_ptr<CpuContext> context;
};

SharedContext& shared_context() {
  static SharedContext shared;
  return shared;
}

}  // namespace

CpuContext& cpu_context() {
  if (current_context) return *current_context;
  SharedContext& shared = shared_context();
  const std::lock_guard lock(shared.mutex);
  if (!shared.context) shared.context = std::make_unique<CpuContext>(shared.threads);
  return *shared.context;
}

void set_cpu_threads(int threads) {
  check(threads >= 0, "set_cpu_threads: ", threads, "; give 0 (all usable cores) or more");
  SharedContext& shared = shared_context();
  const std::lock_guard lock(shared.mutex);
  shared.threads = threads;
  shared.context.reset();
}

CpuContextGuard::CpuContextGuard(CpuContext& context)
    : previous_(std::exchange(current_context, &context)) {}

CpuContextGuard::~CpuContextGuard() {
  current_context = previous_;
}

}  // namespace shatter
