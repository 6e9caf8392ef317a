// How a run can be made to end before it is done.
#ifndef MODELLIB_EXECUTORS_RUNTIME_RUN_OPTIONS_H_
#define MODELLIB_EXECUTORS_RUNTIME_RUN_OPTIONS_H_

#include <atomic>
#include <chrono>

namespace modellib::runtime {

// Stops a run from another thread, between two of its steps or between the chunks of a step that
// has more than a thousand.
class CancelToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  void reset() { cancelled_.store(false, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

struct RunOptions {
  using Clock = std::chrono::steady_clock;
  const CancelToken* cancel = nullptr;
  Clock::time_point deadline = Clock::time_point::max();
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_RUN_OPTIONS_H_
