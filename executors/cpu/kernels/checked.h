// Arithmetic for checking untrusted plans: ranges of integers that saturate instead of overflowing,
// and what every kernel's validate() says when a number does not fit.
#ifndef MODELLIB_EXECUTORS_CPU_KERNELS_CHECKED_H_
#define MODELLIB_EXECUTORS_CPU_KERNELS_CHECKED_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "modellib/executors/runtime/kernel.h"

namespace modellib::cpu {

// Wide enough that a few sums and one product of int64 never overflow.
__extension__ using Int128 = __int128;

// Largest extent or product of extents that a kernel takes: byte counts stay far inside int64.
inline constexpr int64_t kMaxElements = int64_t{1} << 48;

inline constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The product of extents >= 0, or kMaxElements + 1 when it is larger than kMaxElements.
inline int64_t checked_product(int64_t a, int64_t b) {
  const Int128 product = Int128{a} * b;
  return product > kMaxElements ? kMaxElements + 1 : static_cast<int64_t>(product);
}

// The elements that an affine walk touches: base + sum of i_d * stride_d, 0 <= i_d < extent_d.
class Reach {
 public:
  using Range = runtime::StepView::Range;

  explicit Reach(Range base) : low_(base.min), high_(base.max) {}

  // Extents must have been checked to lie in [0, kMaxElements].
  void add(Range extent, Range stride) {
    if (extent.max <= 0) empty_ = true;
    const Int128 steps = extent.max - 1;
    low_ = clamp(low_ + std::min<Int128>(0, clamp(steps * stride.min)));
    high_ = clamp(high_ + std::max<Int128>(0, clamp(steps * stride.max)));
  }

  // Whether all elements lie in a buffer of `bytes`.
  bool fits(uint64_t bytes, int64_t element_bytes) const {
    return empty_ || (low_ >= 0 && (high_ + 1) * element_bytes <= Int128{bytes});
  }
  bool empty() const { return empty_; }

 private:
  static Int128 clamp(Int128 v) {
    constexpr Int128 kLimit = Int128{1} << 100;
    return std::clamp(v, -kLimit, kLimit);
  }
  Int128 low_;
  Int128 high_;
  bool empty_ = false;
};

inline bool in_range(runtime::StepView::Range range, int64_t low, int64_t high) {
  return range.min <= range.max && range.min >= low && range.max <= high;
}

// "cpu.fill: extent 3 is [-1, 5], expected within [0, 9]".
template <class Name>
absl::Status range_error(const char* kernel, const Name& what, runtime::StepView::Range got,
                         int64_t low, int64_t high) {
  return absl::InvalidArgumentError(absl::StrCat(kernel, ": ", what, " is [", got.min, ", ",
                                                 got.max, "], expected within [", low, ", ", high,
                                                 "]"));
}

}  // namespace modellib::cpu

#endif  // MODELLIB_EXECUTORS_CPU_KERNELS_CHECKED_H_
