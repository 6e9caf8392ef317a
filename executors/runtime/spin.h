// Waiting for another thread that is likely to be done soon.
#ifndef MODELLIB_EXECUTORS_RUNTIME_SPIN_H_
#define MODELLIB_EXECUTORS_RUNTIME_SPIN_H_

#include <atomic>
#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace modellib::runtime {

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

inline constexpr int kSpins = 2000;

// Returns when `value` is `wanted`: at first by spinning, then asleep until somebody notifies.
inline void await(const std::atomic<uint64_t>& value, uint64_t wanted) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) == wanted) return;
    pause_briefly();
  }
  uint64_t seen = value.load(std::memory_order_acquire);
  while (seen != wanted) {
    value.wait(seen, std::memory_order_acquire);
    seen = value.load(std::memory_order_acquire);
  }
}

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_SPIN_H_
