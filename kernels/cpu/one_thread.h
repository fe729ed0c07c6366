// Holds OpenMP, where the linked oneDNN uses it, to one thread.
#pragma once

namespace shatter::kernels {

/// While it lives, OpenMP regions begun by this thread have one thread: the parallelism around
/// oneDNN is the context's. The setting is OpenMP's per-thread one and is put back.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int previous_;
};

}  // namespace shatter::kernels
