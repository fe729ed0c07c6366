// Holds OpenMP, where the linked oneDNN uses it, to one thread.
#include "one_thread.h"

#include <dlfcn.h>

namespace shatter::kernels {

namespace {

// Looked up in the running process: which OpenMP (if any) is loaded is oneDNN's affair.
template <class Function>
Function* find(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

int max_threads() {
  static const auto function = find<int()>("omp_get_max_threads");
  return function ? function() : 1;
}

void set_threads(int threads) {
  static const auto function = find<void(int)>("omp_set_num_threads");
  if (function) function(threads);
}

}  // namespace

OneThread::OneThread() : previous_(max_threads()) {
  if (previous_ != 1) set_threads(1);
}

OneThread::~OneThread() {
  if (previous_ != 1) set_threads(previous_);
}

}  // namespace shatter::kernels
