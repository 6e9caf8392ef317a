// While alive, floating-point arithmetic on this thread is plain IEEE: round to nearest, denormals
// kept. The host's own setting (flush-to-zero, say) returns with the scope's end. So results are
// the same on every thread, whoever made it.
#ifndef MODELLIB_EXECUTORS_RUNTIME_FLOATING_POINT_H_
#define MODELLIB_EXECUTORS_RUNTIME_FLOATING_POINT_H_

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace modellib::runtime {

class FloatingPointScope {
 public:
#if defined(__x86_64__)
  FloatingPointScope() : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80); }
  ~FloatingPointScope() { _mm_setcsr(saved_); }
#elif defined(__aarch64__)
  FloatingPointScope() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(uint64_t{0}));
  }
  ~FloatingPointScope() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
  FloatingPointScope() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatingPointScope() { std::fesetenv(&saved_); }
#endif
  FloatingPointScope(const FloatingPointScope&) = delete;
  FloatingPointScope& operator=(const FloatingPointScope&) = delete;

 private:
#if defined(__x86_64__)
  unsigned saved_;
#elif defined(__aarch64__)
  uint64_t saved_;
#else
  std::fenv_t saved_;
#endif
};

}  // namespace modellib::runtime

#endif  // MODELLIB_EXECUTORS_RUNTIME_FLOATING_POINT_H_
