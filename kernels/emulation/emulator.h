// Runs a grid of CUDA threads on the calling thread, one after another, each as far as its next
// barrier. What a GPU leaves undefined becomes an Error here.
#pragma once

#include <cstddef>
#include <functional>

#include <shatter/kernels/cuda/launch.h>

namespace shatter::emulation {

/// In which order the threads of a block (and the blocks of a grid) run between two barriers. A
/// kernel's result must not depend on it.
enum class ThreadOrder { forward, reverse, shuffled };

/// For all later launches of the process. Default: forward.
void set_thread_order(ThreadOrder order);

/// Makes every later recording of a graph end in an Error (device) with these words, once its work
/// is done, as a driver may. Empty: none does.
void set_recording_failure(const std::string& why);

/// Runs `thread` once for every thread of the grid. Throws Error (device) naming the kernel when
/// threads wait at different barriers, when a warp exchange names a lane that has ended, or when
/// block or shared memory exceed a GPU's limits.
void run_grid(const char* kernel, const LaunchShape& shape, const std::function<void()>& thread);

}  // namespace shatter::emulation
